//! Karte, Leser und Bindung: what `codes/card.rs` has in English.

use super::Text;

const KEEP_CARD: &str = "Diese Karte für den Prüfer aufheben und die gebundene Karte wieder einstecken; ist es die gebundene \
                         Karte, Gateway und Karte zusammen ersetzen.";
const REPLACE_BOTH: &str = "Gateway und Karte zusammen ersetzen und dieses Gateway für den Prüfer aufheben.";
const NO_COPIES: &str = "Den Datenordner nie aus einer Kopie wiederherstellen. Gateway und Karte für den Prüfer aufheben und \
                         zusammen ersetzen.";
const CHECK_DISK: &str = "Datenträger und Dateirechte des Datenordners prüfen, dann das Gateway neu starten.";
const ASK_TRUST_CENTRE: &str = "Das Trust-Center fragen, welche Karte das ist, und eine einstecken, deren Zertifikate in \
                                Ordnung sind.";
const NAME_READER: &str =
    "Den Leser, in dem die Karte steckt, unter [card] reader nennen, oder ihn anschließen.";
const PERSONALISED_CARD: &str =
    "Eine Karte einstecken, die das Trust-Center für ein Gateway personalisiert hat.";
const COPY: &str = "Die Kopie für den Prüfer aufheben und die gebundene Karte wieder einstecken.";

