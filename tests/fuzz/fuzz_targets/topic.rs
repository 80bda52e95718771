//! Any text is a topic, or the address of a broker, or refused; there is one text for each topic.
//!
//! If the first byte is odd, what follows is 16 bytes of a GUID, the leg and 32 bytes of a party, whose topic is read.
#![no_main]

use broker::{BrokerAddress, Filter, Leg, Topic};
use libfuzzer_sys::fuzz_target;
use model::{CardId, Fingerprint};

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    if kind & 1 == 1 {
        made(rest);
    }
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    if let Ok(topic) = text.parse::<Topic>() {
        assert_eq!(topic.to_string(), text);
        // Nothing in it reaches beyond its level.
        assert_eq!(text.split('/').count(), 6);
        assert!(!text.contains(['+', '#', '\0']));
    }
    if let Ok(address) = text.parse::<BrokerAddress>() {
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        assert!(address.port() != 0 && !address.host().is_empty());
    }
});

fn made(bytes: &[u8]) {
    let (Some(guid), Some(leg), Some(party)) = (bytes.get(..16), bytes.get(16), bytes.get(17..49)) else {
        return;
    };
    let Ok(gateway) = CardId::try_from(guid) else {
        return;
    };
    let party = Fingerprint::new(party.try_into().unwrap());
    let leg = Leg::ALL[usize::from(*leg) % Leg::ALL.len()];
    let topic = Topic { gateway, leg, party };
    assert_eq!(topic.to_string().parse(), Ok(topic));
    let filter = Filter::to_gateway(gateway, leg);
    let begin = filter.as_str().strip_suffix('+').unwrap();
    assert!(topic.to_string().starts_with(begin));
}
