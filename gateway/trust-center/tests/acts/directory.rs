//! The public directory over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::stage::Stage;

pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(stage: &Stage) -> Self {
        let mut child = stage
            .command("directory serve --listen 127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = answer["listen"].as_str().unwrap().to_owned();
        Self { child, address }
    }

    /// Asks with these header lines; returns status, header and body.
    fn ask(&self, request: &str, fields: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: directory\r\nConnection: close\r\n{fields}\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let header = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        let status = header.split(' ').nth(1).unwrap().parse().unwrap();
        (status, header, answer[end + 4..].to_vec())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn certificates_and_lists_are_served_cacheable_and_read_only() {
    let stage = Stage::founded();
    let card = stage.answer("personalize --card soft:card");
    let guid = card["guid"].as_str().unwrap();
    stage.answer("crl");
    let server = Server::start(&stage);

    let (status, header, body) = server.ask(&format!("GET /certificates/{guid}/sig"), "");
    assert_eq!(status, 200);
    assert!(header.contains("content-type: application/pkix-cert"), "{header}");
    assert!(header.contains("cache-control: public, max-age=300"), "{header}");
    std::fs::write(stage.path("sig.der"), body).unwrap();
    let text = stage.openssl(&["x509", "-in", "sig.der", "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = text
        .trim()
        .split('=')
        .nth(1)
        .unwrap()
        .replace(':', "")
        .to_lowercase();
    assert_eq!(card["sig"], fingerprint);
    let tag = header
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let (status, header, body) = server.ask(
        &format!("GET /certificates/{guid}/sig"),
        &format!("If-None-Match: {tag}\r\n"),
    );
    assert_eq!((status, body.len()), (304, 0));
    assert!(header.contains(tag));

    let (status, _, body) = server.ask(&format!("GET /certificates/{guid}"), "");
    assert_eq!(status, 200);
    assert_eq!(
        String::from_utf8(body)
            .unwrap()
            .matches("BEGIN CERTIFICATE")
            .count(),
        4
    );
    let (status, _, list) = server.ask("GET /issuing.crl", "");
    assert_eq!(status, 200);
    std::fs::write(stage.path("list.der"), list).unwrap();
    stage.openssl(&["crl", "-in", "list.der", "-noout"]);
    for path in ["root.pem", "chain.pem", "root.crl"] {
        assert_eq!(server.ask(&format!("GET /{path}"), "").0, 200, "{path}");
    }
    for path in [
        "certificates/fd5a::1",
        "certificates/nobody",
        "certificates/fd5a::1/key",
        "books.db",
        "..%2Froot.key",
    ] {
        let (status, header, _) = server.ask(&format!("GET /{path}"), "");
        assert_eq!(status, 404, "{path}");
        assert!(!header.contains("max-age"), "{header}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(
            server.ask(&format!("{method} /certificates/{guid}"), "").0,
            405,
            "{method}"
        );
    }

    // What is revoked is not published any more, without the server being started again.
    stage.answer(&format!("revoke --guid {guid} --reason cessation-of-operation"));
    assert_eq!(server.ask(&format!("GET /certificates/{guid}"), "").0, 404);
    stage.answer("crl --issuing-only");
    std::fs::write(stage.path("list.der"), server.ask("GET /issuing.crl", "").2).unwrap();
    let text = stage.openssl(&["crl", "-in", "list.der", "-noout", "-text"]);
    assert!(text.contains("Cessation Of Operation"), "{text}");
}
