//! What can be looked at: its name, and what is to be done about it if nothing better is known, in German and English.

use serde::{Deserialize, Serialize};

use super::super::language::Language;

macro_rules! whats {
    ($($what:ident: $german:literal, $english:literal, $remedy_german:literal, $remedy_english:literal;)*) => {
        /// What was looked at.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum What {
            $($what,)*
        }

        impl What {
            /// Everything that can be looked at.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$what,)*];

            /// Returns its name and the remedy, each in German and in English.
            const fn texts(self) -> [[&'static str; 2]; 2] {
                match self {
                    $(Self::$what => [[$german, $english], [$remedy_german, $remedy_english]],)*
                }
            }
        }
    };
}

whats! {
    Software:
        "Software", "Software",
        "Das Protokoll ansehen und noch einmal prüfen.",
        "Look at the log and check again.";
    Mounts:
        "Datenpartition", "Data partition",
        "Die Datenpartition wie in der Anleitung einhängen.",
        "Mount the data partition as the manual says.";
    DataFolder:
        "Datenordner", "Data folder",
        "Den Datenordner dem Benutzer des Gateways geben, mit Modus 0700.",
        "Give the data folder to the gateway's user, with mode 0700.";
    Space:
        "Freier Speicher", "Free space",
        "Auf der Datenpartition Platz schaffen oder sie vergrößern.",
        "Free space on the data partition, or enlarge it.";
    Bindings:
        "Eingebrannte Daten", "Burned rows",
        "Das Gateway neu starten; bleibt es so, Gateway und Karte zusammen ersetzen.",
        "Restart the gateway; if it stays like that, replace gateway and card together.";
    DeviceKey:
        "Geräteschlüssel", "Device key",
        "Der Geräteschlüssel liegt bei den Daten, der schwachen Vorgabe: store.device_key nennt einen besseren Ort.",
        "The device key lies with the data, the weak default: store.device_key names a better place.";
    Finding:
        "Am Gerät", "With the device",
        "Tun, was daneben steht.",
        "Do what stands beside it.";
    Network:
        "Netzanschlüsse", "Network interfaces",
        "Netzkabel oder Antenne anschließen und die Schnittstelle einschalten.",
        "Connect the network cable or the antenna, and bring the interface up.";
    Clock:
        "Uhrzeit", "Time",
        "Eine Zeitquelle anschließen: die Uhr wurde noch nie gestellt.",
        "Connect a time source: the clock was never set.";
    TimeSource:
        "Zeitquelle", "Time source",
        "Kein Zeitdienst sagt, dass die Uhr gestellt wurde. Vergleichen Sie die Uhrzeit mit Ihrer eigenen.",
        "No time service says that the clock was set. Compare the time with your own.";
    Offset:
        "Abweichung der Uhr", "Offset of the clock",
        "Einen Zeitserver einrichten, oder die Uhrzeit mit Ihrer eigenen vergleichen.",
        "Configure a time server, or compare the time with your own.";
    Reader:
        "Kartenleser", "Card reader",
        "Leser und Karte prüfen; pcscd muss laufen.",
        "Check reader and card; pcscd has to run.";
    SoftCard:
        "Software-Karte", "Soft card",
        "Nur für Vorführung und Prüfung, nie für den Betrieb.",
        "For demonstrations and tests only, never for production.";
    LifeCycle:
        "Lebensphase", "Life cycle",
        "Eine personalisierte Karte einstecken.",
        "Insert a card that has been personalised.";
    Guid:
        "GUID", "GUID",
        "Eine Karte einstecken, die sich lesen lässt.",
        "Insert a card that can be read.";
    TrustCentre:
        "Trust-Center", "Trust centre",
        "Eine Karte dieses Trust-Centers einstecken.",
        "Insert a card of this trust centre.";
    Certificate:
        "Zertifikat", "Certificate",
        "Die Uhr prüfen; ist sie richtig, das Trust-Center um eine andere Karte bitten.",
        "Check the clock; if it is right, ask the trust centre for another card.";
    Chain:
        "Zertifikatskette", "Certificate chain",
        "Eine andere Karte desselben Trust-Centers einsetzen; diese zurücksenden.",
        "Use another card of the same trust centre; return this one.";
    BoundTo:
        "Gebunden", "Bound",
        "Eine Karte einstecken, die noch nie gebunden war.",
        "Insert a card that was never bound.";
    Obstacle:
        "Hindernis", "Obstacle",
        "Tun, was daneben steht.",
        "Do what stands beside it.";
    Confirmation:
        "Bestätigung", "Confirmation",
        "Tun, was daneben steht, und noch einmal bestätigen.",
        "Do what stands beside it, and confirm again.";
    Link:
        "Verbindung", "Link",
        "Netzkabel oder Antenne anschließen.",
        "Connect the network cable or the antenna.";
    Address:
        "Adresse", "Address",
        "Die Schnittstelle braucht eine Adresse und einen Weg hinaus: DHCP oder die feste Adresse prüfen.",
        "The interface needs an address and a way out: check DHCP or the fixed address.";
    Name:
        "Name des Brokers", "Name of the broker",
        "Den Namen unter wan.broker.address und den Namensdienst prüfen.",
        "Check the name under wan.broker.address and the name service.";
    Listener:
        "Erreichbar unter", "Reachable at",
        "Kein Broker ist eingerichtet: der TSM muss diese Adresse erreichen. Ohne wan.listen und ohne wan.broker gibt es kein WAN.",
        "No broker is configured: the TSM has to reach this address. Without wan.listen and wan.broker there is no WAN.";
    Tcp:
        "TCP", "TCP",
        "Port und Firewall prüfen; der Broker muss laufen.",
        "Check port and firewall; the broker has to run.";
    Tls:
        "TLS mit der Karte", "TLS with the card",
        "Die Karte muss gebunden sein, die Uhr stimmen und das Zertifikat des Brokers vom Trust-Center sein.",
        "The card has to be bound, the clock right, and the broker's certificate by the trust centre.";
    Broker:
        "Anmeldung beim Broker", "Login at the broker",
        "Die Zugriffsregeln des Brokers prüfen: er muss die GUID der Karte kennen.",
        "Check the broker's access rules: it has to know the GUID of the card.";
    Echo:
        "Echo durch den Broker", "Echo through the broker",
        "Die Zugriffsregeln des Brokers müssen dem Gateway sein Thema echo zum Lesen und Schreiben geben.",
        "The broker's access rules have to give the gateway its topic echo to read and to write.";
    FirstContact:
        "Erster Kontakt des TSM", "First contact of the TSM",
        "Dem TSM die GUID melden und um die Installation bitten, dann hier noch einmal prüfen.",
        "Tell the TSM the GUID and ask for the installation, then check again here.";
    Signature:
        "Signatur der Karte", "Signature of the card",
        "Der Bericht ist nicht signiert, weil keine Karte diesem Gateway dient. Nach der Bindung noch einmal erstellen.",
        "The report is not signed, since no card serves this gateway. Make it again behind the binding.";
    Line:
        "Leitung", "Line",
        "Verkabelung, Stromversorgung des Wandlers und den Endpunkt prüfen.",
        "Check the wiring, the converter's power and the endpoint.";
    Asked:
        "Gefragte Adressen", "Addresses asked",
        "Noch einmal suchen.",
        "Scan again.";
    Cancelled:
        "Abgebrochen nach", "Cancelled after",
        "Was bis dahin gefunden wurde, steht oben. Noch einmal suchen, wenn etwas fehlt.",
        "What was found until then stands above. Scan again if something is missing.";
    Shared:
        "Leitung wird für die Messung gebraucht", "Line is needed for metering",
        "Mit längerem registration_period suchen, oder den Zähler von Hand einrichten.",
        "Scan with a longer registration_period, or install the meter by hand.";
    Found:
        "Gefundene Zähler", "Meters found",
        "Polung und Verkabelung prüfen, die andere Geschwindigkeit und mehr Zeit für langsame Zähler versuchen; ein Zähler kann auch von Hand eingerichtet werden.",
        "Check polarity and wiring, try the other speed and more time for slow meters; a meter can be installed by hand too.";
    SeveralMeters:
        "Mehrere Zähler an einer Adresse", "Several meters at one address",
        "Einen der Zähler abklemmen und mit smgw mbus set-address umstellen.",
        "Disconnect one of the meters and give it another address with smgw mbus set-address.";
    Unfinished:
        "Zeit reichte nicht für Adresse", "Time was not enough for address",
        "Noch einmal suchen, nur diese Adresse.",
        "Scan again, this address alone.";
    Meters:
        "Eingerichtete Zähler", "Configured meters",
        "Auf der Leitung suchen oder einen Zähler von Hand einrichten.",
        "Scan the line, or install a meter by hand.";
    MeterAnswers:
        "Zähler antwortet", "Meter answers",
        "Verkabelung und Adresse prüfen; die nächste Runde abwarten.",
        "Check wiring and address; wait for the next round.";
    Compared:
        "Mit dem Zählwerk verglichen", "Compared with the dial",
        "Den Stand mit dem Zählwerk vergleichen; stimmt er nicht, Adresse, Profil und Zählernummer prüfen.",
        "Compare the reading with the dial; if they differ, check address, profile and number.";
}

impl What {
    /// Names it.
    pub(super) const fn name(self, language: Language) -> &'static str {
        let [name, _] = self.texts();
        language.choose(name)
    }

    /// Says what to do about it.
    pub(super) const fn remedy(self, language: Language) -> &'static str {
        let [_, remedy] = self.texts();
        language.choose(remedy)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everything_has_a_name_of_its_own_and_a_remedy_in_both_languages() {
        for what in What::ALL {
            let [_, [german, english]] = what.texts();
            assert!(
                german.ends_with('.') && english.ends_with('.') && german != english,
                "{what:?}"
            );
        }
        for language in [Language::German, Language::English] {
            let names: BTreeSet<_> = What::ALL.iter().map(|what| what.name(language)).collect();
            assert_eq!(names.len(), What::ALL.len());
        }
    }
}
