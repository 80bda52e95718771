//! The local web over HTTPS, as browsers and programs of the house use it: who gets in, and what each sees.

#[cfg(test)]
mod consumer;

use std::path::{Path, PathBuf};

use serde_json::Value;
use system::{Command, House, Program, Stage, StageError, wait_until};

use crate::steps::{ARRIVAL, PERIOD, gateway_log, told};

/// A password that somebody chooses.
pub(crate) const CHOSEN: &str = "seven green bottles";
/// Somebody else of the network, by another address of this machine.
const STRANGER: &str = "127.0.0.2";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        let mut headers = lines.filter_map(|line| line.split_once(": "));
        headers
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns what a form of the page has to carry.
    pub(crate) fn form_token(&self) -> &str {
        let (_, rest) = self.body.split_once("name=\"form\" value=\"").expect("a form");
        rest.split('"').next().unwrap()
    }

    /// Checks where the answer leads to.
    pub(crate) fn leads_to(&self, place: &str) {
        assert_eq!(
            (self.status, self.header("location")),
            (303, Some(place)),
            "{self:?}"
        );
    }
}

/// A browser with cookies of its own.
pub(crate) struct Browser<'a> {
    stage: &'a Stage,
    web: String,
    cookies: PathBuf,
    more: Vec<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(stage: &'a Stage, web: &str, name: &str) -> Self {
        Self {
            stage,
            web: web.trim_end_matches('/').to_owned(),
            cookies: stage.path(&format!("cookies-{name}")),
            more: Vec::new(),
        }
    }

    /// Adds arguments of curl.
    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.more = more.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// Returns the same browser, logged in as it is, with other arguments of curl.
    pub(crate) fn saving(&self, more: &[&str]) -> Self {
        let cookies = self.cookies.clone();
        Self {
            stage: self.stage,
            web: self.web.clone(),
            cookies,
            more: Vec::new(),
        }
        .with(more)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(path, &[])
    }

    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(path, fields)
    }

    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut command = Command::new("curl", Path::new("curl"));
        for argument in [
            "--silent",
            "--show-error",
            "--include",
            "--path-as-is",
            "--insecure",
            "--max-time",
            "30",
        ] {
            command = command.arg(argument);
        }
        command = command.arg("--cookie").arg(&self.cookies);
        command = command.arg("--cookie-jar").arg(&self.cookies);
        for argument in &self.more {
            command = command.arg(argument);
        }
        for (name, value) in fields {
            command = command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let finished = self
            .stage
            .run(&command.arg(format!("{}{path}", self.web)))
            .unwrap();
        let text = finished.lines.join("\n");
        assert_eq!(
            finished.code,
            Some(0),
            "{path}: {text}\n{}",
            finished.log_text().unwrap()
        );
        let end = finished.lines.iter().position(|line| line.trim().is_empty());
        let (head, body) = finished.lines.split_at(end.unwrap_or(finished.lines.len()));
        let head: Vec<_> = head.iter().map(|line| line.trim_end()).collect();
        let status = head[0].split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("{text}")),
            head: head.join("\n"),
            // The line before it is none of it.
            body: body.get(1..).unwrap_or_default().join("\n"),
        }
    }

    pub(crate) fn log_in(&self, account: &str, password: &str) -> Answer {
        let page = self.get("/login");
        let form = page.form_token();
        let fields = [("account", account), ("password", password), ("form", form)];
        self.post("/login", &fields)
    }

    /// Logs in with a first password, and changes it as one has to.
    pub(crate) fn begin(&self, account: &str, first: &str) {
        self.log_in(account, first).leads_to("/password");
        self.get("/").leads_to(if account == "technician" {
            "/device"
        } else {
            "/now"
        });
        for page in ["/now", "/history", "/tokens", "/recipients"] {
            self.get(page).leads_to("/password");
        }
        let page = self.get("/password");
        let form = page.form_token();
        let change = |old: &str, new: &str| {
            let fields = [("old", old), ("new", new), ("again", new), ("form", form)];
            self.post("/password", &fields)
        };
        assert_eq!(change(first, "short").status, 422);
        assert_eq!(change(first, first).status, 422);
        change(first, CHOSEN).leads_to("/");
    }
}

