//! Brokers that are none of the trust centre's, or speak an older TLS; and what the sample of access rules lets nobody do.

use std::net::TcpListener;
use std::path::Path;

use system::{Broker, Command, House, Process, StageError, wait_until};

use crate::steps::{ARRIVAL, gateway_log, house, read, told};

/// The sample of access rules, as it is shipped.
const RULES: &str = include_str!("../../../../gateway/broker/mosquitto.acl");
/// The party of the sample.
const PARTY: &str = "City Works";
/// The GUIDs of two gateways.
const ONE: &str = "fd5a::1";
const TWO: &str = "fd5a::2";

#[test]
fn gateway_says_nothing_to_a_broker_of_another_chain_name_or_older_tls() {
    let mut house = house();
    let broker = Broker::start(&house.stage, "broker", &[]).unwrap();
    let good = house.stage.path("broker");
    let foreign = house.stage.path("foreign");
    std::fs::create_dir_all(&foreign).unwrap();
    let openssl = Command::new("openssl", Path::new("openssl"))
        .arg("req")
        .arg("-x509")
        .arg("-nodes")
        .option("-newkey", "ec")
        .option("-pkeyopt", "ec_paramgen_curve:P-256")
        .option("-subj", "/CN=localhost")
        .option("-addext", "subjectAltName=DNS:localhost")
        .option("-keyout", foreign.join("key.pem"))
        .option("-out", foreign.join("broker.pem"));
    house.stage.run(&openssl).unwrap().success().unwrap();
    let port = broker.address().rsplit(':').next().unwrap().to_owned();
    // First that it comes in where all is well, so that the others fail for what is wrong with them.
    for (case, server, address, says) in [
        ("all is well", None, broker.address(), "connected to the broker"),
        (
            "another name",
            None,
            format!("127.0.0.1:{port}"),
            "no TLS connection",
        ),
        (
            "TLS 1.2",
            Some((&good, "-tls1_2")),
            String::new(),
            "no TLS connection",
        ),
        (
            "a foreign chain",
            Some((&foreign, "-tls1_3")),
            String::new(),
            "no TLS connection",
        ),
    ] {
        let (server, address) = match server {
            Some((folder, version)) => {
                let (process, address) = s_server(&house, folder, version);
                (Some(process), address)
            }
            None => (None, address),
        };
        dial(&mut house, &address);
        let heard = wait_until(&house.stage.deadline(ARRIVAL), || {
            Ok::<_, StageError>(gateway_log(&house).contains(says).then_some(()))
        });
        assert_eq!(heard.unwrap(), Some(()), "{case}: {}", gateway_log(&house));
        let connected = gateway_log(&house).contains("connected to the broker");
        assert_eq!(
            connected,
            case == "all is well",
            "{case}: {}",
            gateway_log(&house)
        );
        if let Some(server) = server {
            let mut said = read(server.log());
            while let Some(line) = server.line_soon() {
                said += &line;
            }
            assert!(
                said.contains("CONNECTION FAILURE") && !said.contains("CONNECTION ESTABLISHED"),
                "{case}: {said}"
            );
        }
    }
}

/// Has the gateway begin anew with a broker at this address, in place of what its way was.
fn dial(house: &mut House, address: &str) {
    house.gateway.stop().unwrap();
    let text = read(&house.config);
    let (before, wan) = text.split_once("[wan").unwrap();
    let after = wan.find("\n\n[").map_or("", |end| &wan[end..]);
    let way = format!("[wan.broker]\naddress = \"{address}\"\nstart_delay = \"PT1S\"");
    std::fs::write(&house.config, format!("{before}{way}{after}")).unwrap();
    let started = house.start_gateway_again("operational");
    started.unwrap_or_else(|error| panic!("{}", told(&error)));
}

