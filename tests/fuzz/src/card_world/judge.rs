//! A card of which every answer and every change is judged by the card's tables.

use card::applet::{Applet, CardState};
use card::{COMMANDS, CommandApdu, FILES, Header, LifeCycle, Reach, ResponseApdu, StatusWord};
use serde_json::Value;

use super::Repeatable;

/// A card in a variable. Whatever it does that it must not, panics.
pub struct JudgedCard {
    applet: Applet,
    random: Repeatable,
    stored: Stored,
    /// What the world has said to the card: who says a secret hears it without the card's fault.
    said: Vec<u8>,
    /// The end of all that the card has answered, in clear and opened, one after the other.
    heard: Vec<u8>,
}

/// How many bytes of the answers are kept, so that a secret is found that goes out in two of them.
const SEAM: usize = 64;

impl JudgedCard {
    /// Gives power to a card.
    pub fn power_on(state: CardState) -> Self {
        Self {
            stored: Stored::of(&state),
            applet: Applet::power_on(state),
            random: Repeatable::new(11),
            said: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Remembers what the world will say.
    pub fn told(mut self, said: &[u8]) -> Self {
        self.said = said.to_vec();
        self
    }

    /// Takes the power away and gives it back; what the card keeps goes through its stored form.
    pub fn reset(&mut self) {
        let bytes = self.applet.state().to_bytes().expect("a state");
        self.applet = Applet::power_on(CardState::from_bytes(&bytes).expect("the state that was stored"));
    }

    /// Returns what the card keeps.
    pub fn state(&self) -> &CardState {
        self.applet.state()
    }

    /// Returns what the card's holder stores.
    pub fn stored(&self) -> Vec<u8> {
        self.stored.bytes.clone()
    }

    /// Sends any bytes in clear.
    pub fn raw(&mut self, command: &[u8]) -> ResponseApdu {
        let before = self.state().life_cycle();
        let parsed = CommandApdu::parse(command);
        let header = parsed.as_ref().map(CommandApdu::header);
        let answer = self.transmit(command, header.ok(), Reach::Anyone);
        let Ok(header) = header else {
            assert!(!is_done(answer.status()), "bytes that are no command work");
            return answer;
        };
        let is_part = matches!(header.cla, 0x10 | 0x1C);
        if !is_part || !answer.data().is_empty() {
            self.judge(header, Reach::Anyone, before, &answer);
        }
        answer
    }

    /// Sends a command that carries another one over a channel. What is inside is judged by whoever opens it.
    pub fn carry(&mut self, command: &[u8], reach: Reach) -> ResponseApdu {
        self.transmit(command, None, reach)
    }

    /// Judges the answer to a command that came over a channel while the card was in a state.
    pub fn judge(&mut self, header: Header, reach: Reach, before: LifeCycle, answer: &ResponseApdu) {
        if is_done(answer.status()) {
            assert!(
                is_permitted(header, reach, before),
                "{header:02x?} worked for {reach} on a card that was {before}"
            );
        } else {
            assert!(answer.data().is_empty(), "a refusal has data");
        }
        self.listen(answer.data());
    }

    fn transmit(&mut self, command: &[u8], header: Option<Header>, reach: Reach) -> ResponseApdu {
        let before = self.stored.life_cycle;
        let answer = self.applet.process(command, &mut self.random);
        let bytes = self.state().to_bytes().expect("a state");
        let is_changed = *bytes != self.stored.bytes;
        assert_eq!(is_changed, answer.changed, "the holder is told of every change");
        if is_changed {
            let after = Stored::of(self.state());
            after.follows(&self.stored, header, reach);
            self.stored = after;
        }
        self.listen(&answer.response);
        let answer = ResponseApdu::parse(&answer.response).expect("an answer");
        if before == LifeCycle::Terminated {
            assert_eq!(
                (answer.status(), answer.data()),
                (StatusWord::TERMINATED, &[][..])
            );
        }
        answer
    }

    /// Looks for secrets in what the card says, and at the seams of what it said before.
    fn listen(&mut self, answer: &[u8]) {
        self.heard.extend_from_slice(answer);
        for secret in &self.stored.secrets {
            let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
            assert!(
                !is_in(&self.heard) || is_in(&self.said),
                "a secret of the card has left it"
            );
        }
        let begin = self.heard.len().saturating_sub(SEAM);
        self.heard.drain(..begin);
    }
}

/// Whether a command was carried out, to its end or but for the rest of its answer.
fn is_done(status: StatusWord) -> bool {
    matches!(status.to_bytes(), [0x90, 0x00] | [0x61, _])
}

/// Returns whether the table has a row for the command, over the channel and in the state.
fn is_permitted(header: Header, reach: Reach, state: LifeCycle) -> bool {
    // The steps of PACE carry the chaining bit.
    let cla = if header.cla == 0x10 { 0x00 } else { header.cla };
    COMMANDS.iter().any(|rule| {
        rule.cla_ins == [cla, header.ins]
            && rule
                .parameters
                .is_none_or(|parameters| parameters == [header.p1, header.p2])
            && rule.reach.contains(&reach)
            && rule.states.contains(&state)
    })
}

/// What the holder of the card stores.
struct Stored {
    bytes: Vec<u8>,
    json: Value,
    /// The private keys and the pairing secret.
    secrets: Vec<Vec<u8>>,
    life_cycle: LifeCycle,
}

const BIND: [u8; 2] = [0x80, 0x10];
const ACTIVATE: [u8; 2] = [0x00, 0x44];
const GENERATE: [u8; 2] = [0x00, 0x47];
const IMPORT: [u8; 2] = [0x00, 0xDB];

impl Stored {
    fn of(state: &CardState) -> Self {
        let bytes = state.to_bytes().expect("a state").to_vec();
        let json: Value = serde_json::from_slice(&bytes).expect("JSON");
        Self {
            secrets: secrets(&json),
            bytes,
            json,
            life_cycle: state.life_cycle(),
        }
    }

    /// Asserts that the change from `before` to this is one that the tables permit.
    fn follows(&self, before: &Self, header: Option<Header>, reach: Reach) {
        let is = |command: [u8; 2]| {
            reach == Reach::Anyone && header.is_some_and(|header| [header.cla & !0x10, header.ins] == command)
        };
        let (old, new) = (before.life_cycle, self.life_cycle);
        let is_path = match (old, new) {
            _ if old == new => true,
            (LifeCycle::Blank, LifeCycle::Personalized) => is(ACTIVATE),
            (LifeCycle::Personalized, LifeCycle::Bound) => is(BIND),
            (LifeCycle::Bound, LifeCycle::Operational) => reach == Reach::Tsm,
            (LifeCycle::Bound | LifeCycle::Operational, LifeCycle::Terminated) => {
                is(BIND) || reach == Reach::Tsm
            }
            _ => false,
        };
        assert!(
            is_path,
            "the life cycle went from {old} to {new} by {header:02x?} of {reach}"
        );
        if new == LifeCycle::Terminated {
            assert!(self.secrets.is_empty(), "a dead card keeps secrets");
        } else {
            let by_personalizer = old == LifeCycle::Blank && (is(GENERATE) || is(IMPORT));
            assert!(
                self.json["keys"] == before.json["keys"] || by_personalizer,
                "a key was changed by {header:02x?}"
            );
            let attestation = |stored: &Self| stored.json["keys"]["attestation"].clone();
            assert!(
                attestation(self) == attestation(before) || is(GENERATE),
                "the attestation key was not made on the card"
            );
            if new == LifeCycle::Personalized && old == LifeCycle::Blank {
                let count = |part: &Value| part.as_object().map_or(0, |part| part.len());
                let found = (count(&self.json["keys"]), count(&self.json["files"]));
                assert_eq!(found, (4, 6), "a card was completed that is not complete");
            }
            self.binding_follows(&before.json["binding"], is(BIND), reach);
        }
        self.files_follow(before, reach);
        for counter in ["sessions", "tries"] {
            let of = |stored: &Self| stored.json["pairing"][counter].as_u64().expect("a counter");
            let grows = of(self) >= of(before);
            assert!(grows || counter == "tries", "the session counter went back");
        }
    }

    fn binding_follows(&self, before: &Value, is_bind: bool, reach: Reach) {
        let now = &self.json["binding"];
        if now == before {
            return;
        }
        if before.is_null() {
            return assert!(is_bind, "a binding without BIND");
        }
        for part in ["gateway", "pairing_secret"] {
            assert_eq!(now[part], before[part], "the binding is written once");
        }
        assert!(
            reach == Reach::Gateway && now["confirmed"] == true,
            "a confirmation that is none"
        );
    }

    fn files_follow(&self, before: &Self, reach: Reach) {
        let (now, then) = (&self.json["files"], &before.json["files"]);
        for rule in FILES {
            let name = rule.file.identifier().to_string();
            if now[&name] == then[&name] {
                continue;
            }
            let is_permitted = rule
                .written
                .is_some_and(|(states, by)| by == reach && states.contains(&before.life_cycle));
            assert!(
                is_permitted,
                "{} was changed by {reach} on a card that was {}",
                rule.name, before.life_cycle
            );
            if let (Some(new), Some(old)) = (number(&now[&name]), number(&then[&name]))
                && ["EF.ANCHOR", "EF.HEAD"].contains(&rule.name)
            {
                assert!(new >= old, "{} went back from {old} to {new}", rule.name);
            }
        }
    }
}

fn secrets(json: &Value) -> Vec<Vec<u8>> {
    let keys = json["keys"].as_object().expect("keys").values();
    let hex = |key: &Value| unhex(key.as_str().expect("a key"));
    let pairing = json["binding"]["pairing_secret"].as_array().into_iter();
    let byte = |byte: &Value| u8::try_from(byte.as_u64().expect("a byte")).expect("a byte");
    keys.map(hex)
        .chain(pairing.map(|bytes| bytes.iter().map(byte).collect()))
        .collect()
}

/// Reads the number in object 80 at the beginning of a file: 80 08, then eight bytes.
fn number(content: &Value) -> Option<u64> {
    let bytes = unhex(content.as_str()?);
    Some(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?))
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}