/// Asks the gateway's command line for one JSON document.
pub(crate) fn smgw(house: &House, arguments: &[&str]) -> Value {
    ask(&house.stage, &house.config, arguments)
}

/// Asks the command line of the gateway with this configuration for one JSON document.
pub(crate) fn ask(stage: &Stage, config: &Path, arguments: &[&str]) -> Value {
    let (verb, more) = arguments.split_first().unwrap();
    let mut command = stage.command(Program::Smgw, verb);
    for argument in more {
        command = command.arg(argument);
    }
    let command = command.arg("--json").option("--config", config);
    let finished = stage.run(&command).unwrap();
    let answer = finished
        .answer()
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    serde_json::from_str(answer).unwrap()
}

/// Opens a house whose gateway has a local web, and returns where that is.
pub(crate) fn house_with_web() -> (House, String) {
    house_with_web_and("")
}

/// As [`house_with_web`], with more in its configuration behind the local web.
pub(crate) fn house_with_web_and(more: &str) -> (House, String) {
    let mut house = House::for_a_story(PERIOD).unwrap_or_else(|error| panic!("{}", told(&error)));
    let config = std::fs::read_to_string(&house.config).unwrap();
    let web = "[web.https]\nlisten = \"127.0.0.1:0\"\nnames = [\"smgw.local\"]\n";
    let web = format!("{web}\n{more}\n[control]");
    std::fs::write(&house.config, config.replace("[control]", &web)).unwrap();
    house.gateway.stop().unwrap();
    house
        .start_gateway_again("operational")
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    let read = wait_until(&house.stage.deadline(ARRIVAL), || {
        let status = house.gateway.status(&house.stage)?;
        Ok::<_, StageError>(status.filter(|status| status.has_read_every_meter()))
    });
    assert!(read.unwrap().is_some(), "{}", gateway_log(&house));
    let web = smgw(&house, &["status"])["https"].as_str().unwrap().to_owned();
    (house, web)
}

/// Runs the gateway's command line, and returns what it prints.
fn smgw_text(house: &House, arguments: &[&str]) -> String {
    let (verb, more) = arguments.split_first().unwrap();
    let command = house.stage.command(Program::Smgw, verb);
    let command = more
        .iter()
        .fold(command, |command, &argument| command.arg(argument));
    let finished = house.stage.run(&command.option("--config", &house.config));
    finished.unwrap().lines.join("\n")
}

/// Has the label made, and returns the password that its code fills in.
fn labelled_password(house: &House, account: &str) -> String {
    let picture = house.stage.path("label.svg");
    let drawn = picture.to_string_lossy();
    let label = smgw(house, &["web", "label", account, "--svg", &drawn]);
    let password = label["password"].as_str().unwrap();
    let address = label["address"].as_str().unwrap();
    assert!(address.starts_with("https://smgw.local:"), "{label}");
    let code = format!("{address}login#{account}:{password}");
    assert_eq!(label["code"], Value::String(code));
    assert_eq!(
        label["fingerprint"],
        smgw(house, &["status"])["https_fingerprint"]
    );
    let drawn = std::fs::read_to_string(picture).unwrap();
    assert!(drawn.contains(password) && drawn.contains("<path"), "{drawn}");
    password.to_owned()
}

pub(crate) fn first_password(house: &House, account: &str) -> String {
    let issued = smgw(house, &["web", "password", account]);
    issued["password"].as_str().unwrap().to_owned()
}

