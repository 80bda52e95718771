//! The wizard's texts in German and English.

use model::Timestamp;

use super::super::catalogue::catalogue;
use super::super::language::Language;
use super::binding::Phase;
use super::book::{State, Step};
use super::check::Verdict;

catalogue! {
    title: "Installation", "Installation";
    intro: "Die Schritte können in jeder Reihenfolge getan, wiederholt oder mit einem Grund ausgelassen werden. Der Stand übersteht einen Stromausfall und ist auf jedem Telefon derselbe.", "The steps can be done in any order, repeated, or left out with a reason. The progress outlives a power cut and is the same on every phone.";
    steps: "Schritte", "Steps";
    overview: "Alle Schritte", "All steps";
    previous: "Zurück", "Back";
    next: "Weiter", "Next";
    state: "Stand", "State";
    last_checked: "Zuletzt", "Last";
    took: "Dauer", "Took";
    found: "Was gefunden wurde", "What was found";
    nothing_found: "Noch nichts: der Schritt wurde noch nicht begonnen.", "Nothing yet: the step has not been begun.";
    check_now: "Jetzt prüfen", "Check now";
    check_again: "Noch einmal prüfen", "Check again";
    at_work: "Die Prüfung läuft.", "The check is running.";
    look_again: "Nachsehen", "Look again";
    skip: "Auslassen", "Leave out";
    skip_reason: "Grund, warum der Schritt ausgelassen wird", "Reason why the step is left out";
    skip_empty: "Nennen Sie einen Grund von 1 bis 200 Zeichen.", "Give a reason of 1 to 200 characters.";
    refused: "Das war nicht möglich:", "That was not possible:";
    what_to_do: "Was zu tun ist:", "What to do:";
    binding_final: "Eine Bindung kann nicht rückgängig gemacht werden: Karte und Gateway sind danach für immer eine Einheit.", "A binding cannot be undone: card and gateway are one unit for good afterwards.";
    binding_read_back: "Was gebunden wird", "What will be bound";
    binding_is: "Was gebunden ist", "What is bound";
    binding_preconditions: "Voraussetzungen", "Preconditions";
    binding_phases: "Phasen", "Phases";
    phase_done: "erledigt", "done";
    phase_open: "offen", "open";
    card_guid: "GUID der Karte im Leser", "GUID of the card in the reader";
    bound_guid: "GUID der gebundenen Karte", "GUID of the bound card";
    gateway_identity: "Identität des Gateways", "Identity of the gateway";
    gateway_later: "wird mit dem Beginn der Bindung ausgelost", "is drawn when the binding begins";
    card_key: "SHA-256 des Kartenschlüssels", "SHA-256 of the card's key";
    since: "Seit", "Since";
    trust_centre: "Trust-Center der Karte", "Trust centre of the card";
    no_card: "Keine lesbare Karte im Leser.", "There is no readable card in the reader.";
    confirm_label: "Die letzten vier Zeichen der GUID, vom Etikett der Karte", "The last four characters of the GUID, from the card's label";
    confirm_button: "Endgültig binden", "Bind for good";
    confirm_four: "Geben Sie genau die letzten vier Zeichen der GUID ein.", "Enter exactly the last four characters of the GUID.";
    confirm_other: "So endet die GUID der Karte im Leser nicht. Vergleichen Sie das Etikett mit der Karte.", "The GUID of the card in the reader does not end like that. Compare the label with the card.";
    confirm_no_card: "Im Leser ist keine lesbare Karte, und nichts ist geschehen. Stecken Sie die Karte ein und senden Sie noch einmal.", "There is no readable card in the reader, and nothing has happened. Insert the card and send this once more.";
    begun_without_card: "Die Bindung hat begonnen und wurde unterbrochen. Stecken Sie dieselbe Karte wieder ein: das Gateway beendet die Bindung von selbst.", "The binding has begun and was interrupted. Insert the same card again: the gateway brings the binding to its end by itself.";
    burned_without_card: "Die Bindung ist gebrannt, und die Karte dient dem Gateway noch nicht. Stecken Sie dieselbe Karte wieder ein: das Gateway geht von selbst weiter.", "The binding is burned, and the card does not serve the gateway yet. Insert the same card again: the gateway goes on by itself.";
    not_ready: "Noch kann nicht gebunden werden. Was fehlt, steht bei den Voraussetzungen.", "It cannot be bound yet. What is missing stands with the preconditions.";
    binding_automatic: "In dieser Konfiguration bindet das Gateway die erste passende Karte beim Einstecken von selbst.", "With this configuration the gateway binds the first card that fits by itself when it is inserted.";
    binding_done: "Karte und Gateway sind eine Einheit und bedienen das WAN.", "Card and gateway are one unit and serve the WAN.";
    report_make: "Bericht erstellen", "Make the report";
    report_again: "Bericht neu erstellen", "Make the report anew";
    report_title: "Installationsbericht", "Installation report";
    report_pdf: "Als PDF speichern", "Save as PDF";
    report_json: "Als JSON mit Signatur speichern", "Save as JSON with its signature";
    report_made: "Erstellt", "Made";
    report_signed: "Signiert von der Karte; SHA-256 des Berichts", "Signed by the card; SHA-256 of the report";
    report_unsigned: "Nicht signiert; SHA-256 des Berichts", "Not signed; SHA-256 of the report";
    report_signature: "Signatur der Karte (ECDSA mit P-256 und SHA-256, DER)", "Signature of the card (ECDSA with P-256 and SHA-256, DER)";
    report_certificate: "SHA-256 des Zertifikats der Karte (SIG)", "SHA-256 of the card's certificate (SIG)";
    report_attached: "Der Bericht, wie ihn die Karte signiert hat", "The report as the card has signed it";
    report_verify: "Prüfung der Signatur", "Check of the signature";
    report_verify_how: "Die Karte hat den angehängten report.json signiert, aus dem diese Seiten gemacht sind; report.sig und report.der sind Signatur und Zertifikat. Geprüft wird mit diesen Befehlen:", "The card has signed the attached report.json, from which these pages are made; report.sig and report.der are signature and certificate. It is checked with these commands:";
    report_characters: "Zeichen", "Characters";
    report_characters_how: "Zeichen, die die Schrift dieses Dokuments nicht hat, stehen als Nummer, etwa [U+0416]. Der angehängte report.json enthält sie.", "Characters that the font of this document lacks stand as their number, such as [U+0416]. The attached report.json has them.";
    page: "Seite", "Page";
    page_of: "von", "of";
    report_qr: "QR-Code der GUID", "QR code of the GUID";
    software: "Software", "Software";
    meters: "Zähler", "Meters";
    no_meters: "Es sind keine Zähler eingerichtet.", "No meters are configured.";
    parts: "Teile der Liste", "parts of the list";
    part_earlier: "Vorherige", "Previous ones";
    part_later: "Weitere", "More";
    name: "Name", "Name";
    medium: "Medium", "Medium";
    number: "Nummer", "Number";
    valid_for: "gültig noch", "valid for another";
    expired_since: "abgelaufen seit", "expired for";
    scan_of: "Suche auf", "Scan of";
    scan_asked: "Gefragt", "Asked";
    scan_found: "gefunden", "found";
    scan_now: "jetzt", "now";
    scan_waits: "Die Leitung wird gerade für die Messung gelesen; danach geht es weiter.", "The line is being read for metering; it goes on behind that.";
    scan_cancel: "Abbrechen", "Cancel";
    scan_shared: "Mehrere Zähler an einer Adresse", "Several meters at one address";
    scan_unfinished: "Nicht zu Ende gefragt", "Not asked to the end";
    scan_new: "Suchen", "Scan";
    scan_hint: "Eine Leitung, die für die Messung gelesen wird, teilt sich die Suche zwischen zwei Runden.", "A line that is read for metering is shared by the scan between two rounds.";
    scan_begin: "Suche beginnen", "Begin the scan";
    by_hand: "Einen Zähler von Hand einrichten", "Install a meter by hand";
    address: "Adresse", "Address";
    profile: "Profil (Modbus)", "Profile (Modbus)";
    raw_frames: "Telegramme, wie sie kamen", "Frames as they came";
    install_this: "Diesen Zähler einrichten", "Install this meter";
    counted: "Gezählt", "Counted";
    requests: "Fragen", "requests";
    frames: "Telegramme", "frames";
    timeouts: "ohne Antwort", "without an answer";
    damaged: "beschädigt", "damaged";
    collisions: "Kollisionen", "collisions";
    protocol: "Protokoll", "Protocol";
    endpoint: "Anschluss", "Endpoint";
    endpoint_hint: "tcp:HOST:PORT oder serial:/dev/ttyUSB0:2400 für M-Bus; tcp:HOST:PORT, rtutcp:HOST:PORT oder rtu:/dev/ttyUSB0:9600:8E1 für Modbus", "tcp:HOST:PORT or serial:/dev/ttyUSB0:2400 for M-Bus; tcp:HOST:PORT, rtutcp:HOST:PORT or rtu:/dev/ttyUSB0:9600:8E1 for Modbus";
    baud: "Geschwindigkeit hinter einem M-Bus-Wandler, Baud", "Speed behind an M-Bus converter, baud";
    latency: "Zeit für eine Antwort, ms (mehr für langsame Zähler)", "Time for an answer, ms (more for slow meters)";
    tries: "Versuche je Adresse, 1 bis 3", "Tries of each address, 1 to 3";
    first_address: "Erste Adresse", "First address";
    last_address: "Letzte Adresse", "Last address";
    fault_protocol: "Wählen Sie das Protokoll, das diese Leitung spricht.", "Choose the protocol that this line speaks.";
    fault_endpoint: "Das ist kein Anschluss dieses Protokolls. Die Formen stehen darüber.", "That is no endpoint of this protocol. The forms stand above.";
    fault_choice: "Wählen Sie einen Wert aus der Liste.", "Choose a value of the list.";
    fault_tries: "Geben Sie 1, 2 oder 3 ein.", "Enter 1, 2 or 3.";
    fault_addresses: "M-Bus: 0 bis 250, Modbus: 1 bis 247; die erste nicht über der letzten.", "M-Bus: 0 to 250, Modbus: 1 to 247; the first not above the last.";
    fault_name: "Geben Sie einen Namen von 1 bis 40 Zeichen ein.", "Enter a name of 1 to 40 characters.";
    fault_address: "M-Bus: 0 bis 250, oder eine Sekundäradresse wie ACW-12345678-14-07; Modbus: 1 bis 247.", "M-Bus: 0 to 250, or a secondary address such as ACW-12345678-14-07; Modbus: 1 to 247.";
    fault_profile: "Wählen Sie das Profil des Modbus-Zählers.", "Choose the profile of the Modbus meter.";
    fault_id: "Geben Sie die Identität des Zählers ein, wie sie die Suche zeigt.", "Enter the identity of the meter, as the scan shows it.";
    fault_point: "Ein Zählpunkt hat 33 Großbuchstaben und Ziffern, eine Marktlokation 11 Ziffern.", "A metering point has 33 capital letters and digits, a market location 11 digits.";
    point: "Zählpunkt", "Metering point";
    consumer: "Verbraucher", "Consumer";
    not_read: "Noch nicht gelesen.", "Not read yet.";
    compare_question: "Zeigt das Zählwerk das auch?", "Does the dial show the same?";
    agrees: "Stimmt überein", "Agrees";
    differs: "Stimmt nicht", "Does not agree";
    compared: "Verglichen", "Compared";
    agreed: "Stimmt mit dem Zählwerk überein", "Agrees with the dial";
    differed: "Stimmt nicht mit dem Zählwerk überein", "Does not agree with the dial";
    installed: "Hier eingerichtete Zähler", "Meters installed here";
    in_force: "wird gelesen", "is read";
    behind_restart: "wird nach dem Neustart gelesen", "is read behind the restart";
    configuration: "Konfiguration", "Configuration";
    remove: "Entfernen", "Remove";
    restart_wanted: "Was hier geändert wurde, gilt nach einem Neustart des Gateways. Er dauert einige Sekunden; danach ist eine neue Anmeldung nötig.", "What was changed here holds behind a restart of the gateway. It takes some seconds; a new login is needed then.";
    restart: "Jetzt neu starten", "Restart now";
    restarting: "Das Gateway startet neu. Melden Sie sich in einigen Sekunden wieder an.", "The gateway restarts. Log in again in some seconds.";
    install: "Zähler einrichten", "Install a meter";
    install_hint: "Die Angaben werden zusammen mit der übrigen Konfiguration geprüft und in einer eigenen Datei gehalten.", "What you enter is checked together with the rest of the configuration, and kept in a file of its own.";
    install_button: "Einrichten", "Install";
    bus_name: "Name der Leitung, wenn sie neu ist", "Name of the line, if it is new";
    bus_hint: "Eine Leitung, die schon gelesen wird, behält ihren Namen.", "A line that is read already keeps its name.";
    address_hint: "M-Bus: Primäradresse 0 bis 250 oder Sekundäradresse; Modbus: Einheit", "M-Bus: primary address 0 to 250, or a secondary address; Modbus: unit";
    id_hint: "wie die Suche sie zeigt; für Zählpunkt und Verbraucher nötig, und bei Modbus-Zählern ohne eigene Nummer", "as the scan shows it; needed for metering point and consumer, and for Modbus meters without a number of their own";
    wrong_card: "Wenn es die falsche Karte war", "If it was the wrong card";
    wrong_card_before: "Vor der Bindung: die Karte herausnehmen, die richtige einstecken und hier noch einmal prüfen. Nichts ist geschehen.", "Before the binding: take the card out, insert the right one and check again here. Nothing has happened.";
    wrong_card_begun: "Die Bindung hat begonnen und ist nicht beendet: dieselbe Karte stecken lassen, das Gateway beendet sie von selbst. Eine andere Karte wird erst mit ihren letzten vier Zeichen angenommen; die erste dient dann nie mehr einem Gateway.", "The binding has begun and is not at its end: leave the same card in, the gateway ends it by itself. Another card is taken only with its own last four characters; the first one then never serves any gateway.";
    wrong_card_after: "Nach der Bindung: nicht trennen, das macht beide unbrauchbar. Gateway und Karte zusammen ausbauen, mit GUID und Bericht an die Stelle zurücksenden, die sie ausgegeben hat, und dort die Karte sperren lassen. Ein neues Gateway mit der richtigen Karte einbauen.", "After the binding: do not part them, that makes both useless. Remove gateway and card together, return them with GUID and report to whoever has issued them, and have the card revoked there. Install a new gateway with the right card.";
}

