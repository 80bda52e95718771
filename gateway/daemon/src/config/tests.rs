use super::*;
use mbus::master::{BaudRate, ByteOrder, Station};

const GOOD: &str = r#"
data = "/var/lib/smgw"
registration_period = "PT5S"

[control]
socket = "/run/smgw/smgw.sock"

[[bus]]
name = "cellar"
mbus = "127.0.0.1:10001"

[[bus.meter]]
name = "gas"
primary = 1
"#;

fn fault(text: &str) -> (usize, String) {
    let fault = Config::parse(text).unwrap_err();
    (fault.line(text), crate::report::Chain(&fault).to_string())
}

#[test]
fn the_sample_is_a_valid_configuration() {
    let config = Config::parse(include_str!("../../smgw.toml")).unwrap();
    assert_eq!(config.registration_period, Span::QUARTER_HOUR);
    assert_eq!(config.live_period, Span::from_seconds(10));
    assert_eq!(config.history.to_string(), "P730D");
}

#[test]
fn a_configuration_is_shown_as_it_is_in_force() {
    let shown = Config::parse(GOOD).unwrap().to_string();
    assert!(shown.contains("registration period  PT5S"), "{shown}");
    assert!(shown.contains("live period          off"), "{shown}");
    assert!(shown.contains("M-Bus at tcp:127.0.0.1:10001: gas"), "{shown}");
}

