//! Every text of the local web in German and English. A text that lacks a language does not compile.

use model::{GapReason, GatewayState, Medium};

macro_rules! catalogue {
    ($($key:ident: $german:literal, $english:literal;)*) => {
        /// The texts in one language.
        pub(super) struct Words {
            $(pub(super) $key: &'static str,)*
        }

        pub(super) const GERMAN: Words = Words { $($key: $german,)* };
        pub(super) const ENGLISH: Words = Words { $($key: $english,)* };

        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($key), $german, $english),)*];
    };
}

pub(super) use catalogue;

catalogue! {
    gateway: "Smart-Meter-Gateway", "Smart-meter gateway";
    skip: "Zum Inhalt", "Skip to content";
    navigation: "Navigation", "Navigation";
    other_language: "English", "Deutsch";
    soft_card: "Die Karte ist eine Software-Karte oder kann eine sein: nicht für den Betrieb.", "The card is, or can be, a soft card: this is not for production.";
    log_in: "Anmelden", "Log in";
    log_out: "Abmelden", "Log out";
    logged_in_as: "Angemeldet als", "Logged in as";
    account: "Konto", "Account";
    account_hint: "consumer oder technician, wenn nichts anderes vereinbart ist", "consumer or technician, unless something else was agreed";
    password: "Passwort", "Password";
    password_wrong: "Konto oder Passwort ist falsch.", "The account or the password is wrong.";
    too_often: "Zu viele Versuche. Warten Sie so viele Sekunden:", "Too many tries. Wait so many seconds:";
    password_change: "Passwort ändern", "Change password";
    password_first: "Dies ist Ihr erstes Passwort. Wählen Sie jetzt ein eigenes.", "This is your first password. Choose one of your own now.";
    password_old: "Bisheriges Passwort", "Present password";
    password_new: "Neues Passwort", "New password";
    password_again: "Neues Passwort noch einmal", "New password once more";
    password_rule: "Mindestens 10 Zeichen, davon 5 verschiedene, ohne den Namen des Kontos.", "10 characters at least, 5 of them different, without the name of the account.";
    password_weak: "Das neue Passwort erfüllt die Regel nicht.", "The new password does not meet the rule.";
    password_old_wrong: "Das bisherige Passwort ist falsch.", "The present password is wrong.";
    password_same: "Das neue Passwort ist das bisherige.", "The new password is the present one.";
    password_differs: "Die beiden neuen Passwörter sind verschieden.", "The two new passwords differ.";
    save: "Speichern", "Save";
    now: "Jetzt", "Now";
    reload: "Neu laden", "Load again";
    unit: "Einheit", "Unit";
    history: "Verlauf", "History";
    recipients: "Empfänger", "Recipients";
    tokens: "Zugriffsschlüssel", "Access tokens";
    device: "Gerät", "Device";
    live_on: "Die Werte erscheinen, wie sie gelesen werden.", "The values appear as they are read.";
    live_over: "Die laufende Anzeige ist zu Ende. Laden Sie die Seite neu.", "The live display has ended. Load the page again.";
    installation: "Installation", "Installation";
    is_all_well: "Ist alles in Ordnung?", "Is everything well?";
    all_well: "Ja. Alle Zähler haben zur rechten Zeit geantwortet, und das Gerät meldet nichts.", "Yes. All meters have answered in time, and the device reports nothing.";
    not_all_well: "Nein, es gibt etwas zu beachten:", "No, there is something to look after:";
    meter_silent: "hat seit dem Start nicht geantwortet", "has not answered since the start";
    meter_retired: "wird nicht mehr gelesen: ausgebaut oder ersetzt", "is not read any more: removed or exchanged";
    meter_stale: "liefert keine neuen Werte", "gives no new values";
    never_read: "noch nie gelesen", "never read yet";
    today: "Heute", "Today";
    today_so_far: "Heute bis jetzt", "Today so far";
    usual: "Üblich bis zu dieser Uhrzeit", "Usual up to this time of day";
    usual_hint: "Mittel der letzten sieben Tage, soweit es Werte gibt", "mean of the last seven days, as far as there are values";
    latest_values: "Letzte Werte", "Latest values";
    quantity: "Größe", "Quantity";
    value: "Wert", "Value";
    age: "Alter", "Age";
    stale: "veraltet", "stale";
    no_meters: "Zu diesem Konto gibt es noch keine Zähler mit Werten.", "There are no meters with values for this account yet.";
    unknown: "unbekannt", "unknown";
    not_enough: "noch nicht genug Werte", "not enough values yet";
    show: "Anzeigen", "Show";
    element: "Zähler und Größe", "Meter and quantity";
    span: "Zeitraum", "Period";
    day: "Tag", "Day";
    week: "Woche", "Week";
    month: "Monat", "Month";
    year: "Jahr", "Year";
    earlier: "Früher", "Earlier";
    later: "Später", "Later";
    consumption: "Verbrauch", "Consumption";
    register_at_end: "Zählerstand am Ende", "Register at the end";
    from: "Von", "From";
    to: "Bis", "To";
    note: "Hinweis", "Note";
    sum: "Summe", "Sum";
    sum_incomplete: "Summe der Teile, die bekannt sind", "sum of the parts that are known";
    as_table: "Dasselbe als Tabelle", "The same as a table";
    chart: "Diagramm: Verbrauch je Zeitabschnitt", "Chart: consumption in each part of the period";
    so_far: "läuft noch, bis zum letzten Wert", "still going on, up to the last value";
    not_yet: "liegt noch in der Zukunft", "still lies in the future";
    nothing_registered: "Lücke: hier wurde nichts registriert", "gap: nothing was registered here";
    gap_damaged: "Lücke: der gespeicherte Wert ist beschädigt", "gap: the stored value is damaged";
    clock_unknown: "die Uhr war nicht gestellt", "the clock was not set";
    went_back: "der Zählerstand ist gefallen, wie bei einem Zählerwechsel", "the register went back, as when a meter was changed";
    save_csv: "Als CSV speichern", "Save as CSV";
    save_json: "Als JSON speichern", "Save as JSON";
    save_xml: "Als XML nach AR 2418-6 speichern", "Save as XML by AR 2418-6";
    costs: "Kosten", "Costs";
    first_day: "Erster Tag", "First day";
    last_day: "Letzter Tag", "Last day";
    check_bill: "Rechnung prüfen (freiwillig)", "Check a bill (optional)";
    billed_consumption: "Verbrauch laut Rechnung in", "Consumption by the bill in";
    billed_amount: "Betrag laut Rechnung in", "Amount by the bill in";
    reckon: "Rechnen", "Reckon";
    reckoned: "gerechnet", "reckoned";
    bill_says: "die Rechnung sagt", "the bill says";
    bill_agrees: "Die Rechnung stimmt überein.", "The bill agrees.";
    bill_differs: "Die Rechnung weicht ab um", "The bill differs by";
    by_stages: "Nach Tarifstufen", "By stages of the tariff";
    stage: "Tarifstufe", "Stage";
    price: "Preis", "Price";
    amount: "Betrag", "Amount";
    no_price: "Ohne Preis: Geben Sie unten ein, was eine Einheit kostet.", "Without a price: enter below what a unit costs.";
    proof: "Zählerstände, die es belegen", "Readings that prove it";
    proof_hint: "Jede Zahl ist der Zählerstand am Ende weniger dem am Anfang, auf die letzte Stelle; der Betrag ist Verbrauch mal Preis, je Stufe einmal kaufmännisch gerundet. So rechnet auch das Programm des Lieferanten.", "Each figure is the register at the end less the one at the beginning, to the last digit; the amount is consumption times price, rounded once for each stage, half away from zero. The supplier's program reckons the same way.";
    register_at_begin: "Zählerstand am Anfang", "Register at the beginning";
    difference: "Differenz", "Difference";
    more_proofs: "Weitere Abschnitte, die hier nicht stehen:", "Further parts that do not stand here:";
    signatures: "Unterschriften", "Signatures";
    signatures_hint: "Die Zähler unterschreiben ihre Werte nicht. Das Gateway registriert sie einmal und nie anders; die Karte unterschreibt die Protokolle, auch das eichtechnische, und kennt den Meilenstein der Datenbank. Prüfen lässt sich das am Gerät mit", "The meters do not sign their values. The gateway registers them once and never otherwise; the card signs the logs, the calibration log among them, and knows the database's milestone. On the device that is checked with";
    logs_signed: "Protokolle zuletzt unterschrieben", "Logs signed last";
    milestone: "Meilenstein der Datenbank, und sein Fingerabdruck", "Milestone of the database, and its digest";
    not_yet_signed: "noch nicht", "not yet";
    own_prices: "Ihre Preise", "Your prices";
    own_prices_hint: "Nur für Sie: Niemand sonst sieht sie, und das Gateway rechnet damit nichts ab.", "For you only: nobody else sees them, and the gateway bills nothing by them.";
    remove: "Entfernen", "Remove";
    price_of_one: "Preis für eine Einheit,", "Price of one unit,";
    currency: "Währung", "Currency";
    holds_on: "Gilt", "Holds";
    every_day: "jeden Tag", "every day";
    weekdays: "montags bis freitags", "from Monday to Friday";
    weekend: "samstags und sonntags", "on Saturdays and Sundays";
    begins: "Beginnt um", "Begins at";
    ends: "Endet um", "Ends at";
    windows_hint: "Ohne Zeiten gilt der Preis immer dann, wenn keine andere Stufe gilt.", "Without times the price holds whenever no other stage does.";
    count_nothing: "Für diese Zeit gibt es keine Zählerstände.", "There are no readings for this time.";
    count_went_back: "Der Zählerstand ist in dieser Zeit gefallen, wie bei einem Zählerwechsel, einem Überlauf oder wenn der Zähler zurückgesetzt wurde. Was dazwischen gezählt wurde, ist nicht bekannt.", "The register went back in this time, as when a meter was changed, has overflowed or was reset. What was counted in between is not known.";
    runs: "Abschnitte, in denen der Zähler nur vorwärts gezählt hat", "Parts in which the meter has only counted up";
    proven: "Belegt sind in diesen Abschnitten zusammen", "Proven in these parts together";
    count_missing: "Es fehlen Zählerstände am Anfang, am Ende oder beim Wechsel der Stufe. Geraten wird nichts.", "Readings at the beginning, at the end or at a change of stages are missing. Nothing is guessed.";
    count_units: "Die Einheit des Zählers hat gewechselt. Rechnen Sie die Zeiten davor und danach getrennt.", "The register's unit has changed. Reckon the times before and after it apart.";
    count_other_unit: "Der Preis gilt für eine andere Einheit, als der Zähler zählt.", "The price is for another unit than the register counts.";
    count_no_stage: "Zu manchen Zeiten gilt keine Stufe. Geben Sie eine ohne Zeiten ein.", "At some times no stage holds. Enter one without times.";
    count_two_stages: "Zu manchen Zeiten gelten zwei Stufen zugleich. Entfernen Sie eine.", "At some times two stages hold at once. Remove one.";
    count_too_long: "Die Zeit ist zu lang, um sie auf einmal zu rechnen. Wählen Sie kürzere.", "The time is too long to be reckoned at once. Choose shorter ones.";
    count_overflow: "Eine Zahl ist zu groß. Prüfen Sie die Preise.", "A number is too large. Check the prices.";
    sent_exactly: "Was genau gesendet wurde", "What exactly was sent";
    sent_show: "Genau zeigen", "Show exactly";
    sent_values: "Werte, wie sie gesendet wurden", "Values as they were sent";
    sent_proof: "Dies wurde gesendet, Wort für Wort: Der Fingerabdruck des Inhalts ist der, den Ihr Protokoll nennt, und das Protokoll ist verkettet und von der Karte unterschrieben.", "This was sent, word for word: the digest of the content is the one that your log names, and the log is chained and signed by the card.";
    sent_partial: "Die Nachricht enthielt auch Werte von Zählern anderer. Sie sehen die Ihrer Zähler.", "The message held values of others' meters too. You see those of your meters.";
    sent_forgotten: "Der Inhalt wird nicht mehr aufbewahrt. Ihr Protokoll nennt noch seinen Fingerabdruck.", "The content is not kept any more. Your log still names its digest.";
    sent_damaged: "Was aufbewahrt wurde, ist beschädigt und wird darum nicht gezeigt.", "What was kept is damaged, and is not shown for that reason.";
    sent_nothing: "Zu diesem Eintrag ist kein Inhalt vermerkt.", "No content is noted for this entry.";
    sent_save: "Die Nachricht als JSON speichern, Wort für Wort", "Save the message as JSON, word for word";
    more_values: "Weitere Werte", "More values";
    log_entry: "Eintrag im Protokoll, und was ihn verkettet", "Entry of the log, and what chains it";
    digest: "Fingerabdruck (SHA-256)", "Digest (SHA-256)";
    status_float: "vom Zähler als Gleitkommazahl gesendet", "sent by the meter as a floating-point number";
    status_temporary: "der Zähler meldet einen vorübergehenden Fehler", "the meter reports a temporary error";
    status_permanent: "der Zähler meldet einen bleibenden Fehler", "the meter reports a permanent error";
    status_low_power: "der Zähler meldet schwache Versorgung", "the meter reports low power";
    what_was_given: "Wer hat was erhalten?", "Who was given what?";
    when: "Wann", "When";
    who: "Wer", "Who";
    what: "Was", "What";
    purpose: "Zweck", "Purpose";
    resolution: "Auflösung", "Resolution";
    values: "Werte", "Values";
    given: "erhielt", "was given";
    under_a_pseudonym: "unter einem Pseudonym", "under a pseudonym";
    refused: "abgelehnt", "refused";
    grants_changed: "Die Berechtigungen wurden geändert", "The grants were changed";
    restricted: "Von Ihnen eingeschränkt", "Restricted by you";
    lifted: "Einschränkung von Ihnen aufgehoben", "Restriction lifted by you";
    nothing_given: "Bisher hat niemand etwas erhalten.", "Nobody was given anything so far.";
    older: "Ältere Einträge", "Older entries";
    all_suppliers: "Alle Lieferanten", "All suppliers";
    all_meters: "Alle Zähler", "All meters";
    restrict_title: "Einschränken oder widersprechen", "Restrict or object";
    restrict_hint: "Gilt ab sofort, bis Sie es aufheben. Der Eintrag bleibt in Ihrem Protokoll.", "It holds from now on until you lift it. The entry stays in your log.";
    supplier: "Lieferant", "Supplier";
    effect: "Wirkung", "Effect";
    effect_object: "widersprechen: nichts herausgeben", "object: hand out nothing";
    effect_hour: "höchstens stündliche Werte", "hourly values at most";
    effect_day: "höchstens tägliche Werte", "daily values at most";
    restrict_now: "Einschränken", "Restrict";
    restrictions: "Ihre Einschränkungen", "Your restrictions";
    no_restrictions: "Sie haben nichts eingeschränkt.", "You have restricted nothing.";
    lift: "Aufheben", "Lift";
    since: "seit", "since";
    tokens_hint: "Ein Programm liest damit dieselben Werte, die Sie hier sehen, und ändert nichts.", "With it a program reads the same values that you see here, and changes nothing.";
    home_assistant_on: "Ein: Die letzten Werte gehen an Ihren eigenen Broker im Haus, unverschlüsselt, wenn er kein Zertifikat hat:", "On: the last values go to your own broker in the house, not encrypted where it has no certificate:";
    home_assistant_off: "Aus: Nichts geht an den Broker im Haus:", "Off: nothing goes to the broker in the house:";
    home_assistant_hint: "Sie schalten es ein, indem Sie einen Zugriffsschlüssel dieses Namens anlegen, und aus, indem Sie ihn zurückziehen. Beides steht im Systemprotokoll.", "You switch it on by making an access token of this name, and off by revoking it. Both are in the system log.";
    token_name: "Name, etwa des Programms", "Name, such as the program's";
    token_make: "Anlegen", "Make";
    token_once: "Notieren Sie den Schlüssel jetzt. Er wird nur dieses eine Mal gezeigt:", "Write the token down now. It is shown this once only:";
    token_refused: "Der Name muss 1 bis 40 Zeichen haben und darf nicht vergeben sein; höchstens 8 Schlüssel.", "The name must have 1 to 40 characters and not be taken; 8 tokens at most.";
    token_none: "Es gibt noch keine.", "There are none yet.";
    token_revoke: "Widerrufen", "Revoke";
    made: "Angelegt", "Made";
    state: "Zustand", "State";
    findings: "Was am Gerät nicht stimmt", "What is wrong with the device";
    no_findings: "Nichts.", "Nothing.";
    remedy: "Was zu tun ist", "What to do";
    meters: "Zähler", "Meters";
    meter: "Zähler", "Meter";
    bus: "Bus", "Bus";
    answered: "Zuletzt geantwortet", "Answered last";
    fault: "Störung", "Fault";
    forbidden: "Das ist für dieses Konto nicht vorgesehen.", "This is not meant for this account.";
    forbidden_history: "Die Rolle technician sieht keinen Verbrauch.", "The role technician sees no consumption.";
    form_old: "Das Formular ist veraltet oder kam von anderswo. Laden Sie die Seite neu.", "The form is outdated or came from elsewhere. Load the page again.";
    fault_day: "Geben Sie einen Tag ein, etwa 2026-11-30. Gezeigt wird, was ohne ihn gilt.", "Enter a day, such as 2026-11-30. What holds without it is shown.";
    fault_order: "Der letzte Tag liegt vor dem ersten.", "The last day lies before the first one.";
    fault_number: "Geben Sie eine Zahl ein, etwa 1234,5.", "Enter a number, such as 1234.5.";
    fault_stage: "Geben Sie einen Namen von 1 bis 40 Zeichen ein; es gibt höchstens 16 Stufen.", "Enter a name of 1 to 40 characters; there are 16 stages at most.";
    fault_price: "Geben Sie einen Preis ein, der nicht negativ ist, etwa 0,3512.", "Enter a price that is not negative, such as 0.3512.";
    fault_currency: "Geben Sie eine Währung von 1 bis 40 Zeichen ein, etwa EUR.", "Enter a currency of 1 to 40 characters, such as EUR.";
    fault_days: "Wählen Sie, an welchen Tagen der Preis gilt.", "Choose on which days the price holds.";
    fault_times: "Geben Sie Beginn und Ende als Uhrzeiten ein, die verschieden sind, oder lassen Sie beide leer.", "Enter begin and end as times of the day that differ, or leave both empty.";
    form_long: "Das ist mehr, als ein Formular haben darf. Gehen Sie zurück und kürzen Sie es.", "That is more than a form may have. Go back and shorten it.";
    form_unread: "Das konnte nicht gelesen werden. Gehen Sie zurück, laden Sie die Seite neu und versuchen Sie es noch einmal.", "That could not be read. Go back, load the page again, and try once more.";
    not_found: "Diese Seite gibt es nicht.", "There is no such page.";
    not_possible: "Das war nicht möglich:", "That was not possible:";
    foreign_name: "Fragen Sie nach dieser Seite unter der Adresse des Gateways oder einem der Namen aus [web.https] names.", "Ask for this page by the gateway's address, or by a name of [web.https] names.";
    failed: "Das Gateway konnte nicht antworten. Sein Protokoll sagt, warum.", "The gateway could not answer. Its log says why.";
    to_start: "Zur Startseite", "To the start page";
    import: "Bezug", "Import";
    export: "Einspeisung", "Export";
    power: "Leistung", "Power";
    energy: "Energie", "Energy";
    volume: "Volumen", "Volume";
    tariff: "Tarif", "tariff";
    seconds: "s", "s";
    minutes: "min", "min";
    hours: "h", "h";
    days: "Tage", "days";
    from_the_future: "aus der Zukunft", "from the future";
}