/// Says for how long a certificate is valid that ends then.
pub(super) fn validity(language: Language, now: Timestamp, end: Timestamp) -> String {
    let words = words(language);
    if now <= end {
        format!("{} {}", words.valid_for, language.age(end, now))
    } else {
        format!("{} {}", words.expired_since, language.age(now, end))
    }
}

/// Returns the words in a language.
pub(super) const fn words(language: Language) -> &'static Words {
    match language {
        Language::German => &GERMAN,
        Language::English => &ENGLISH,
    }
}

/// Names a step.
pub(super) const fn step(language: Language, step: Step) -> &'static str {
    let texts = match step {
        Step::Device => ["Gerät, Netz und Uhr", "Device, network and clock"],
        Step::Card => ["Karte", "Card"],
        Step::Bus => ["Leitungen durchsuchen", "Scan of the lines"],
        Step::Meters => ["Zähler", "Meters"],
        Step::Binding => ["Bindung", "Binding"],
        Step::Report => ["Bericht", "Report"],
        Step::Wan => ["Weitverkehrsnetz (WAN)", "Wide area network (WAN)"],
    };
    language.choose(texts)
}

/// Says what a step is for.
pub(super) const fn purpose(language: Language, step: Step) -> &'static str {
    let texts = match step {
        Step::Device => [
            "Das Gerät prüft seinen Speicher, den Geräteschlüssel, sein Netz und seine Uhr.",
            "The device checks its storage, the device key, its network and its clock.",
        ],
        Step::Card => [
            "Leser, Lebensphase und Zertifikate der Karte werden gelesen. Es wird nichts verändert.",
            "Reader, life cycle and certificates of the card are read. Nothing is changed.",
        ],
        Step::Bus => [
            "Wer antwortet auf einem M-Bus oder an einem Modbus-Anschluss? Die Messung geht dabei weiter.",
            "Who answers on an M-Bus, or to a Modbus endpoint? Metering goes on meanwhile.",
        ],
        Step::Meters => [
            "Jeder Zähler wird mit seinem Zählwerk verglichen; neue Zähler werden hier eingerichtet.",
            "Each meter is compared with its dial; new meters are installed here.",
        ],
        Step::Binding => [
            "Karte und Gateway werden eine Einheit.",
            "Card and gateway become one unit.",
        ],
        Step::Report => [
            "Was gefunden wurde, wird zusammengestellt und von der Karte signiert: zum Drucken, zum Speichern und als JSON.",
            "What was found is put together and signed by the card: to print, to save, and as JSON.",
        ],
        Step::Wan => [
            "Der Weg zum TSM wird Sprosse für Sprosse geprüft. Gut ist er erst, wenn ein Wort durch den Broker zurückgekommen ist und der TSM das Gateway erreicht hat.",
            "The way to the TSM is checked rung by rung. It is good only when a word has come back through the broker and the TSM has reached the gateway.",
        ],
    };
    language.choose(texts)
}