#[test]
fn everybody_gets_in_by_the_own_password_and_sees_what_is_meant_for_the_role() {
    let (house, web) = house_with_web();
    let stage = &house.stage;
    certificate_is_the_one_that_is_shown(&house, &web);
    let consumer = Browser::new(stage, &web, "consumer");
    consumer.get("/now").leads_to("/login");
    consumer.begin("consumer", &first_password(&house, "consumer"));
    let technician = Browser::new(stage, &web, "technician");
    technician.begin("technician", &first_password(&house, "technician"));

    let now = consumer.get("/now");
    assert_eq!(now.status, 200);
    assert!(
        now.body.contains("kWh") && now.body.contains("1-0:1.8.0*255"),
        "{}",
        now.body
    );
    let policy = now.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(now.header("cache-control"), Some("no-store"));
    assert!(
        now.body.matches("<script").count() == 1
            && now.body.contains("<script src=\"/live.js\" defer></script>"),
        "{}",
        now.body
    );
    assert!(
        !now.body.contains("style=") && !now.body.contains(" onclick"),
        "{}",
        now.body
    );
    let device = technician.get("/device");
    assert_eq!(device.status, 200);
    assert!(device.body.contains(&house.card.guid), "{}", device.body);
    for page in [
        "/now",
        "/history",
        "/history.csv",
        "/history.xml",
        "/costs",
        "/recipients",
        "/recipients/sent?entry=1",
        "/recipients/sent.json?entry=1",
        "/now/live",
        "/tokens",
    ] {
        assert_eq!(technician.get(page).status, 403, "{page}");
    }
    assert_eq!(technician.get("/api/v1/history").status, 401);
    assert_eq!(consumer.get("/device").status, 403);
    assert_eq!(consumer.get("/nothing").status, 404);
    languages(stage, &web);
    history(&consumer);
    restrictions(&house, &consumer);
    tokens(stage, &web, &consumer);
    consumer::sees_what_was_sent(&house, &consumer);
    consumer::sees_costs_at_own_prices(&consumer);
    consumer::saves_the_history_as_xml(&consumer);
    consumer::exports_what_is_seen(&house, &consumer);
    consumer::sees_values_as_they_come(stage, &web, &consumer);

    let form = consumer.get("/password").form_token().to_owned();
    let jar = std::fs::read(&consumer.cookies).unwrap();
    consumer.post("/logout", &[("form", &form)]).leads_to("/login");
    let log = smgw_text(&house, &["log", "show", "system"]);
    assert!(log.contains("SMGW-L-1037"), "{log}");
    std::fs::write(&consumer.cookies, jar).unwrap();
    consumer.get("/now").leads_to("/login");
    assert_eq!(technician.get("/device").status, 200, "others stay logged in");
    metrics(&house);
}

fn certificate_is_the_one_that_is_shown(house: &House, web: &str) {
    let shown = smgw(house, &["web", "certificate"]);
    let status = smgw(house, &["status"]);
    assert_eq!(shown["fingerprint"], status["https_fingerprint"]);
    let script = "openssl s_client -connect \"$1\" < /dev/null 2> /dev/null | openssl x509 -noout -fingerprint -sha256";
    let host = web.trim_start_matches("https://").trim_end_matches('/');
    let command = Command::new("openssl", Path::new("sh")).arg("-c").arg(script);
    let finished = house.stage.run(&command.arg("sh").arg(host)).unwrap();
    let seen = finished.answer().unwrap().rsplit('=').next().unwrap();
    let seen = seen.replace(':', "").to_lowercase();
    assert_eq!(shown["fingerprint"], Value::String(seen));
}

fn languages(stage: &Stage, web: &str) {
    let german = Browser::new(stage, web, "german").with(&["--header", "Accept-Language: de-DE,en;q=0.5"]);
    let page = german.get("/login");
    assert!(
        page.body.contains("<html lang=\"de\">") && page.body.contains("Passwort"),
        "{}",
        page.body
    );
    german.get("/language?to=en&back=%2Flogin").leads_to("/login");
    assert!(german.get("/login").body.contains("<html lang=\"en\">"));
    german
        .get("/language?to=de&back=%2F%2Fevil.example")
        .leads_to("/");
}