impl Words {
    /// Names a medium.
    pub(super) const fn medium(&self, medium: Medium) -> &'static str {
        let [german, english] = match medium {
            Medium::Electricity => ["Strom", "Electricity"],
            Medium::HeatCostAllocator => ["Heizkostenverteiler", "Heat cost allocator"],
            Medium::Cooling => ["Kälte", "Cooling"],
            Medium::Heat => ["Wärme", "Heat"],
            Medium::Gas => ["Gas", "Gas"],
            Medium::Water => ["Wasser", "Water"],
            Medium::WarmWater => ["Warmwasser", "Warm water"],
            Medium::Other => ["Sonstiges", "Other"],
        };
        self.choose(german, english)
    }

    /// Says why there is no value.
    pub(super) const fn gap(&self, reason: GapReason) -> &'static str {
        let [german, english] = match reason {
            GapReason::NoAnswer => [
                "Lücke: der Zähler hat nicht geantwortet",
                "gap: the meter did not answer",
            ],
            GapReason::BadAnswer => [
                "Lücke: die Antwort des Zählers war fehlerhaft",
                "gap: the meter's answer was faulty",
            ],
            GapReason::NotAvailable => [
                "Lücke: der Zähler hatte den Wert nicht",
                "gap: the meter did not have the value",
            ],
            GapReason::BusDown => ["Lücke: der Bus war gestört", "gap: the bus was down"],
        };
        self.choose(german, english)
    }

    /// Says what state the gateway is in.
    pub(super) const fn cause(&self, state: GatewayState) -> &'static str {
        let german = match state {
            GatewayState::Unbound => "Mit diesem Gateway ist noch keine Karte verbunden.",
            GatewayState::Binding => "Die Bindung an die Karte hat begonnen und ist noch nicht bestätigt.",
            GatewayState::Bound => {
                "Das Gateway ist an seine Karte gebunden; noch kein Lieferant ist freigeschaltet."
            }
            GatewayState::Operational => "Das Gateway ist an seine Karte gebunden und bedient Lieferanten.",
            GatewayState::CardMissing => "Die Karte, an die das Gateway gebunden ist, steckt nicht im Leser.",
            GatewayState::CardForeign => "Die Karte im Leser ist nicht die, an die das Gateway gebunden ist.",
            GatewayState::Tampered => {
                "Die gespeicherte Bindung oder ein Protokoll widerspricht sich oder der Karte."
            }
            GatewayState::ClockUnknown => {
                "Der Uhr ist nicht zu trauen; Werte werden registriert und gekennzeichnet."
            }
            GatewayState::StorageFull => "Der Speicher ist voll.",
            GatewayState::Degraded => "Am Gerät stimmt etwas nicht; was, steht daneben.",
        };
        self.choose(german, state.cause())
    }

    /// Says what to do about a state.
    pub(super) const fn remedy_of(&self, state: GatewayState) -> &'static str {
        let german = match state {
            GatewayState::Unbound => "Eine personalisierte Karte einstecken, die noch nie gebunden war.",
            GatewayState::Binding => "Die Karte stecken lassen; das Gateway beendet die Bindung von selbst.",
            GatewayState::Bound => "Auf den ersten Kontakt des Trust-Centers warten.",
            GatewayState::Operational => "Es ist nichts zu tun.",
            GatewayState::CardMissing => {
                "Die gebundene Karte wieder einstecken oder Gateway und Karte zusammen ersetzen."
            }
            GatewayState::CardForeign => "Die gebundene Karte einstecken; eine andere wird nie angenommen.",
            GatewayState::Tampered => {
                "Gateway und Karte zusammen ersetzen und diese für die Prüfung aufbewahren."
            }
            GatewayState::ClockUnknown => "Eine Zeitquelle anschließen.",
            GatewayState::StorageFull => {
                "Die Protokolle auslesen, dann Platz schaffen oder ihnen mehr Platz einräumen."
            }
            GatewayState::Degraded => "Tun, was neben jeder Sache steht, die nicht stimmt.",
        };
        self.choose(german, state.remedy())
    }

    /// Chooses the text in this language.
    const fn choose(&self, german: &'static str, english: &'static str) -> &'static str {
        if self.is_german() { german } else { english }
    }

    const fn is_german(&self) -> bool {
        matches!(self.other_language.as_bytes(), b"English")
    }
}