#[test]
fn live_period_is_shorter_than_the_registration_period_and_a_second_at_least() {
    let with = |period: &str| GOOD.replace("\n[control]", &format!("live_period = {period:?}\n[control]"));
    let config = Config::parse(&with("PT1S")).unwrap();
    assert_eq!(config.live_period, Span::from_seconds(1));
    assert!(config.to_string().contains("live period          PT1S"));
    for (period, words) in [("PT5S", "PT5S"), ("PT15M", "leave it out"), ("PT0S", "PT15M")] {
        let (line, message) = fault(&with(period));
        assert_eq!(line, 4, "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let (line, message) = fault(&GOOD.replace("primary = 1", "primary = 1\nbaudrate = 2400"));
    assert_eq!(line, 15);
    assert!(message.contains("unknown field `baudrate`"), "{message}");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_line() {
    let (line, message) = fault(&GOOD.replace("\"PT5S\"", "5"));
    assert_eq!(line, 3);
    assert!(message.contains("invalid type"), "{message}");
    let (line, message) = fault(&GOOD.replace("PT5S", "5 s"));
    assert_eq!(line, 3);
    assert!(message.contains("PT15M"), "{message}");
}

#[test]
fn names_are_unique() {
    let (line, message) = fault(&format!(
        "{GOOD}\n[[bus.meter]]\nname = \"cellar\"\nprimary = 2\n"
    ));
    assert_eq!(line, 17);
    assert!(message.contains("\"cellar\" is used twice"), "{message}");
}

#[test]
fn names_do_nothing_to_a_terminal() {
    for name in ["\\u001b[31mgas", "gas\\nwater", "sag\\u202e"] {
        let meter = format!("{GOOD}\n[[bus.meter]]\nname = \"{name}\"\nprimary = 2\n");
        let (line, message) = fault(&meter);
        assert_eq!(line, 17, "{name}");
        assert!(message.contains("control character"), "{message}");
    }
}

#[test]
fn a_bus_has_one_protocol() {
    for replacement in ["", "mbus = \"a:1\"\nmodbus = \"b:2\""] {
        let (_, message) = fault(&GOOD.replace("mbus = \"127.0.0.1:10001\"", replacement));
        assert!(message.contains("either mbus or modbus"), "{message}");
    }
}

#[test]
fn a_meter_has_the_address_of_its_protocol() {
    let (_, message) = fault(&GOOD.replace("primary = 1", "primary = 251"));
    assert!(message.contains("primary, 0 to 250"), "{message}");
    let (_, message) = fault(&GOOD.replace("primary = 1", "unit = 1"));
    assert!(message.contains("primary, 0 to 250"), "{message}");
    let modbus = GOOD.replace("mbus = ", "modbus = ");
    let (_, message) = fault(&modbus);
    assert!(message.contains("needs unit"), "{message}");
    let (line, message) = fault(&modbus.replace("primary = 1", "unit = 1\nprofile = \"acme-1\""));
    assert_eq!(line, 15);
    assert!(message.contains("no profile \"acme-1\"; there are "), "{message}");
    assert!(message.contains(" eastron-sdm630, "), "{message}");
}

#[test]
fn modbus_meters_are_on_lines_and_hosts() {
    let modbus = |endpoint: &str, meter: &str| {
        GOOD.replace("mbus = \"127.0.0.1:10001\"", &format!("modbus = \"{endpoint}\""))
            .replace("primary = 1", meter)
    };
    let electricity = "unit = 1\nprofile = \"eastron-sdm630\"";
    for (endpoint, shown) in [
        ("meter.local:502", "tcp:meter.local:502"),
        ("tcp:[::1]:502", "tcp:[::1]:502"),
        ("rtutcp:10.0.0.1:4001", "rtutcp:10.0.0.1:4001"),
        ("rtu:/dev/ttyUSB0:9600:8E1", "rtu:/dev/ttyUSB0:9600:8E1"),
    ] {
        let config = Config::parse(&modbus(endpoint, electricity)).unwrap();
        let text = config.to_string();
        assert!(text.contains(&format!("Modbus at {shown}: gas")), "{text}");
    }
    let (line, message) = fault(&modbus("rtu:/dev/ttyUSB0:9600", electricity));
    assert_eq!(line, 10);
    assert!(message.contains("such as rtu:/dev/ttyUSB0:9600:8E1"), "{message}");

    // A meter that does not tell its serial number is named by hand.
    let gas = "unit = 1\nprofile = \"wirenboard-mcm8-gas\"";
    let (line, message) = fault(&modbus("meter.local:502", gas));
    assert_eq!(line, 15);
    assert!(message.contains("give the meter an id"), "{message}");
    let named = format!("{gas}\nid = \"GAS-4711\"\nanswer_timeout_ms = 2500");
    Config::parse(&modbus("meter.local:502", &named)).unwrap();
    let (line, message) = fault(&modbus("meter.local:502", &format!("{gas}\nid = \"a meter\"")));
    assert_eq!(line, 16);
    assert!(message.contains("cannot contain ' '"), "{message}");
    let slow = format!("{electricity}\nanswer_timeout_ms = 61000");
    let (line, message) = fault(&modbus("meter.local:502", &slow));
    assert_eq!(line, 16);
    assert!(message.contains("10 to 60000 ms"), "{message}");
    let (_, message) = fault(&GOOD.replace("primary = 1", "primary = 1\nid = \"GAS-1\""));
    assert!(message.contains("no other address"), "{message}");
}

#[test]
fn a_profile_can_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let text = |file: &Path| {
        GOOD.replace("mbus = ", "modbus = ").replace(
            "primary = 1",
            &format!("unit = 1\nprofile = \"{}\"", file.display()),
        )
    };
    let (line, message) = fault(&text(&file));
    assert_eq!(line, 15);
    assert!(message.contains("mine.toml: it cannot be read"), "{message}");
    std::fs::write(&file, modbus::built_in("eastron-sdm630").unwrap()).unwrap();
    Config::parse(&text(&file)).unwrap();
    let damaged = modbus::built_in("eastron-sdm630")
        .unwrap()
        .replace("registers_per_request = 80", "registers_per_request = 0");
    std::fs::write(&file, damaged).unwrap();
    let (_, message) = fault(&text(&file));
    assert!(
        message.contains("mine.toml: line ") && message.contains("limits.registers_per_request"),
        "{message}"
    );
}

#[test]
fn one_line_is_one_bus_however_it_is_written() {
    let meter = "[[bus.meter]]\nname = \"heat\"\nunit = 3\nprofile = \"eastron-sdm630\"\n";
    for (first, second) in [
        ("127.0.0.1:10001", "tcp:127.0.0.1:10001"),
        ("tcp:127.0.0.1:10001", "rtutcp:127.0.0.1:10001"),
        ("serial:/dev/ttyUSB0:2400", "rtu:/dev/ttyUSB0:9600:8E1"),
    ] {
        let first = GOOD.replace("127.0.0.1:10001", first);
        let second = format!("[[bus]]\nname = \"attic\"\nmodbus = \"{second}\"\n{meter}");
        let (_, message) = fault(&format!("{first}\n{second}"));
        assert!(message.contains("same endpoint"), "{message}");
    }
}

#[test]
fn what_cannot_work_is_refused_before_it_runs() {
    for (from, to, expected) in [
        ("name = \"gas\"", "name = \" \"", "a name is empty"),
        ("127.0.0.1:10001", "127.0.0.1", "host:port"),
        ("127.0.0.1:10001", "127.0.0.1:0", "host:port"),
        ("PT5S", "PT7S", "does not divide a day"),
        ("PT5S", "P2D", "does not divide a day"),
        ("[[bus.meter]]\nname = \"gas\"\nprimary = 1\n", "", "no meters"),
    ] {
        let (_, message) = fault(&GOOD.replace(from, to));
        assert!(message.contains(expected), "{to:?}: {message}");
    }
    let (line, message) = fault(&format!("{GOOD}\n[[bus.meter]]\nname = \"water\"\nprimary = 1\n"));
    assert_eq!(line, 17);
    assert!(message.contains("same address"), "{message}");
    let second = "[[bus]]\nname = \"attic\"\nmbus = \"127.0.0.1:10001\"\n[[bus.meter]]\nname = \"heat\"\nprimary = 3\n";
    let (line, message) = fault(&format!("{GOOD}\n{second}"));
    assert_eq!(line, 18);
    assert!(message.contains("same endpoint"), "{message}");
}

#[test]
fn keys_and_fuses_of_the_board_are_taken_and_shown() {
    let shown = Config::parse(GOOD).unwrap().to_string();
    assert!(
        shown.contains("device.key in the data folder: the weak default"),
        "{shown}"
    );
    let with = |otp: &str| {
        let store = format!("[store]\ndevice_key = \"/run/key\"\notp = {otp}\n[control]");
        GOOD.replace("[control]", &store)
    };
    let config = Config::parse(&with("{ file = \"/sys/nvmem\", offset = 64 }")).unwrap();
    let expected = OtpPlace {
        file: "/sys/nvmem".into(),
        offset: 64,
    };
    assert_eq!(config.otp, Some(expected));
    let shown = config.to_string();
    assert!(shown.contains("device key           /run/key"), "{shown}");
    assert!(shown.contains("/sys/nvmem from byte 64 on"), "{shown}");
    let (line, message) = fault(&with("{ file = \"/sys/nvmem\", offset = 65 }"));
    assert_eq!(line, 7);
    assert!(message.contains("multiple of 4"), "{message}");
}

#[test]
fn the_local_page_stays_on_the_device() {
    let (line, message) = fault(&GOOD.replace("[control]", "[web]\nlisten = \"0.0.0.0:80\"\n[control]"));
    assert_eq!(line, 6);
    assert!(message.contains("loopback"), "{message}");
}

#[cfg(not(feature = "soft-card"))]
#[test]
fn a_production_build_has_no_soft_card() {
    let (line, message) = fault(&GOOD.replace("[control]", "[card]\nsoft = \"card\"\n[control]"));
    assert_eq!(line, 6);
    assert!(message.contains("no soft card"), "{message}");
}

#[cfg(feature = "soft-card")]
#[test]
fn a_soft_card_is_announced() {
    let config = Config::parse(&GOOD.replace("[control]", "[card]\nsoft = \"card\"\n[control]")).unwrap();
    assert!(config.to_string().contains("SOFT CARD card"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::read(Path::new("/nonexistent/smgw.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/nonexistent/smgw.toml cannot be read")
    );
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(MAX_FILE + 1).unwrap();
    for path in [file.path(), Path::new("/dev/zero")] {
        assert!(matches!(Config::read(path), Err(ConfigError::TooLarge { .. })));
    }
}

#[test]
fn history_is_24_months_unless_the_file_says_otherwise() {
    let history = |text: &str| Config::parse(text).unwrap().history.to_string();
    assert_eq!(history(GOOD), "P730D");
    let with = |value: &str| GOOD.replace("[control]", &format!("[store]\nhistory = {value}\n[control]"));
    assert_eq!(history(&with("\"P30D\"")), "P30D");
    let (line, message) = fault(&with("\"PT23H\""));
    assert_eq!(line, 6);
    assert!(message.contains("a day (P1D) at least"), "{message}");
    let (line, message) = fault(&with("730"));
    assert_eq!(line, 6);
    assert!(message.contains("invalid type"), "{message}");
}

#[test]
fn an_mbus_is_reached_over_tcp_or_a_serial_port_at_its_speed() {
    for (endpoint, shown) in [
        ("\"tcp:127.0.0.1:10001\"\nbaud = 9600", "tcp:127.0.0.1:10001"),
        ("\"serial:/dev/ttyUSB0:2400\"", "serial:/dev/ttyUSB0:2400"),
    ] {
        let config = Config::parse(&GOOD.replace("\"127.0.0.1:10001\"", endpoint)).unwrap();
        assert!(config.to_string().contains(shown), "{config}");
    }
    for (endpoint, expected) in [
        ("\"serial:/dev/ttyUSB0\"", "the endpoint is none"),
        (
            "\"serial:/dev/ttyUSB0:2400\"\nbaud = 2400",
            "has it in its endpoint",
        ),
        ("\"127.0.0.1:1\"\nbaud = 1", "has it in its endpoint"),
    ] {
        let (_, message) = fault(&GOOD.replace("\"127.0.0.1:10001\"", endpoint));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn an_mbus_meter_may_have_a_secondary_address() {
    let secondary = |text: &str| GOOD.replace("primary = 1", &format!("secondary = \"{text}\""));
    assert!(Config::parse(&secondary("ACW-12345678-14-07")).is_ok());
    assert!(Config::parse(&secondary("12345678")).is_ok());
    let (_, message) = fault(&secondary("1234"));
    assert!(message.contains("or secondary"), "{message}");
}

#[test]
fn an_mbus_meter_may_be_asked_in_a_way_of_its_own() {
    let serial = GOOD.replace("127.0.0.1:10001", "serial:/dev/ttyUSB0:2400");
    let of = |text: &str| Config::parse(&serial.replace("primary = 1", text)).unwrap();
    let address: mbus::link::SecondaryAddress = "12345678".parse().unwrap();
    let expected = Station::new(address)
        .at(BaudRate::B300)
        .with_application_reset(0x10)
        .with_byte_order(ByteOrder::MostFirst);
    let config =
        of("secondary = \"12345678\"\nbaud = 300\napplication_reset = 0x10\nbyte_order = \"most-first\"");
    let Port::Mbus { meters, .. } = &config.buses[0].port else {
        panic!("{:?}", config.buses);
    };
    assert_eq!(meters[0].address, expected);

    for (text, line, expected) in [
        ("primary = 1\nbaud = 1234", 15, "300 to 38400"),
        (
            "primary = 1\nbyte_order = \"most-first\"",
            13,
            "byte_order goes with secondary",
        ),
        ("primary = 1\nbyte_order = \"none\"", 15, "least-first"),
        ("primary = 1\napplication_reset = 256", 15, "256"),
    ] {
        let (found, message) = fault(&serial.replace("primary = 1", text));
        assert!(message.contains(expected), "{text}: {message}");
        assert_eq!(found, line, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let with_key = format!("primary = 1\nkey_file = {file:?}");
    for text in ["", "00112233", "0011223344556677889900112233445g"] {
        std::fs::write(&file, text).unwrap();
        let (line, message) = fault(&serial.replace("primary = 1", &with_key));
        assert!(line == 15 && message.contains("32 hexadecimal"), "{message}");
    }
    std::fs::write(&file, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    let expected = Station::new(mbus::link::PrimaryAddress::try_from(1).unwrap()).with_key(
        mbus::application::Key::new(std::array::from_fn(|n| n.try_into().unwrap())),
    );
    let config = of(&with_key);
    assert!(matches!(&config.buses[0].port, Port::Mbus { meters, .. } if meters[0].address == expected));
    let (line, message) = fault(&GOOD.replace("primary = 1", "primary = 1\nbaud = 300"));
    assert!(line == 15 && message.contains("serial port"), "{line}: {message}");
    for ms in ["5001", "-1"] {
        let (line, message) = fault(&GOOD.replace("mbus =", &format!("latency_ms = {ms}\nmbus =")));
        assert!(line == 10 && !message.is_empty(), "{line}: {message}");
    }
    let modbus = "unit = 1\nprofile = \"eastron-sdm630\"\napplication_reset = 1";
    let modbus = GOOD.replace("mbus =", "modbus =").replace("primary = 1", modbus);
    let (_, message) = fault(&modbus);
    assert!(message.contains("are of an M-Bus meter"), "{message}");
}

#[test]
fn the_card_is_in_the_only_reader_unless_one_is_named() {
    let of = |text: &str| {
        Config::parse(&GOOD.replace("[control]", &format!("{text}\n[control]")))
            .unwrap()
            .card
    };
    assert_eq!(of("").slot, CardSlot::Reader(None));
    let named = of("[card]\nreader = \"Alpha\"\nheartbeat_ms = 500");
    assert_eq!(named.slot, CardSlot::Reader(Some("Alpha".to_owned())));
    assert_eq!(named.heartbeat, Duration::from_millis(500));
}

#[test]
fn a_card_is_bound_at_its_insertion_unless_the_technician_is_to_confirm() {
    let of = |text: &str| Config::parse(&GOOD.replace("[control]", &format!("[card]\n{text}\n[control]")));
    assert!(!of("").unwrap().card.waits_for_confirmation);
    assert!(!of("binding = \"automatic\"").unwrap().card.waits_for_confirmation);
    let confirmed = of("binding = \"confirmed\"").unwrap();
    assert!(confirmed.card.waits_for_confirmation);
    assert!(confirmed.to_string().contains("after smgw binding confirm"));
    assert!(of("binding = \"sometimes\"").is_err());
}

#[test]
fn a_heartbeat_that_never_comes_or_never_rests_is_refused() {
    for ms in [0, 49, 501] {
        let (line, message) =
            fault(&GOOD.replace("[control]", &format!("[card]\nheartbeat_ms = {ms}\n[control]")));
        assert!(line > 1 && message.contains("50 to 500"), "{message}");
    }
}

#[test]
fn a_card_in_a_reader_and_in_a_file_is_refused() {
    let (_, message) = fault(&GOOD.replace("[control]", "[card]\nsoft = \"a\"\nreader = \"b\"\n[control]"));
    assert!(message.contains("either in a reader or in a file"), "{message}");
}

#[test]
fn local_web_has_names_a_zone_and_consumers_with_meters() {
    let with = |lines: &str| {
        let section = format!("[web.https]\nlisten = \"0.0.0.0:443\"\n{lines}\n[control]");
        GOOD.replace("[control]", &section)
    };
    let flat = "[[web.https.consumer]]\nname = \"flat-1\"\nmeters = [\"M1\", \"M2\"]";
    let config = Config::parse(&with(&format!("names = [\"SMGW.local\"]\n{flat}"))).unwrap();
    let https = config.https.unwrap();
    assert_eq!((config.web, https.names), (None, vec!["smgw.local".to_owned()]));
    assert_eq!(https.zone.to_string(), "CET-1CEST,M3.5.0,M10.5.0/3");
    assert_eq!(https.consumers[0].meters.len(), 2);
    for (lines, expected) in [
        ("names = [\"a/b\"]", "web.https.names"),
        ("zone = \"Europe/Berlin\"", "web.https.zone"),
        (&flat.replace("flat-1", "technician"), "technician is taken"),
        (&format!("{flat}\n{flat}"), "web.https.consumer"),
        (&flat.replace("flat-1", "Flat 1"), "web.https.consumer"),
        (&flat.replace("\"M1\", \"M2\"", ""), "with meters"),
        ("password = \"x\"", "unknown field"),
    ] {
        let (_, message) = fault(&with(lines));
        assert!(message.contains(expected), "{lines}: {message}");
    }
}