/// Names a state, without its reason.
pub(super) const fn state(language: Language, state: &State) -> &'static str {
    let texts = match state {
        State::ToDo => ["zu tun", "to do"],
        State::Running => ["läuft", "running"],
        State::Interrupted => ["unterbrochen: noch einmal prüfen", "interrupted: check again"],
        State::Good => ["gut", "good"],
        State::Problem => ["Problem", "problem"],
        State::Skipped { .. } => ["ausgelassen", "left out"],
    };
    language.choose(texts)
}

/// Names a verdict.
pub(super) const fn verdict(language: Language, verdict: Verdict) -> &'static str {
    let texts = match verdict {
        Verdict::Good => ["gut", "good"],
        Verdict::Note => ["Hinweis", "note"],
        Verdict::Warning => ["Warnung", "warning"],
        Verdict::Problem => ["Problem", "problem"],
        Verdict::NotReached => ["nicht geprüft", "not checked"],
    };
    language.choose(texts)
}

/// Names a phase of the binding.
pub(super) const fn phase(language: Language, phase: Phase) -> &'static str {
    let texts = match phase {
        Phase::Examined => [
            "Die Karte wurde geprüft, nichts steht ihr im Weg.",
            "The card was examined, nothing is in its way.",
        ],
        Phase::Begun => [
            "Das Gateway hat aufgeschrieben, mit welcher Karte es beginnt.",
            "The gateway has written down with which card it begins.",
        ],
        Phase::CardBound => ["Die Karte kennt ihr Gateway.", "The card knows its gateway."],
        Phase::Burned => [
            "Das Gateway hat die Bindung eingebrannt.",
            "The gateway has burned the binding.",
        ],
        Phase::Serving => ["Die Karte dient diesem Gateway.", "The card serves this gateway."],
    };
    language.choose(texts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_text_says_something_in_both_languages() {
        for (key, german, english) in PAIRS {
            assert!(!german.trim().is_empty() && !english.trim().is_empty(), "{key}");
            for end in ['.', '?', ':'] {
                assert_eq!(german.ends_with(end), english.ends_with(end), "{key}");
            }
        }
    }

    #[test]
    fn validity_of_a_certificate_is_told_in_words() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let (now, end) = (time("2026-11-30T12:00:00Z"), time("2026-12-10T12:00:00Z"));
        assert_eq!(validity(Language::German, now, end), "gültig noch 10 Tage");
        assert_eq!(validity(Language::English, end, now), "expired for 10 days");
    }

    #[test]
    fn steps_states_verdicts_and_phases_are_told_apart() {
        for language in [Language::German, Language::English] {
            let steps: BTreeSet<_> = Step::ALL.map(|one| step(language, one)).into();
            let purposes: BTreeSet<_> = Step::ALL.map(|one| purpose(language, one)).into();
            assert_eq!((steps.len(), purposes.len()), (Step::ALL.len(), Step::ALL.len()));
            let phases: BTreeSet<_> = Phase::ALL.map(|one| phase(language, one)).into();
            assert_eq!(phases.len(), Phase::ALL.len());
            let verdicts = [
                Verdict::Good,
                Verdict::Note,
                Verdict::Warning,
                Verdict::Problem,
                Verdict::NotReached,
            ];
            let verdicts: BTreeSet<_> = verdicts.map(|one| verdict(language, one)).into();
            assert_eq!(verdicts.len(), 5);
            let reason = String::new();
            let states = [
                State::ToDo,
                State::Running,
                State::Interrupted,
                State::Good,
                State::Problem,
                State::Skipped { reason },
            ];
            let states: BTreeSet<_> = states.iter().map(|one| state(language, one)).collect();
            assert_eq!(states.len(), 6);
        }
    }
}