/// Starts OpenSSL as a server with a certificate from a folder, and returns where it listens.
fn s_server(house: &House, folder: &Path, version: &str) -> (Process, String) {
    let port = free_port();
    let command = Command::new("openssl s_server", Path::new("openssl"))
        .arg("s_server")
        .arg("-rev")
        .arg(version)
        .option("-accept", format!("127.0.0.1:{port}"))
        .option("-cert", folder.join("broker.pem"))
        .option("-key", folder.join("key.pem"));
    let process = house.stage.start(&command).unwrap();
    let listens = process.next_line(&house.stage.deadline(ARRIVAL)).unwrap();
    assert!(listens.is_some(), "{}", read(process.log()));
    (process, format!("localhost:{port}"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The names that Mosquitto has of its clients are given here, without TLS: what they may do by them is the question.
#[test]
fn shipped_access_rules_keep_everybody_to_his_own_topics() {
    let house = house();
    let rules = house.stage.write("rules", RULES).unwrap();
    let port = free_port();
    let configuration = format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}\nlog_dest stderr\nlog_type all\n",
        rules.display()
    );
    let configuration = house.stage.write("mosquitto.conf", &configuration).unwrap();
    let mosquitto = Command::new("mosquitto", Path::new("/usr/sbin/mosquitto")).option("-c", configuration);
    let broker = house.stage.start(&mosquitto).unwrap();
    let client = |program: &str, user: &str, topic: &str| {
        Command::new(program, Path::new(program))
            .option("-h", "127.0.0.1")
            .option("-p", port.to_string())
            .option("-q", "1")
            .option("-u", user)
            .option("-t", topic)
    };
    let listen = |user: &str| {
        let everything = client("mosquitto_sub", user, "smgw/v1/#").option("-F", "%p");
        house.stage.start(&everything).unwrap()
    };
    let ready = wait_until(&house.stage.deadline(ARRIVAL), || {
        Ok::<_, StageError>(read(broker.log()).contains(" running").then_some(()))
    });
    assert_eq!(ready.unwrap(), Some(()), "{}", read(broker.log()));
    let listeners = [ONE, TWO, PARTY].map(|user| (user, listen(user)));
    let subscribed = wait_until(&house.stage.deadline(ARRIVAL), || {
        let count = read(broker.log()).matches("Sending SUBACK").count();
        Ok::<_, StageError>((count == listeners.len()).then_some(()))
    });
    assert_eq!(subscribed.unwrap(), Some(()), "{}", read(broker.log()));

    let mut expected = [ONE, TWO, PARTY].map(|user| (user, Vec::new()));
    let topics = [
        (PARTY, format!("smgw/v1/00/{ONE}/req/FINGERPRINT"), Some(ONE)),
        (PARTY, format!("smgw/v1/00/{TWO}/ack/FINGERPRINT"), Some(TWO)),
        (PARTY, format!("smgw/v1/00/{ONE}/req/ANOTHER"), None),
        (PARTY, format!("smgw/v1/00/{ONE}/rsp/FINGERPRINT"), None),
        (PARTY, format!("smgw/v1/00/{ONE}/presence"), None),
        (ONE, format!("smgw/v1/00/{ONE}/rsp/FINGERPRINT"), Some(PARTY)),
        (ONE, format!("smgw/v1/00/{ONE}/presence"), Some(PARTY)),
        (ONE, format!("smgw/v1/00/{ONE}/rsp/ANOTHER"), None),
        (ONE, format!("smgw/v1/00/{TWO}/rsp/FINGERPRINT"), None),
        (ONE, format!("smgw/v1/00/{TWO}/req/FINGERPRINT"), None),
        (ONE, format!("smgw/v1/00/{TWO}/presence"), None),
        ("Somebody", format!("smgw/v1/00/{ONE}/req/FINGERPRINT"), None),
        ("Somebody", format!("smgw/v1/00/{ONE}/req/Somebody"), None),
        // What everybody may have, so that it is known when all is there.
        (PARTY, format!("smgw/v1/00/{ONE}/req/FINGERPRINT"), Some(ONE)),
        (PARTY, format!("smgw/v1/00/{TWO}/req/FINGERPRINT"), Some(TWO)),
        (ONE, format!("smgw/v1/00/{ONE}/rsp/FINGERPRINT"), Some(PARTY)),
    ];
    for (number, (sender, topic, heard_by)) in topics.iter().enumerate() {
        let words = format!("{number}: {sender} to {topic}");
        let publish = client("mosquitto_pub", sender, topic).option("-m", &words);
        house.stage.run(&publish).unwrap().success().unwrap();
        for (user, words_heard) in &mut expected {
            if Some(*user) == *heard_by {
                words_heard.push(words.clone());
            }
        }
    }
    for ((user, listener), (_, expected)) in listeners.iter().zip(&expected) {
        let heard: Vec<String> = (0..expected.len())
            .map(|_| listener.next_line(&house.stage.deadline(ARRIVAL)).unwrap())
            .map(Option::unwrap_or_default)
            .collect();
        assert_eq!(&heard, expected, "{user}");
        assert_eq!(listener.line_soon(), None, "{user}");
    }
}