/// Returns cause and remedy of a state in German.
pub(crate) const fn german_of(state: GatewayState) -> (&'static str, &'static str) {
    (GERMAN.cause(state), GERMAN.remedy_of(state))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_text_says_something_and_keeps_its_punctuation() {
        for (key, german, english) in PAIRS {
            assert!(!german.trim().is_empty() && !english.trim().is_empty(), "{key}");
            for end in ['.', '?', ':'] {
                assert_eq!(german.ends_with(end), english.ends_with(end), "{key}");
            }
        }
        let keys: BTreeSet<_> = PAIRS.iter().map(|(key, _, _)| key).collect();
        assert_eq!(keys.len(), PAIRS.len());
    }

    #[test]
    fn states_are_told_in_both_languages() {
        let texts = |words: &Words| {
            let all = GatewayState::ALL.into_iter();
            let texts = all.flat_map(|state| [words.cause(state), words.remedy_of(state)]);
            texts.collect::<BTreeSet<_>>()
        };
        assert_eq!(texts(&GERMAN).len(), 2 * GatewayState::ALL.len());
        assert!(texts(&GERMAN).is_disjoint(&texts(&ENGLISH)));
        assert_eq!(ENGLISH.gap(GapReason::NoAnswer), "gap: the meter did not answer");
        assert_eq!(GERMAN.medium(Medium::Water), "Wasser");
    }
}
