//! Die Ereignisse der Protokolle: what `codes/events.rs` has in English.

use super::Text;

const NOTHING: &str = "Es ist nichts zu tun.";

pub(super) const ALL: &[Text] = &[
    ("SMGW-L-1001", "Das Gateway ist gestartet.", NOTHING),
    (
        "SMGW-L-1002",
        "Das Gateway hat angehalten.",
        "Hat es niemand angehalten, den Grund im Eintrag lesen.",
    ),
    (
        "SMGW-L-1003",
        "Der Zustand des Gateways hat sich geändert.",
        "smgw doctor ausführen oder den Code des Zustands nachschlagen.",
    ),
    (
        "SMGW-L-1004",
        "Das Gateway wurde endgültig an seine Karte gebunden.",
        NOTHING,
    ),
    (
        "SMGW-L-1005",
        "Das Trust-Center hat ein Bundle installiert.",
        NOTHING,
    ),
    (
        "SMGW-L-1006",
        "Eine Verbindung aus dem WAN scheiterte, bevor etwas gesagt wurde.",
        "War es ein Lieferant, seine Zertifikate mit denen des Bundles vergleichen; Fremde werden so abgewiesen.",
    ),
    (
        "SMGW-L-1007",
        "Eine Nachricht aus dem WAN wurde abgelehnt.",
        "Ihrem Absender den Code der Ablehnung aus dem Eintrag nennen.",
    ),
    (
        "SMGW-L-1008",
        "Die Karte hat die Köpfe der Protokolle signiert.",
        NOTHING,
    ),
    (
        "SMGW-L-1009",
        "Alte Einträge eines Protokolls wurden wegen Größe oder Alter gelöscht.",
        "Müssen Einträge länger aufgehoben werden, dem Protokoll unter [logs] mehr Raum geben.",
    ),
    (
        "SMGW-L-1010",
        "Das Ende eines Protokolls wurde auf seinen letzten ganzen Eintrag gekürzt.",
        "Nach einem Stromausfall ist nichts zu tun; sonst den Flash-Speicher prüfen.",
    ),
    (
        "SMGW-L-1011",
        "Ein beschädigtes Protokoll wurde gefunden.",
        "smgw log verify ausführen und tun, was der Code des Befunds sagt.",
    ),
    (
        "SMGW-L-1012",
        "Ein Protokoll hat seinen letzten Eintrag aufgenommen und ist voll.",
        "Platz schaffen oder dem Protokoll unter [logs] mehr Raum geben.",
    ),
    (
        "SMGW-L-1013",
        "Ereignisse einer Art kamen so oft, dass einige nur gezählt wurden.",
        "Den Code dieser Ereignisse nachschlagen; vielleicht versucht jemand etwas.",
    ),
    (
        "SMGW-L-1014",
        "Die Konfiguration wurde beim Start gelesen.",
        NOTHING,
    ),
    (
        "SMGW-L-1015",
        "Mit dem Speicher stimmt etwas nicht, oder etwas darin ist verloren.",
        "Den Code des Befunds im Eintrag nachschlagen.",
    ),
    (
        "SMGW-L-1016",
        "Ein Teil der Bindungen wurde beim Start in Ordnung gebracht.",
        "Geschieht das bei jedem Start, den Flash-Speicher prüfen lassen.",
    ),
    ("SMGW-L-1017", "Vergangene Tage wurden versiegelt.", NOTHING),
    (
        "SMGW-L-1018",
        "Was älter ist, als die Aufzeichnung reichen soll, wurde gelöscht.",
        NOTHING,
    ),
    (
        "SMGW-L-1019",
        "Eine Energieanwendung ist an einem Zeitfenster gescheitert.",
        "Mit smgw app list den Grund nachsehen und den Autor sie berichtigen lassen; sie wird von selbst wieder versucht.",
    ),
    (
        "SMGW-L-1020",
        "Eine Energieanwendung wurde angehalten, weil das Zertifikat ihres Autors widerrufen ist.",
        "Den Lieferanten das Modul mit einem anderen Zertifikat signieren und den TSM es installieren lassen; was sie gemacht \
         hat, bleibt.",
    ),
    (
        "SMGW-L-1031",
        "Jemand hat sich an der lokalen Weboberfläche angemeldet.",
        NOTHING,
    ),
    (
        "SMGW-L-1032",
        "Jemand konnte sich an der lokalen Weboberfläche nicht anmelden.",
        "War es niemand aus dem Haus, herausfinden, wer das Netz des Gateways erreicht.",
    ),
    (
        "SMGW-L-1033",
        "Das Passwort eines Kontos der lokalen Weboberfläche wurde geändert.",
        NOTHING,
    ),
    (
        "SMGW-L-1034",
        "Ein Zugriffsschlüssel zum Lesen über die lokale Weboberfläche wurde angelegt.",
        NOTHING,
    ),
    (
        "SMGW-L-1035",
        "Ein Zugriffsschlüssel zum Lesen über die lokale Weboberfläche wurde widerrufen.",
        NOTHING,
    ),
    (
        "SMGW-L-1036",
        "Alle Passwörter und Zugriffsschlüssel der lokalen Weboberfläche wurden gelöscht.",
        "Mit smgw web password neue Passwörter ausgeben.",
    ),
    (
        "SMGW-L-1037",
        "Jemand hat sich von der lokalen Weboberfläche abgemeldet.",
        NOTHING,
    ),
    (
        "SMGW-L-1038",
        "Eine Anmeldung an der lokalen Weboberfläche wurde abgewiesen, weil es zu viele Versuche waren.",
        "War es niemand aus dem Haus, herausfinden, wer das Netz des Gateways erreicht.",
    ),
    (
        "SMGW-L-1039",
        "Die lokale Weboberfläche hat ein neues Zertifikat.",
        "Mit smgw web label ein neues Etikett machen.",
    ),
    (
        "SMGW-L-1040",
        "Jemand hat das Gateway über die lokale Weboberfläche neu starten lassen.",
        NOTHING,
    ),
    (
        "SMGW-L-1041",
        "Jemand hat über die lokale Weboberfläche Zähler eingerichtet.",
        "Das Gateway neu starten, wenn sie noch nicht gelesen werden.",
    ),
    (
        "SMGW-L-1042",
        "Jemand hat über die lokale Weboberfläche Zähler entfernt.",
        "War es niemand von Ihnen, das Passwort des Technikers ändern.",
    ),
    ("SMGW-L-2001", "Ein Lieferant hat Werte erhalten.", NOTHING),
    (
        "SMGW-L-2002",
        "Ein Lieferant wurde abgewiesen.",
        "Hätte er etwas bekommen sollen, smgw grants explain ausführen.",
    ),
    (
        "SMGW-L-2003",
        "Das Trust-Center hat geändert, wer was bekommen darf.",
        "smgw grants list zeigt, was jetzt gilt.",
    ),
    (
        "SMGW-L-2004",
        "Der Verbraucher hat eingeschränkt, was Lieferanten bekommen.",
        NOTHING,
    ),
    (
        "SMGW-L-2005",
        "Der Verbraucher hat eine Einschränkung aufgehoben.",
        NOTHING,
    ),
    (
        "SMGW-L-3001",
        "Die Uhr war nicht gestellt, und Werte werden markiert.",
        "Eine Zeitquelle anschließen.",
    ),
    (
        "SMGW-L-3002",
        "Der Uhr kann von jetzt an getraut werden.",
        NOTHING,
    ),
    (
        "SMGW-L-3003",
        "Die Uhr ist gesprungen.",
        "Hat niemand sie gestellt, nach der Zeitquelle sehen.",
    ),
    ("SMGW-L-3004", "Ein Zähler wurde zum ersten Mal gesehen.", NOTHING),
    (
        "SMGW-L-3005",
        "An der Stelle eines Zählers antwortet ein anderer.",
        "Hat niemand ihn getauscht, nach dem Zähler und seiner Adresse sehen.",
    ),
    (
        "SMGW-L-3006",
        "Die Fehler, die ein Zähler meldet, haben sich geändert.",
        "Nach dem Zähler und in sein Handbuch sehen.",
    ),
    (
        "SMGW-L-3007",
        "Die Werte eines Zählers fehlen von einem Punkt des Rasters an.",
        "smgw meter show mit dem Namen des Zählers nennt den Grund.",
    ),
    (
        "SMGW-L-3008",
        "Die Werte eines Zählers werden wieder registriert.",
        NOTHING,
    ),
    (
        "SMGW-L-3009",
        "Eine Weile wurde gar nichts registriert.",
        "War das Gateway nicht aus, das Systemprotokoll dieser Zeit lesen.",
    ),
];
