//! What an examination finds: `01xx` configuration, `02xx` data folder, `03xx` daemon and units, `04xx` card, `05xx` clock, `06xx`
//! network and WAN, `07xx` meters, `08xx` logs, `09xx` the local web.

super::codes! {
    CONFIGURATION_MISSING = "SMGW-D-0101", "There is no configuration, or it cannot be read.",
        "Write /etc/smgw/smgw.toml after the commented sample, or name the file with --config; see that this user may read it.";
    CONFIGURATION_WRONG = "SMGW-D-0102", "The configuration is not taken.",
        "Correct the line that is named, and check it with smgw config check.";
    NO_METERS = "SMGW-D-0103", "The configuration has no meters.", "Add a [[bus]] with a [[bus.meter]] to the configuration.";
    NO_WAN = "SMGW-D-0104", "The configuration has no way over the WAN.",
        "Give the gateway a [wan] listen address or a [wan.broker], unless it is to measure only.";
    DATA_MISSING = "SMGW-D-0201", "The data folder does not exist.",
        "Mount the data partition, make the folder and give it to the gateway's user, or correct data in the configuration.";
    DATA_RIGHTS = "SMGW-D-0202", "The data folder cannot be read and written by the one who has to.",
        "Give the data folder to the gateway's user: chown -R smgw: on it, and mode 0700.";
    DATA_OPEN = "SMGW-D-0203", "The data folder is open to other users of the device.", "Set its mode to 0700.";
    DATA_FULL = "SMGW-D-0204", "The data partition is full.",
        "Delete what is not the gateway's, or enlarge the partition; readings are lost until there is space.";
    DATA_LOW = "SMGW-D-0205", "The data partition is nearly full.", "Delete what is not the gateway's, or enlarge the partition.";
    DATA_UNKNOWN = "SMGW-D-0206", "The space on the data partition cannot be told.", "Check the data partition and its file system.";
    KEY_MISSING = "SMGW-D-0207", "The device key cannot be read, so that nothing is served.",
        "See that the file that [store] device_key names has 32 bytes and mode 0600, and is there before the gateway starts.";
    DATA_SMALL = "SMGW-D-0208", "The data partition may be too small for two years of values.",
        "Enlarge the partition if values of many meters are to be kept for two years.";
    KEY_WITH_DATA = "SMGW-D-0209", "The device key lies with the data that it protects, which is the weak default.",
        "Name a place under [store] device_key that is not copied with the data.";
    NO_DAEMON = "SMGW-D-0301", "No gateway runs: nobody answers on the control socket.",
        "Start it with systemctl start smgw, and read journalctl -u smgw if it does not stay.";
    CONTROL_REFUSED = "SMGW-D-0302", "The running gateway does not let this user ask.", "Run the command as root or as the gateway's user.";
    CONTROL_SILENT = "SMGW-D-0303", "The running gateway does not answer as it should.",
        "Read journalctl -u smgw; if the gateway was updated, start it again.";
    UNIT_MISSING = "SMGW-D-0304", "The service smgw is not installed in systemd.", "Install the package of the gateway with its units.";
    UNIT_FAILED = "SMGW-D-0305", "A service that the gateway needs has failed.", "Read journalctl -u with the name of the service, then start it.";
    UNIT_OFF = "SMGW-D-0306", "The service smgw does not start with the device.", "Run systemctl enable smgw.";
    DATA_NOT_MOUNTED = "SMGW-D-0307", "The data partition is not mounted, or no longer written to: nothing is measured.",
        "The device repairs and mounts it by itself, and starts anew after an hour; read journalctl -u smgw-recovery. If it stays \
         like this, replace the memory card or flash, and gateway and card together.";
    SOFT_CARD = "SMGW-D-0401", "The card is, or can be, a soft card: this is not for production.",
        "Install a build without the feature soft-card, and use a card in a reader.";
    CERTIFICATE_ENDS = "SMGW-D-0402", "A certificate of the card ends soon.", "Tell the trust centre; it renews the card's certificates.";
    CERTIFICATE_OVER = "SMGW-D-0403", "A certificate of the card is not valid at this time.",
        "Check the clock; if it is right, ask the trust centre for other certificates or another card.";
    CLOCK_UNSET = "SMGW-D-0501", "The clock was never set: values are marked, and nothing is served.",
        "Connect a time source, such as NTP in the network, or replace the battery of the clock.";
    CLOCK_FREE = "SMGW-D-0502", "The clock is not known to follow a time source.",
        "Start chrony or systemd-timesyncd, and see that it reaches its server.";
    CLOCK_WRONG = "SMGW-D-0503", "The clock is off by more than the calibration law permits: by more than 3 % of the registration period.",
        "Start the time service again, and read in its log why it does not set the clock; if the clock is right, the time server that \
         is named is wrong.";
    NO_TIME_SERVER = "SMGW-D-0504", "No time server is configured, so that it cannot be measured how far the clock is off.",
        "Name one in time.d beside the configuration or to the time service, or compare the time with another clock.";
    TIME_SILENT = "SMGW-D-0505", "No time server tells the time.",
        "Check the names of the time servers, and that UDP port 123 is open to them.";
    NO_LINK = "SMGW-D-0601", "No network is plugged in: no interface has a link.",
        "Plug the network cable in, or look at modem and antenna.";
    NO_ROUTE = "SMGW-D-0602", "The device has no address or no route to the outside.",
        "See that DHCP answers, or set address and gateway of the network.";
    NO_NAME = "SMGW-D-0603", "The broker's name cannot be resolved.", "Correct the name in [wan.broker], or set a DNS server.";
    NO_CONNECTION = "SMGW-D-0604", "The broker cannot be reached over TCP.",
        "See that the broker runs, and that no firewall on the way blocks its port.";
    BROKER_AWAY = "SMGW-D-0605", "The gateway is not connected to its broker.",
        "Read the reason beside it; the gateway tries again by itself.";
    NO_CONTACT = "SMGW-D-0606", "The trust centre has not made first contact yet.",
        "Tell the TSM the GUID and have it install a bundle; until then no supplier is served.";
    NO_LISTENER = "SMGW-D-0607", "The gateway does not listen on the WAN although the configuration says so.",
        "Start the gateway again, and read journalctl -u smgw.";
    NO_TLS = "SMGW-D-0608", "No TLS connection to the broker can be made with the card's key.",
        "The clock has to be right, and the broker's certificate by the trust centre; the reason stands beside it.";
    NO_LOGIN = "SMGW-D-0609", "The broker does not let the gateway in.",
        "Check the broker's access rules: it has to know the GUID of the card.";
    NO_ECHO = "SMGW-D-0610", "What the gateway says to itself through the broker does not come back.",
        "The broker's access rules have to give the gateway its topic echo to read and to write.";
    NO_CARD_SERVES = "SMGW-D-0611", "No card serves this gateway, and the key for the WAN is the card's.",
        "Bind the card, or put the bound one back; smgw status says what is in the way.";
    METER_SILENT = "SMGW-D-0701", "A meter has never answered.",
        "See that it is wired and has power, and that bus, speed and address are right: smgw mbus scan or smgw modbus scan with \
         the gateway stopped.";
    METER_STALE = "SMGW-D-0702", "A meter gives no values any more.",
        "Look at the meter and its line; smgw meter show tells what was counted.";
    METER_FAILS = "SMGW-D-0703", "A meter failed at the last attempt.", "Nothing, if the next round succeeds; otherwise look at the line.";
    NO_PORT = "SMGW-D-0704", "A serial port of the configuration is not there.",
        "Plug the adapter in, or correct the port's name; /dev/serial/by-id keeps names that do not change.";
    PORT_RIGHTS = "SMGW-D-0705", "A serial port may not be used by this user.", "Put the gateway's user into the group dialout.";
    NO_CONVERTER = "SMGW-D-0706", "A meter or converter on the network does not take connections.",
        "See that it has power and its address is right; many serve one client at a time.";
    LOGS_UNREADABLE = "SMGW-D-0801", "The logs cannot be examined.", "Run smgw log verify as root, and check the disk.";
    LOGS_BAD = "SMGW-D-0802", "A log does not verify.", "Run smgw log verify, and keep a copy of the logs folder for the auditor.";
    WEB_CERTIFICATE = "SMGW-D-0901", "The certificate of the local web is damaged.", "Make a new one with smgw web certificate --new.";
    WEB_CLOSED = "SMGW-D-0902", "The local web does not take connections where the configuration says.",
        "See that the address of [web.https] is one of this device, and start the gateway again.";
}
