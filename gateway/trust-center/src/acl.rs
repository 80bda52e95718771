//! The access rules that the operator of an MQTT broker needs: who may use which topics, by what the books say now.
//!
//! The rules themselves are those of the sample beside the crate `broker`, whose lines are filled in here.

use messages::certificate::Certificate;
use model::{CardId, Fingerprint, Timestamp};
use serde::Serialize;

use crate::books::{Books, BooksError, Outcome};
use crate::names;

/// The sample of the access rules, as it is shipped.
const SAMPLE: &str = include_str!("../../broker/mosquitto.acl");
/// What stands in the sample's lines for the fingerprint of a party's SIG certificate.
const FINGERPRINT: &str = "FINGERPRINT";
/// What stands in the sample's patterns for the name of the client: for a gateway its GUID.
const GUID: &str = "%u";
/// How many cards are read at once.
const PAGE: u32 = 500;

/// How gateways stand in the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GatewayRules {
    /// By patterns that hold for every gateway.
    Patterns,
    /// One by one, as far as their cards are complete and neither revoked nor terminated.
    Each,
}

/// What a broker's operator needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "trust-center.broker-acl/1")]
pub(crate) struct AccessRules {
    /// The file for Mosquitto's `acl_file`.
    pub(crate) rules: String,
    /// The parties that are in it, by name.
    pub(crate) parties: Vec<String>,
    /// Those that got no rules, since a broker would take their names for others.
    pub(crate) left_out: Vec<String>,
}

/// Writes the access rules.
pub(crate) fn rules(
    books: &Books,
    gateways: GatewayRules,
    now: Timestamp,
) -> Result<AccessRules, BooksError> {
    let mut made = AccessRules {
        rules: format!(
            "# Access rules for Mosquitto, as the trust centre's books were at {now}. Take them with\n#\n\
             #   require_certificate true\n#   use_identity_as_username true\n#\n\
             # and make them anew when somebody is certified, renewed or revoked.\n\n"
        ),
        parties: Vec::new(),
        left_out: Vec::new(),
    };
    match gateways {
        GatewayRules::Patterns => {
            made.rules.push_str("# Every gateway. %u is the GUID.\n");
            lines("pattern ").for_each(|line| push(&mut made.rules, line));
        }
        GatewayRules::Each => {
            for guid in living(books)? {
                push(&mut made.rules, &format!("user {guid}"));
                for line in lines("pattern ") {
                    let line = line.replacen("pattern", "topic", 1);
                    push(&mut made.rules, &line.replace(GUID, &guid.to_string()));
                }
                made.rules.push('\n');
            }
        }
    }
    for (name, fingerprints) in parties(books, now)? {
        if !name.parse().is_ok_and(|name| names::check(&name).is_ok()) {
            made.left_out.push(name);
            continue;
        }
        push(&mut made.rules, &format!("\nuser {name}"));
        for fingerprint in fingerprints {
            for line in lines("topic ").filter(|line| line.contains(FINGERPRINT)) {
                push(
                    &mut made.rules,
                    &line.replace(FINGERPRINT, &fingerprint.to_string()),
                );
            }
        }
        for line in lines("topic ").filter(|line| !line.contains(FINGERPRINT)) {
            push(&mut made.rules, line);
        }
        made.parties.push(name);
    }
    Ok(made)
}

/// Returns the lines of the sample that begin with this word.
fn lines(word: &'static str) -> impl Iterator<Item = &'static str> {
    SAMPLE.lines().filter(move |line| line.starts_with(word))
}

fn push(rules: &mut String, line: &str) {
    rules.push_str(line);
    rules.push('\n');
}

/// Returns the suppliers and the TSM with their SIG certificates that hold: a renewed party may have several.
fn parties(books: &Books, now: Timestamp) -> Result<Vec<(String, Vec<Fingerprint>)>, BooksError> {
    let mut parties: Vec<(String, Vec<Fingerprint>)> = Vec::new();
    for certificate in books.signers()? {
        if certificate.validity()?.1 <= now {
            continue;
        }
        let name = certificate.subject()?.name().to_string();
        let fingerprint = Certificate::fingerprint(&certificate);
        match parties.last_mut() {
            Some((last, fingerprints)) if *last == name => fingerprints.push(fingerprint),
            _ => parties.push((name, vec![fingerprint])),
        }
    }
    Ok(parties)
}

/// Returns the GUIDs of the cards with which a gateway may be met at a broker.
fn living(books: &Books) -> Result<Vec<CardId>, BooksError> {
    let (mut living, mut behind) = (Vec::new(), None);
    loop {
        let page = books.cards(behind, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(living);
        };
        behind = Some(*last);
        for guid in page {
            let is_complete = books.outcome(guid)? == Some(Outcome::Completed);
            if is_complete && !books.is_terminated(guid)? {
                let certificates = books.certificates(&guid.to_string())?;
                if certificates
                    .iter()
                    .any(|entry| entry.key == "tls" && !entry.revoked)
                {
                    living.push(guid);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_has_lines_for_gateways_and_for_parties() {
        assert!(lines("pattern ").count() >= 4 && lines("pattern ").all(|line| line.contains(GUID)));
        assert!(lines("topic ").filter(|line| line.contains(FINGERPRINT)).count() >= 3);
    }
}