pub(super) const ALL: &[Text] = &[
    (
        "SMGW-C-0101",
        "Im Leser steckt keine Karte.",
        "Die Karte einstecken.",
    ),
    (
        "SMGW-C-0102",
        "Kein Kartenleser ist angeschlossen.",
        "Den Kartenleser anschließen.",
    ),
    (
        "SMGW-C-0103",
        "Mehrere Kartenleser sind angeschlossen, und keiner ist genannt.",
        NAME_READER,
    ),
    (
        "SMGW-C-0104",
        "Der Kartenleser, den die Konfiguration nennt, ist nicht angeschlossen.",
        NAME_READER,
    ),
    (
        "SMGW-C-0105",
        "Der Dienst für Chipkarten antwortet nicht.",
        "pcscd starten; das Gateway findet ihn von selbst.",
    ),
    (
        "SMGW-C-0106",
        "Der Dienst für Chipkarten erlaubt diesem Benutzer keine Karten.",
        "Dem Benutzer des Gateways in den polkit-Regeln von pcscd die Karten erlauben.",
    ),
    (
        "SMGW-C-0107",
        "Ein anderes Programm benutzt die Karte.",
        "Das andere Programm beenden.",
    ),
    (
        "SMGW-C-0108",
        "Die Karte antwortet nicht auf Strom und Reset.",
        "Das Gateway anhalten, die Karte richtig herum einstecken oder ihre Kontakte reinigen, und es wieder starten.",
    ),
    (
        "SMGW-C-0109",
        "Die Karte spricht nicht T=1 und ist keine Karte für ein Gateway.",
        PERSONALISED_CARD,
    ),
    (
        "SMGW-C-0110",
        "Die Karte wurde im Betrieb herausgenommen oder zurückgesetzt.",
        "Die Karte im Leser lassen; das Gateway sieht von selbst wieder nach ihr.",
    ),
    (
        "SMGW-C-0111",
        "Der Kartenleser kommt von einem Befehl nicht zurück.",
        "Den Leser neu anschließen; hilft das nicht, das Gateway anhalten, die Karte neu einstecken und es wieder starten.",
    ),
    (
        "SMGW-C-0112",
        "Der Kartenleser versagt.",
        "Den Leser neu anschließen oder pcscd neu starten.",
    ),
    (
        "SMGW-C-0113",
        "Die Datei der Software-Karte ist nicht erreichbar oder keine Karte.",
        "Die Datei der Software-Karte prüfen.",
    ),
    (
        "SMGW-C-0201",
        "Die Karte im Leser ist leer.",
        "Die Karte vom Trust-Center personalisieren lassen, oder eine einstecken, die es ist.",
    ),
    (
        "SMGW-C-0202",
        "Die Karte im Leser hat ihr Leben beendet und geht nie wieder.",
        "Die Karte herausnehmen und die richtige einstecken; diese bringt nichts zurück. Ist es die, an die dieses Gateway \
         gebunden ist, beide zusammen ersetzen.",
    ),
    (
        "SMGW-C-0203",
        "Die Karte, an die dieses Gateway gebunden ist, hat ihr Leben beendet.",
        "Gateway und Karte zusammen ersetzen; diese Karte geht nie wieder.",
    ),
    (
        "SMGW-C-0204",
        "Die Karte im Leser ist keine Karte für ein Gateway.",
        PERSONALISED_CARD,
    ),
    (
        "SMGW-C-0205",
        "Die Karte im Leser ist an ein anderes Gateway gebunden.",
        "Diese Karte in ihr eigenes Gateway zurückstecken und eine einstecken, die nie gebunden war, oder die, an die dieses \
         Gateway gebunden ist.",
    ),
    (
        "SMGW-C-0206",
        "Die Karte im Leser ist eine andere als die, an die dieses Gateway gebunden ist.",
        "Die gebundene Karte wieder einstecken; eine andere wird nie angenommen.",
    ),
    (
        "SMGW-C-0207",
        "Die Karte im Leser zeigt die gebundene GUID und hat nicht deren Schlüssel.",
        COPY,
    ),
    (
        "SMGW-C-0208",
        "Die gebundene Karte sagt, sie sei nie gebunden worden.",
        KEEP_CARD,
    ),
    (
        "SMGW-C-0209",
        "Die Karte wurde seltener gekoppelt, als dieses Gateway es getan hat.",
        KEEP_CARD,
    ),
    (
        "SMGW-C-0210",
        "Die Karte bürgt für ein älteres Bundle als vorher.",
        KEEP_CARD,
    ),
    (
        "SMGW-C-0211",
        "Die Karte kennt einen älteren Stand des Speichers, als ihr gesagt wurde.",
        KEEP_CARD,
    ),
    (
        "SMGW-C-0212",
        "Die Zertifikate der Karte sind nicht in Ordnung.",
        ASK_TRUST_CENTRE,
    ),
    (
        "SMGW-C-0213",
        "Die Zertifikate der Karte gelten nicht für die GUID, die sie zeigt.",
        ASK_TRUST_CENTRE,
    ),
    (
        "SMGW-C-0214",
        "Die Karte hat keinen eigenen Schlüssel zur Beglaubigung.",
        ASK_TRUST_CENTRE,
    ),
    (
        "SMGW-C-0215",
        "Was wie die gebundene Karte aussieht, nimmt das Kopplungsgeheimnis nicht an.",
        "Eine Kopie für den Prüfer aufheben und die gebundene Karte wieder einstecken. Ist es die gebundene Karte, das Gateway \
         anhalten, die Karte neu einstecken und es starten; lehnt sie wieder ab, das Trust-Center fragen.",
    ),
    (
        "SMGW-C-0216",
        "Die gebundene Karte nimmt kein Kopplungsgeheimnis mehr an.",
        "Die Karte vom Trust-Center entsperren lassen: trust-center unlock.",
    ),
    (
        "SMGW-C-0217",
        "Die Karte lehnt ab oder versagt, während sie geprüft wird.",
        "Das Gateway anhalten, die Karte neu einstecken und es starten; versagt sie wieder, sie ersetzen, und eine gebundene \
         zusammen mit ihrem Gateway.",
    ),
    (
        "SMGW-C-0218",
        "Die Karte kann gebunden werden und wartet auf die Bestätigung des Technikers.",
        "Die GUID mit dem Etikett der Karte vergleichen, dann ihre letzten vier Zeichen auf der Seite der Bindung oder mit smgw \
         binding confirm eingeben.",
    ),
    (
        "SMGW-C-0219",
        "Die gebundene Karte wird ohne Auftrag nicht mehr gekoppelt, weil nur wenige Versuche übrig sind.",
        "Sicherstellen, dass es die gebundene Karte ist, dann smgw binding confirm mit den letzten vier Zeichen ihrer GUID; \
         lehnt sie ab, sie vom Trust-Center entsperren lassen: trust-center unlock.",
    ),
    (
        "SMGW-C-0220",
        "Die Bindung hat mit einer anderen Karte begonnen als der im Leser.",
        "Die Karte einstecken, mit der die Bindung begonnen hat. Ist sie verloren oder defekt, smgw binding confirm mit den \
         letzten vier Zeichen der GUID dieser Karte; die erste dient dann nie einem Gateway.",
    ),
    (
        "SMGW-C-0221",
        "Die Karte im Leser zeigt, was die gebundene zeigt, und kennt ihr Geheimnis nicht.",
        COPY,
    ),
    (
        "SMGW-C-0222",
        "Das Gateway ist schon endgültig an eine Karte gebunden.",
        "Zu bestätigen gibt es nichts mehr; war es die falsche Karte, Gateway und Karte zusammen ersetzen.",
    ),
    (
        "SMGW-C-0223",
        "Die GUID der Karte im Leser endet nicht mit den eingegebenen Zeichen.",
        "Die GUID mit dem Etikett der Karte vergleichen und ihre letzten vier Zeichen eingeben.",
    ),
    (
        "SMGW-C-0301",
        "Das Gateway wurde endgültig aufgegeben.",
        REPLACE_BOTH,
    ),
    (
        "SMGW-C-0302",
        "Die gebundene Karte wurde im Betrieb herausgenommen, und das lässt sich nicht einbrennen.",
        REPLACE_BOTH,
    ),
    (
        "SMGW-C-0303",
        "Die Bindungen sind beschädigt, verloren oder widersprechen sich.",
        REPLACE_BOTH,
    ),
    (
        "SMGW-C-0304",
        "Die Karte wurde öfter gekoppelt, als dieses Gateway es getan hat.",
        REPLACE_BOTH,
    ),
    (
        "SMGW-C-0305",
        "An der Stelle des Datenordners liegt eine ältere Kopie.",
        NO_COPIES,
    ),
    (
        "SMGW-C-0306",
        "Der Speicher ist nicht der, von dem die gebundene Karte weiß.",
        NO_COPIES,
    ),
    (
        "SMGW-C-0307",
        "Ein Teil des Speichers ist älter als das, wofür die gebundene Karte bürgt.",
        NO_COPIES,
    ),
    (
        "SMGW-C-0308",
        "Das Geheimnis, das zur Bindung gehört, ist verloren.",
        REPLACE_BOTH,
    ),
    (
        "SMGW-C-0309",
        "Die Bindungen lassen sich auf einem vollen Datenträger nicht öffnen.",
        "Platz schaffen, dann das Gateway neu starten.",
    ),
    ("SMGW-C-0310", "Die Bindungen sind nicht erreichbar.", CHECK_DISK),
    (
        "SMGW-C-0311",
        "Die Meilensteine des Speichers sind nicht erreichbar.",
        CHECK_DISK,
    ),
    ("SMGW-C-0312", "Ein Protokoll ist nicht erreichbar.", CHECK_DISK),
    (
        "SMGW-C-0313",
        "Die Bindung lässt sich nicht einbrennen.",
        "Den Datenträger prüfen, die Karte im Leser lassen und das Gateway neu starten.",
    ),
    (
        "SMGW-C-0314",
        "Das gespeicherte Bundle lässt sich nicht lesen.",
        CHECK_DISK,
    ),
    (
        "SMGW-C-0315",
        "Die Uhr wurde nie gestellt, sodass die Zertifikate der Karte nicht beurteilt werden können.",
        "Eine Zeitquelle anschließen.",
    ),
    (
        "SMGW-C-0316",
        "Das System gibt keine Zufallszahlen her.",
        "Das Gateway neu starten; hilft das nicht, die Platine ersetzen.",
    ),
];