fn history(consumer: &Browser<'_>) {
    let page = consumer.get("/history?by=day");
    assert_eq!(page.status, 200);
    for text in ["<svg", "<caption>", "class=\"axis\"", "/history.csv?element="] {
        assert!(page.body.contains(text), "{text} is missing in {}", page.body);
    }
    for span in ["week", "month", "year"] {
        assert_eq!(consumer.get(&format!("/history?by={span}")).status, 200);
    }
    let csv = consumer.get("/history.csv?by=year");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.body.trim().lines().count(), 13, "{}", csv.body);
    let json = consumer.get("/api/v1/history?by=week");
    let json: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(
        (&json["schema"], json["parts"].as_array().unwrap().len()),
        (&"smgw.web-history/1".into(), 7)
    );
    assert_eq!(consumer.get("/history?element=M9/1-0:1.8.0*255").status, 404);
}

fn restrictions(house: &House, consumer: &Browser<'_>) {
    let page = consumer.get("/recipients");
    let form = page.form_token();
    let fields = [
        ("supplier", "Supplier"),
        ("meter", ""),
        ("effect", "object"),
        ("form", form),
    ];
    consumer
        .post("/recipients/restrict", &fields)
        .leads_to("/recipients");
    let restrictions = || {
        smgw(house, &["grants", "list"])["restrictions"]
            .as_array()
            .unwrap()
            .clone()
    };
    let set = restrictions();
    assert_eq!((set.len(), &set[0]["supplier"]["name"]), (1, &"Supplier".into()));
    assert!(
        consumer
            .get("/recipients")
            .body
            .contains("object: hand out nothing")
    );
    let id = set[0]["id"].to_string();
    consumer
        .post("/recipients/lift", &[("id", &id), ("form", form)])
        .leads_to("/recipients");
    assert!(restrictions().is_empty());
    let unknown = [
        ("supplier", "Nobody"),
        ("meter", ""),
        ("effect", "object"),
        ("form", form),
    ];
    assert_eq!(consumer.post("/recipients/restrict", &unknown).status, 422);
}

/// Makes an access token, and returns it.
pub(crate) fn token(consumer: &Browser<'_>, name: &str) -> String {
    let page = consumer.get("/tokens");
    let made = consumer.post("/tokens", &[("name", name), ("form", page.form_token())]);
    let (_, rest) = made.body.split_once("<code>GET").unwrap();
    let secrets = rest.split("<code>").filter_map(|part| part.split_once("</code>"));
    let mut codes = secrets.map(|(code, _)| code);
    codes.find(|code| code.len() == 64).unwrap().to_owned()
}

fn tokens(stage: &Stage, web: &str, consumer: &Browser<'_>) {
    let secret = token(consumer, "display");
    let page = consumer.get("/tokens");
    let form = page.form_token();
    assert!(!page.body.contains(&secret), "it is shown once");
    let bearer = format!("Authorization: Bearer {secret}");
    let program = Browser::new(stage, web, "program").with(&["--header", &bearer]);
    let values: Value = serde_json::from_str(&program.get("/api/v1/values").body).unwrap();
    assert_eq!(values["schema"], "smgw.web-values/1");
    assert!(values["values"].as_array().unwrap().len() > 3, "{values}");
    assert_eq!(program.get("/api/v1/deliveries").status, 200);
    assert_eq!(
        Browser::new(stage, web, "nobody").get("/api/v1/values").status,
        401
    );
    for (query, status, error) in [
        ("history?element=x", 400, "query"),
        ("deliveries?before=x", 400, "query"),
        ("nothing", 404, "missing"),
    ] {
        let refused = program.get(&format!("/api/v1/{query}"));
        let told: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(
            (refused.status, &told["error"]),
            (status, &error.into()),
            "{told}"
        );
    }
    program.get("/tokens").leads_to("/login");
    let revoked = consumer.post("/tokens/revoke", &[("name", "display"), ("form", form)]);
    revoked.leads_to("/tokens");
    assert_eq!(program.get("/api/v1/values").status, 401);
}

