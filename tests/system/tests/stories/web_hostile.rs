//! Hostile and unlucky visitors of the local web: clear answers, bounded, and the metering goes on.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use system::{Command, House, StageError, wait_until};

use crate::local_web::{Browser, first_password, house_with_web};
use crate::steps::{ARRIVAL, assert_measures_on, gateway_log, give_clock, told};
use crate::wizard::paper::{text_of, written};

/// The header of a request that names the gateway.
const HOST: &str = "Host: smgw.local\r\n";
/// How many connections somebody opens that say nothing: more than the door has.
const MUTE_CONNECTIONS: usize = 60;
/// How much visitors may add to the gateway's memory, in kilobytes: one comparison of passwords takes 19 MiB.
const VISITORS_LIMIT_KB: u64 = 32 * 1_024;

/// Says bytes over TLS, and returns what comes back.
fn say(house: &House, web: &str, bytes: &str) -> String {
    let file = house.stage.write("said", bytes).unwrap();
    let script = r#"(cat "$2"; sleep 1) | timeout 20 openssl s_client -quiet -connect "$1" 2> /dev/null"#;
    let host = web.trim_start_matches("https://").trim_end_matches('/');
    let command = Command::new("openssl s_client", Path::new("sh")).option("-c", script);
    let finished = house.stage.run(&command.arg("sh").arg(host).arg(file)).unwrap();
    finished.lines.join("\n")
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

/// Returns requests, and the answers that are right.
fn crooked_requests() -> Vec<(String, &'static [&'static str])> {
    let host = HOST;
    vec![
        (
            format!("GET /login HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            &["200"],
        ),
        // Smuggling: two lengths, a length and chunks, chunks that are none (RFC 9112, section 6.3).
        (
            format!("POST /login HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
            &["400"],
        ),
        (
            format!("POST /login HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
            &["400", "411", "501"],
        ),
        (
            format!("POST /login HTTP/1.1\r\n{host}Content-Length: -1\r\nConnection: close\r\n\r\n"),
            &["400"],
        ),
        // Another host in the target than in the header, no host, two.
        (
            "GET http://evil.example/login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
                .to_owned(),
            &["421"],
        ),
        (
            format!("GET http://evil.example/login HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            &["421"],
        ),
        (
            "GET /login HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
            &["400", "421"],
        ),
        (
            "GET /login HTTP/1.1\r\nHost: evil.example\r\nHost: smgw.local\r\nConnection: close\r\n\r\n"
                .to_owned(),
            &["400", "421"],
        ),
        (
            format!("GET /../../etc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            &["400", "404"],
        ),
        (
            format!("GET /%00 HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            &["404"],
        ),
        (format!("GET /login\r\nX: y HTTP/1.1\r\n{host}\r\n"), &["400"]),
        (
            format!("TRACE /login HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            &["405"],
        ),
        (
            format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(70_000)),
            &["414", "431", "404", "400"],
        ),
        (
            format!("GET /login HTTP/1.1\r\n{host}{}\r\n", "X-A: b\r\n".repeat(1_000)),
            &["431", "400"],
        ),
        (
            format!(
                "GET /login HTTP/1.1\r\n{host}X: {}\r\n\r\n",
                "y".repeat(1_000_000)
            ),
            &["431", "400"],
        ),
    ]
}

#[test]
fn requests_that_servers_quarrel_about_get_a_clear_refusal() {
    let (house, web) = house_with_web();
    for (request, expected) in crooked_requests() {
        let answer = say(&house, &web, &request);
        let shown = request.chars().take(120).collect::<String>();
        assert!(expected.contains(&status_of(&answer)), "{shown:?}: {answer}");
    }
    let host = HOST;
    // A length and chunks: whichever counts, the rest is no second request.
    let both = format!(
        "POST /nothing HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /login HTTP/1.1\r\n{host}\r\n"
    );
    let answer = say(&house, &web, &both);
    assert!(!answer.contains("<form"), "{answer}");
    assert_measures_on(&house.stage, &house.gateway);
}

#[test]
fn visitors_who_say_nothing_or_come_all_at_once_keep_nobody_out_and_stay_bounded() {
    let (house, web) = house_with_web();
    let first = first_password(&house, "consumer");
    let consumer = Browser::new(&house.stage, &web, "consumer");
    consumer.begin("consumer", &first);
    let before = house.gateway.memory_kb().unwrap();
    let host = web
        .trim_start_matches("https://")
        .trim_end_matches('/')
        .to_owned();
    let mute: Vec<_> = (0..MUTE_CONNECTIONS)
        .filter_map(|_| TcpStream::connect(&host).ok())
        .collect();
    assert!(mute.len() > 12);
    // Somebody of another address of the house is served meanwhile.
    let other = Browser::new(&house.stage, &web, "other").with(&["--interface", "127.0.0.3"]);
    assert_eq!(other.get("/login").status, 200);
    // The very address gets in again as soon as the silent ones have been ended.
    let served = wait_until(&house.stage.deadline(Duration::from_secs(60)), || {
        let command = Command::new("curl", Path::new("curl"))
            .arg("--silent")
            .arg("--insecure")
            .option("--max-time", "5")
            .arg(format!("{web}login"));
        let finished = house.stage.run(&command)?;
        Ok::<_, StageError>((finished.code == Some(0)).then_some(()))
    });
    assert_eq!(served.unwrap(), Some(()));
    drop(mute);

    // Many log-ins at once, from many addresses: one password is compared at a time.
    let script = r#"for i in $(seq 20 59); do
            (page=$(curl -sk --interface 127.0.0.$i -c "$2-$i" -m 60 "$1login")
             form=$(printf '%s' "$page" | sed -n 's/.*name="form" value="\([0-9a-f]*\)".*/\1/p')
             curl -sk --interface 127.0.0.$i -b "$2-$i" -m 60 -o /dev/null -w '%{http_code}\n' --data-urlencode "form=$form" --data account=consumer --data password=wrong-$i "$1login") &
        done; wait"#;
    let command = Command::new("log-ins", Path::new("sh"))
        .option("-c", script)
        .arg("sh");
    let command = command.arg(&web).arg(house.stage.path("jar"));
    let answers = house.stage.run(&command).unwrap().lines;
    assert_eq!(answers.len(), 40, "{answers:?}");
    let count = |code: &str| answers.iter().filter(|answer| *answer == code).count();
    assert!(count("401") >= 1 && count("429") >= 1, "{answers:?}");
    assert_eq!(count("401") + count("429") + count("000"), 40, "{answers:?}");
    assert_eq!(consumer.get("/now").status, 200, "who is in stays in");
    let after = house.gateway.memory_kb().unwrap();
    assert!(
        after < before + VISITORS_LIMIT_KB,
        "{before} kB before, {after} kB"
    );
    assert_measures_on(&house.stage, &house.gateway);
}

#[test]
fn slow_form_is_ended_by_the_gateway_and_the_next_one_served() {
    let (house, web) = house_with_web();
    let host = web.trim_start_matches("https://").trim_end_matches('/');
    // A byte every second, of a form that says it is longer.
    let script = r#"(printf 'POST /login HTTP/1.1\r\nHost: smgw.local\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\n'; while printf a; do sleep 1; done) |
        timeout 120 openssl s_client -quiet -connect "$1" 2> /dev/null; echo ended"#;
    let command = Command::new("slow form", Path::new("sh")).option("-c", script);
    let slow = house.stage.start(&command.arg("sh").arg(host)).unwrap();
    assert_eq!(
        Browser::new(&house.stage, &web, "other").get("/login").status,
        200
    );
    let finished = slow
        .finish(&house.stage.deadline(Duration::from_secs(60)))
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    let last = finished.lines.last().map(String::as_str);
    assert!(
        last.is_some_and(|line| line.ends_with("ended")),
        "{:?}",
        finished.lines
    );
    assert_measures_on(&house.stage, &house.gateway);
}

#[test]
fn web_of_a_gateway_whose_clock_stands_in_1970_and_that_has_no_meters_answers_every_page() {
    let (mut house, _) = house_with_web();
    house.gateway.stop().unwrap();
    let config = std::fs::read_to_string(&house.config).unwrap();
    let (config, _) = config.split_once("[[bus]]").unwrap();
    let config = config.replace(
        &house.stage.path("data").display().to_string(),
        &house.stage.path("empty").display().to_string(),
    );
    // Nor has it a card: that of the house would be terminated by the attempt of another gateway to bind it.
    let card = house.card.file.display().to_string();
    let config = config.replace(&card, &house.stage.path("no-card").display().to_string());
    std::fs::write(&house.config, config).unwrap();
    // For every program that is started from here on; the command line keeps the real time.
    give_clock(&mut house.stage, "@1970-01-01 00:10:00");
    house.gateway = house.stage.start_gateway(&house.config).unwrap();
    let status = house.gateway.status(&house.stage).unwrap().unwrap();
    assert!(status.meters.is_empty());
    let web = crate::local_web::smgw(&house, &["status"])["https"]
        .as_str()
        .unwrap()
        .to_owned();
    let consumer = Browser::new(&house.stage, &web, "consumer");
    consumer.begin("consumer", &first_password(&house, "consumer"));
    for page in [
        "/now",
        "/history",
        "/history?by=year&at=1970-01-01",
        "/history?by=week&at=0001-01-01",
        "/history?by=year&at=9999-12-31",
        "/recipients",
        "/tokens",
        "/api/v1/values",
        "/api/v1/deliveries",
    ] {
        let answer = consumer.get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.body);
    }
    assert_eq!(consumer.get("/api/v1/history").status, 404);
}

#[test]
fn hundred_meters_that_do_not_answer_are_shown_each_and_the_web_stays_quick() {
    let (mut house, _) = house_with_web();
    house.gateway.stop().unwrap();
    let config = std::fs::read_to_string(&house.config).unwrap();
    let more: String = (4..=103)
        .map(|primary| format!("\n[[bus.meter]]\nname = \"flat {primary}\"\nprimary = {primary}\n"))
        .collect();
    let board = "\n[[bus]]\nname = \"board\"";
    let config = config.replace(board, &format!("{more}{board}"));
    std::fs::write(&house.config, config).unwrap();
    house
        .start_gateway_again("operational")
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    let web = crate::local_web::smgw(&house, &["status"])["https"]
        .as_str()
        .unwrap()
        .to_owned();
    let technician = Browser::new(&house.stage, &web, "technician");
    technician.begin("technician", &first_password(&house, "technician"));
    let device = technician.get("/device");
    assert_eq!(device.status, 200);
    for name in ["flat 4", "flat 103", "electricity"] {
        assert!(device.body.contains(name), "{name} is missing in {}", device.body);
    }
    let consumer = Browser::new(&house.stage, &web, "consumer");
    consumer.begin("consumer", &first_password(&house, "consumer"));
    for page in ["/now", "/history?by=year", "/recipients"] {
        assert_eq!(consumer.get(page).status, 200, "{page}");
    }
    // The meter on the other bus is read all the same.
    let monitoring = Browser::new(&house.stage, house.status.web.as_deref().unwrap(), "monitoring");
    let is_read = wait_until(&house.stage.deadline(ARRIVAL), || {
        let text = monitoring.get("/metrics").body;
        let line = "smgw_meter_up{bus=\"board\",meter=\"electricity\"} 1";
        Ok::<_, StageError>(text.lines().any(|found| found == line).then_some(()))
    });
    assert_eq!(is_read.unwrap(), Some(()), "{}", gateway_log(&house));
    report_has_every_meter(&house, &technician);
}

/// The report of the installation goes over several pages, which programs of others read.
fn report_has_every_meter(house: &House, technician: &Browser<'_>) {
    let token = technician.get("/wizard/report").form_token().to_owned();
    let begun = technician.post("/wizard/report/start", &[("form", &token)]);
    assert_eq!(begun.status, 303, "{}", begun.body);
    let made = wait_until(&house.stage.deadline(ARRIVAL), || {
        let page = technician.get("/wizard/report").body;
        Ok::<_, StageError>((!page.contains("data-running")).then_some(()))
    });
    assert_eq!(made.unwrap(), Some(()));
    let file = written(&house.stage, &house.config, "en");
    let text = text_of(&house.stage, &file);
    let (_, pages) = text.split_once("Page 1 of ").expect("pages have numbers");
    let pages: usize = pages.split(' ').next().unwrap().parse().unwrap();
    assert!(pages > 2, "{pages}");
    assert!(text.contains(&format!("Page {pages} of {pages}")), "{text}");
    for meter in 4..=103 {
        assert!(text.contains(&format!("flat {meter} ")), "{meter}");
    }
}
