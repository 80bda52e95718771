//! Was eine Prüfung findet: what `codes/examination.rs` has in English.

use super::Text;

pub(super) const ALL: &[Text] = &[
    (
        "SMGW-D-0101",
        "Es gibt keine Konfiguration, oder sie ist nicht lesbar.",
        "/etc/smgw/smgw.toml nach dem kommentierten Beispiel schreiben oder die Datei mit --config nennen; dieser Benutzer muss \
         sie lesen dürfen.",
    ),
    (
        "SMGW-D-0102",
        "Die Konfiguration wird nicht angenommen.",
        "Die genannte Zeile berichtigen und mit smgw config check prüfen.",
    ),
    (
        "SMGW-D-0103",
        "Die Konfiguration nennt keine Zähler.",
        "Der Konfiguration eine [[bus]] mit einem [[bus.meter]] hinzufügen, oder einen Zähler im Assistenten einrichten.",
    ),
    (
        "SMGW-D-0104",
        "Die Konfiguration nennt keinen Weg über das WAN.",
        "Dem Gateway eine Adresse unter [wan] listen oder einen [wan.broker] geben, wenn es nicht nur messen soll.",
    ),
    (
        "SMGW-D-0201",
        "Den Datenordner gibt es nicht.",
        "Die Datenpartition einhängen, den Ordner anlegen und dem Benutzer des Gateways geben, oder data in der Konfiguration \
         berichtigen.",
    ),
    (
        "SMGW-D-0202",
        "Wer den Datenordner lesen und beschreiben muss, kann es nicht.",
        "Den Datenordner dem Benutzer des Gateways geben: chown -R smgw: und Modus 0700.",
    ),
    (
        "SMGW-D-0203",
        "Der Datenordner steht anderen Benutzern des Geräts offen.",
        "Seinen Modus auf 0700 setzen.",
    ),
    (
        "SMGW-D-0204",
        "Die Datenpartition ist voll.",
        "Löschen, was nicht dem Gateway gehört, oder die Partition vergrößern; bis Platz ist, gehen Werte verloren.",
    ),
    (
        "SMGW-D-0205",
        "Die Datenpartition ist fast voll.",
        "Löschen, was nicht dem Gateway gehört, oder die Partition vergrößern.",
    ),
    (
        "SMGW-D-0206",
        "Wie viel Platz auf der Datenpartition ist, lässt sich nicht sagen.",
        "Die Datenpartition und ihr Dateisystem prüfen.",
    ),
    (
        "SMGW-D-0207",
        "Der Geräteschlüssel ist nicht lesbar, sodass niemand bedient wird.",
        "Die Datei, die [store] device_key nennt, braucht 32 Byte und Modus 0600, und muss vor dem Start des Gateways da sein.",
    ),
    (
        "SMGW-D-0208",
        "Auf der Datenpartition haben zwei Jahre Werte vielleicht keinen Platz.",
        "Die Partition vergrößern, wenn die Werte vieler Zähler zwei Jahre aufgehoben werden sollen.",
    ),
    (
        "SMGW-D-0209",
        "Der Geräteschlüssel liegt bei den Daten, die er schützt: das ist die schwache Vorgabe.",
        "Unter [store] device_key einen Ort nennen, der nicht mit den Daten kopiert wird.",
    ),
    (
        "SMGW-D-0301",
        "Kein Gateway läuft: am Kontrollsocket antwortet niemand.",
        "Es mit systemctl start smgw starten, und journalctl -u smgw lesen, wenn es nicht läuft.",
    ),
    (
        "SMGW-D-0302",
        "Das laufende Gateway lässt diesen Benutzer nicht fragen.",
        "Den Befehl als root oder als Benutzer des Gateways ausführen.",
    ),
    (
        "SMGW-D-0303",
        "Das laufende Gateway antwortet nicht, wie es soll.",
        "journalctl -u smgw lesen; wurde das Gateway aktualisiert, es neu starten.",
    ),
    (
        "SMGW-D-0304",
        "Der Dienst smgw ist in systemd nicht installiert.",
        "Das Paket des Gateways mit seinen Units installieren.",
    ),
    (
        "SMGW-D-0305",
        "Ein Dienst, den das Gateway braucht, ist gescheitert.",
        "journalctl -u mit dem Namen des Dienstes lesen und ihn starten.",
    ),
    (
        "SMGW-D-0306",
        "Der Dienst smgw startet nicht mit dem Gerät.",
        "systemctl enable smgw ausführen.",
    ),
    (
        "SMGW-D-0307",
        "Die Datenpartition ist nicht eingehängt oder wird nicht mehr beschrieben: Es wird nichts gemessen.",
        "Das Gerät repariert sie von selbst, hängt sie ein und startet nach einer Stunde neu; journalctl -u smgw-recovery lesen. \
         Bleibt es so, Speicherkarte oder Flash und Gateway und Karte zusammen ersetzen.",
    ),
    (
        "SMGW-D-0401",
        "Die Karte ist eine Software-Karte oder kann eine sein: nicht für den Betrieb.",
        "Eine Fassung ohne das Merkmal soft-card installieren und eine Karte in einem Leser benutzen.",
    ),
    (
        "SMGW-D-0402",
        "Ein Zertifikat der Karte läuft bald ab.",
        "Dem Trust-Center Bescheid geben; es erneuert die Zertifikate der Karte.",
    ),
    (
        "SMGW-D-0403",
        "Ein Zertifikat der Karte gilt zu dieser Zeit nicht.",
        "Die Uhr prüfen; ist sie richtig, das Trust-Center um andere Zertifikate oder eine andere Karte bitten.",
    ),
    (
        "SMGW-D-0501",
        "Die Uhr wurde nie gestellt: Werte werden markiert, und niemand wird bedient.",
        "Eine Zeitquelle anschließen, wie NTP im Netz, oder die Batterie der Uhr ersetzen.",
    ),
    (
        "SMGW-D-0502",
        "Ob die Uhr einer Zeitquelle folgt, ist nicht bekannt.",
        "chrony oder systemd-timesyncd starten und dafür sorgen, dass der Dienst seinen Server erreicht.",
    ),
    (
        "SMGW-D-0503",
        "Die Uhr geht weiter falsch, als das Eichrecht erlaubt: um mehr als 3 % der Registrierperiode.",
        "Den Zeitdienst neu starten und in seinem Protokoll lesen, warum er die Uhr nicht stellt; geht sie richtig, ist der \
         genannte Zeitserver falsch.",
    ),
    (
        "SMGW-D-0504",
        "Kein Zeitserver ist eingerichtet, sodass sich die Abweichung der Uhr nicht messen lässt.",
        "Einen in time.d neben der Konfiguration oder beim Zeitdienst nennen, oder die Uhrzeit mit einer anderen Uhr vergleichen.",
    ),
    (
        "SMGW-D-0505",
        "Kein Zeitserver nennt die Zeit.",
        "Namen der Zeitserver prüfen, und ob UDP-Port 123 zu ihnen offen ist.",
    ),
    (
        "SMGW-D-0601",
        "Kein Netz ist angeschlossen: keine Schnittstelle hat eine Verbindung.",
        "Das Netzkabel einstecken, oder nach Modem und Antenne sehen.",
    ),
    (
        "SMGW-D-0602",
        "Das Gerät hat keine Adresse oder keinen Weg nach außen.",
        "Prüfen, ob DHCP antwortet, oder Adresse und Gateway des Netzes einstellen.",
    ),
    (
        "SMGW-D-0603",
        "Der Name des Brokers lässt sich nicht auflösen.",
        "Den Namen unter [wan.broker] berichtigen oder einen DNS-Server einstellen.",
    ),
    (
        "SMGW-D-0604",
        "Der Broker ist über TCP nicht erreichbar.",
        "Prüfen, ob der Broker läuft und keine Firewall auf dem Weg seinen Port sperrt.",
    ),
    (
        "SMGW-D-0605",
        "Das Gateway ist nicht mit seinem Broker verbunden.",
        "Den Grund daneben lesen; das Gateway versucht es von selbst wieder.",
    ),
    (
        "SMGW-D-0606",
        "Das Trust-Center hat noch keinen ersten Kontakt aufgenommen.",
        "Dem TSM die GUID nennen und ihn ein Bundle installieren lassen; bis dahin wird kein Lieferant bedient.",
    ),
    (
        "SMGW-D-0607",
        "Das Gateway hört nicht auf das WAN, obwohl die Konfiguration es sagt.",
        "Das Gateway neu starten und journalctl -u smgw lesen.",
    ),
    (
        "SMGW-D-0608",
        "Zum Broker kommt keine TLS-Verbindung mit dem Schlüssel der Karte zustande.",
        "Die Uhr muss stimmen und das Zertifikat des Brokers vom Trust-Center sein; der Grund steht daneben.",
    ),
    (
        "SMGW-D-0609",
        "Der Broker lässt das Gateway nicht ein.",
        "Die Zugriffsregeln des Brokers prüfen: er muss die GUID der Karte kennen.",
    ),
    (
        "SMGW-D-0610",
        "Was das Gateway sich selbst durch den Broker sagt, kommt nicht zurück.",
        "Die Zugriffsregeln des Brokers müssen dem Gateway sein Thema echo zum Lesen und Schreiben geben.",
    ),
    (
        "SMGW-D-0611",
        "Keine Karte dient diesem Gateway, und der Schlüssel für das WAN ist der ihre.",
        "Die Karte binden, oder die gebundene wieder einstecken; smgw status sagt, was im Weg ist.",
    ),
    (
        "SMGW-D-0701",
        "Ein Zähler hat noch nie geantwortet.",
        "Prüfen, ob er angeschlossen ist und Strom hat, und ob Leitung, Geschwindigkeit und Adresse stimmen: die Leitung im \
         Assistenten durchsuchen.",
    ),
    (
        "SMGW-D-0702",
        "Ein Zähler liefert keine Werte mehr.",
        "Nach dem Zähler und seiner Leitung sehen; smgw meter show nennt, was gezählt wurde.",
    ),
    (
        "SMGW-D-0703",
        "Ein Zähler hat beim letzten Versuch versagt.",
        "Nichts, wenn die nächste Runde gelingt; sonst nach der Leitung sehen.",
    ),
    (
        "SMGW-D-0704",
        "Eine serielle Schnittstelle der Konfiguration ist nicht da.",
        "Den Adapter einstecken oder den Namen berichtigen; /dev/serial/by-id hat Namen, die sich nicht ändern.",
    ),
    (
        "SMGW-D-0705",
        "Dieser Benutzer darf eine serielle Schnittstelle nicht benutzen.",
        "Den Benutzer des Gateways in die Gruppe dialout aufnehmen.",
    ),
    (
        "SMGW-D-0706",
        "Ein Zähler oder Wandler im Netz nimmt keine Verbindungen an.",
        "Prüfen, ob er Strom hat und die Adresse stimmt; viele bedienen nur einen zugleich.",
    ),
    (
        "SMGW-D-0801",
        "Die Protokolle lassen sich nicht prüfen.",
        "smgw log verify als root ausführen und den Datenträger prüfen.",
    ),
    (
        "SMGW-D-0802",
        "Ein Protokoll besteht die Prüfung nicht.",
        "smgw log verify ausführen und eine Kopie des Ordners logs für den Prüfer aufheben.",
    ),
    (
        "SMGW-D-0901",
        "Das Zertifikat der lokalen Weboberfläche ist beschädigt.",
        "Mit smgw web certificate --new ein neues anlegen.",
    ),
    (
        "SMGW-D-0902",
        "Die lokale Weboberfläche nimmt keine Verbindungen an, wo die Konfiguration es sagt.",
        "Die Adresse unter [web.https] muss eine dieses Geräts sein; dann das Gateway neu starten.",
    ),
];
