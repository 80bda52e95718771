//! Was am Gerät gefunden wird: what `codes/device.rs` has in English.

use super::Text;

const OWN_PARTITION: &str =
    "Den Datenordner auf eine eigene Partition mit einem Journal-Dateisystem wie ext4 legen.";
const WORN: &str = "Den Flash-Speicher des Geräts prüfen lassen: er behält nicht, was auf ihn geschrieben wird. Was fehlt, \
                    bleibt als fehlend markiert.";
const HANDLED: &str = "Herausfinden, wer oder was die Dateien des Datenordners geändert hat; sie dürfen nicht entfernt oder aus \
                       einer Kopie zurückgelegt werden. Eine Stunde lang werden Anfragen abgelehnt, die Wiederholungen sein \
                       können.";

pub(super) const ALL: &[Text] = &[
    (
        "SMGW-F-0101",
        "Der Kernel sagt nicht, wie der Datenordner eingehängt ist.",
        "/proc einhängen und sicherstellen, dass es den Datenordner gibt.",
    ),
    (
        "SMGW-F-0102",
        "Der Datenordner liegt im Arbeitsspeicher: ohne Strom ist alles verloren.",
        OWN_PARTITION,
    ),
    (
        "SMGW-F-0103",
        "Der Datenordner liegt auf einem Overlay: was geschrieben wird, übersteht einen Stromausfall vielleicht nicht.",
        OWN_PARTITION,
    ),
    (
        "SMGW-F-0104",
        "Die Datenpartition ist ohne Barrieren eingehängt: Bestätigtes kann bei einem Stromausfall verloren gehen.",
        "Die Datenpartition mit Barrieren einhängen; das ist die Vorgabe.",
    ),
    (
        "SMGW-F-0105",
        "Die Datenpartition hat einen langen Commit-Abstand: bei einem Stromausfall geht mehr verloren als sonst.",
        "Die Datenpartition mit commit=5 oder weniger einhängen; ohne die Option gilt die Vorgabe.",
    ),
    (
        "SMGW-F-0106",
        "Die Datenpartition ist mit data=writeback eingehängt: ein Stromausfall kann Dateien beschädigen.",
        "Die Datenpartition mit data=ordered, der Vorgabe, oder data=journal einhängen.",
    ),
    (
        "SMGW-F-0201",
        "Ein Protokoll ist ganz oder teilweise verloren, und kein Lieferant wird bedient.",
        "Eine Kopie des Ordners logs für den Prüfer aufheben, den Flash-Speicher prüfen, und Gateway und Karte zusammen \
         ersetzen lassen. Bis dahin wird weiter gemessen.",
    ),
    (
        "SMGW-F-0202",
        "Ein Protokoll ist nicht das, was hineingeschrieben wurde, und kein Lieferant wird bedient.",
        "Das Gateway unverändert für den Prüfer lassen, und es mit seiner Karte zusammen ersetzen lassen.",
    ),
    (
        "SMGW-F-0203",
        "Ein Protokoll ist voll: es wird weiter gemessen, und kein Lieferant wird bedient.",
        "Platz schaffen, oder dem Protokoll unter [logs] mehr Raum geben und das Gateway neu starten.",
    ),
    (
        "SMGW-F-0301",
        "Die Protokolle waren nicht lesbar, wurden beiseitegelegt und neu begonnen.",
        "Den beiseitegelegten Ordner für den Prüfer aufheben, den Flash-Speicher prüfen, und Gateway und Karte zusammen \
         ersetzen lassen.",
    ),
    (
        "SMGW-F-0401",
        "Zeilen der Datenbank fehlen, sind beschädigt oder unerwartet.",
        WORN,
    ),
    (
        "SMGW-F-0402",
        "Die Datenbank ist älter, als sie war: ihre letzten Einträge fehlen.",
        HANDLED,
    ),
    (
        "SMGW-F-0403",
        "Die Datenbank ist nicht die, in die zuletzt geschrieben wurde.",
        HANDLED,
    ),
    (
        "SMGW-F-0404",
        "Das Verzeichnis des Gespeicherten ist beschädigt: was fehlt, lässt sich nicht sagen.",
        WORN,
    ),
    (
        "SMGW-F-0405",
        "Die Datei gateway.head fehlt oder ist beschädigt: ob die Datenbank die letzte ist, lässt sich nicht sagen.",
        HANDLED,
    ),
    (
        "SMGW-F-0406",
        "Die Datenbank fehlte und wurde neu angelegt: alle Werte sind verloren.",
        HANDLED,
    ),
    (
        "SMGW-F-0407",
        "Die Datenbank war beschädigt; was lesbar war, steht in einer neuen, und die beschädigte ist aufgehoben.",
        WORN,
    ),
    (
        "SMGW-F-0501",
        "Eine Datei, die sagt, wer die lokale Weboberfläche benutzen darf, ist beschädigt: über HTTPS kommt niemand hinein.",
        "Mit smgw web reset und smgw web password neue Passwörter ausgeben, oder mit smgw web certificate --new ein neues \
         Zertifikat anlegen.",
    ),
];