/// Logs in over a session, as by going back to a login that was left open, and looks for the session before.
fn a_session_ends_with_the_next_one_of_its_browser(consumer: &Browser<'_>) {
    let before = std::fs::read_to_string(&consumer.cookies).unwrap();
    std::fs::write(&consumer.cookies, "").unwrap();
    let page = consumer.get("/login");
    let with_form = std::fs::read_to_string(&consumer.cookies).unwrap();
    let session = before.lines().filter(|line| line.contains("__Host-smgw\t"));
    let session: String = session.map(|line| format!("{line}\n")).collect();
    std::fs::write(&consumer.cookies, format!("{with_form}{session}")).unwrap();
    let fields = [
        ("account", "consumer"),
        ("password", CHOSEN),
        ("form", page.form_token()),
    ];
    consumer.post("/login", &fields).leads_to("/");
    let after = std::fs::read_to_string(&consumer.cookies).unwrap();
    std::fs::write(&consumer.cookies, before).unwrap();
    consumer.get("/now").leads_to("/login");
    std::fs::write(&consumer.cookies, after).unwrap();
    assert_eq!(consumer.get("/now").status, 200);
}

fn metrics(house: &House) {
    let page = house.status.web.as_deref().unwrap();
    let metrics = Browser::new(&house.stage, page, "monitoring").get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("smgw_meter_answers_total") && metrics.body.ends_with("# EOF"));
}

#[test]
fn who_does_not_know_the_password_or_comes_by_another_way_is_refused() {
    let (house, web) = house_with_web();
    let stage = &house.stage;
    let first = labelled_password(&house, "consumer");
    let stranger = Browser::new(stage, &web, "stranger").with(&["--interface", STRANGER]);
    for _ in 0..5 {
        let refused = stranger.log_in("consumer", "not the password");
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    let refused = stranger.log_in("consumer", &first);
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=91).contains(&seconds), "{seconds}");
    assert!(refused.body.contains(&seconds.to_string()), "{}", refused.body);

    for host in ["evil.example", "192.0.2.1"] {
        let foreign = Browser::new(stage, &web, "foreign").with(&["--header", &format!("Host: {host}")]);
        assert_eq!(foreign.get("/login").status, 421, "{host}");
    }
    let named = Browser::new(stage, &web, "named").with(&["--header", "Host: smgw.local"]);
    assert_eq!(named.get("/login").status, 200);

    let consumer = Browser::new(stage, &web, "consumer");
    let fields = [("account", "consumer"), ("password", first.as_str())];
    let forged = "0".repeat(64);
    assert_eq!(
        consumer
            .post("/login", &[fields[0], fields[1], ("form", &forged)])
            .status,
        403
    );
    let huge = "x".repeat(20_000);
    assert_eq!(consumer.post("/login", &[("account", &huge)]).status, 413);
    consumer.begin("consumer", &first);
    for path in [
        "/../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/history%00",
        "//now",
    ] {
        assert_eq!(consumer.get(path).status, 404, "{path}");
    }
    for (path, fields) in [
        ("/logout", vec![]),
        ("/tokens", vec![("name", "x")]),
        (
            "/recipients/restrict",
            vec![("supplier", ""), ("meter", ""), ("effect", "object")],
        ),
        ("/recipients/lift", vec![("id", "1")]),
    ] {
        let forged = [fields, vec![("form", forged.as_str())]].concat();
        assert_eq!(consumer.post(path, &forged).status, 403, "{path}");
    }
    let fields = [
        ("old", CHOSEN),
        ("new", "another password"),
        ("again", "another password"),
    ];
    let fields = [&fields[..], &[("form", forged.as_str())]].concat();
    assert_eq!(consumer.post("/password", &fields).status, 403);
    assert_eq!(consumer.get("/now").status, 200);
    a_session_ends_with_the_next_one_of_its_browser(&consumer);

    let log = smgw_text(&house, &["log", "show", "system"]);
    for code in ["SMGW-L-1031", "SMGW-L-1032", "SMGW-L-1033", "SMGW-L-1038"] {
        assert!(log.contains(code), "{code} is missing in {log}");
    }
    assert!(!log.contains("not the password"), "{log}");
}
