//! What the card, its reader or the binding puts in the way: `01xx` reader, `02xx` card, `03xx` gateway.

/// What helps where the card is not the bound one, or was set back.
const KEEP_CARD: &str = "Keep this card for the auditor and put the bound card back; if it is the bound card, replace gateway \
                         and card together.";
/// What helps where the gateway itself cannot be trusted any more.
const REPLACE_BOTH: &str = "Replace gateway and card together and keep this one for the auditor.";
/// What helps where the data folder is not the one that was written last.
const NO_COPIES: &str = "Never restore the data folder from a copy. Keep gateway and card for the auditor and replace them \
                         together.";
/// What helps where files cannot be read.
const CHECK_DISK: &str = "Check disk and file rights of the data folder, then start the gateway again.";
/// What helps where certificates are not in order.
const ASK_TRUST_CENTRE: &str =
    "Ask the trust centre which card this is, and insert one whose certificates are in order.";
/// What helps where several readers are attached.
const NAME_READER: &str = "Name the reader that holds the card in [card] reader, or attach it.";
/// What helps where the card is another kind of card.
const PERSONALISED_CARD: &str = "Insert a card that the trust centre has personalised for a gateway.";
/// What helps where a card shows what it cannot prove.
const COPY: &str = "Keep the copy for the auditor and put the bound card back.";

super::codes! {
    NO_CARD = "SMGW-C-0101", "There is no card in the reader.", "Insert the card.";
    NO_READER = "SMGW-C-0102", "No card reader is attached.", "Attach the card reader.";
    SEVERAL_READERS = "SMGW-C-0103", "Several card readers are attached, and none is named.", NAME_READER;
    OTHER_READERS = "SMGW-C-0104", "The card reader that the configuration names is not attached.", NAME_READER;
    NO_SERVICE = "SMGW-C-0105", "The smart card service does not answer.", "Start pcscd; the gateway finds it by itself.";
    NOT_PERMITTED = "SMGW-C-0106", "The smart card service does not permit this user to use cards.",
        "Permit the gateway's user to use cards in the polkit rules of pcscd.";
    IN_USE = "SMGW-C-0107", "The card is in use by another program.", "Stop the other program.";
    MUTE = "SMGW-C-0108", "The card does not answer to power and reset.",
        "Stop the gateway, put the card in the right way round, or clean its contacts, and start it.";
    OTHER_PROTOCOL = "SMGW-C-0109", "The card does not speak T=1 and is no card for a gateway.", PERSONALISED_CARD;
    LOST = "SMGW-C-0110", "The card was taken out or reset while it was in use.",
        "Leave the card in the reader; the gateway looks at it again by itself.";
    HANGS = "SMGW-C-0111", "The card reader does not come back from a command.",
        "Attach the reader anew; if that does not help, stop the gateway, insert the card anew and start it.";
    READER_FAILS = "SMGW-C-0112", "The card reader fails.", "Attach the reader anew, or start pcscd again.";
    SOFT_CARD_FILE = "SMGW-C-0113", "The soft card's file is out of reach, or no card.", "Check the soft card's file.";
    BLANK = "SMGW-C-0201", "The card in the reader is blank.",
        "Have the trust centre personalise the card, or insert one that is.";
    TERMINATED = "SMGW-C-0202", "The card in the reader has ended its life and will never work again.",
        "Take the card out and insert the right one; nothing brings this one back. If it is the one that this gateway is \
         bound to, replace both together.";
    OWN_TERMINATED = "SMGW-C-0203", "The card that this gateway is bound to has ended its life.",
        "Replace gateway and card together; this card will never work again.";
    OTHER_KIND = "SMGW-C-0204", "The card in the reader is no card for a gateway.", PERSONALISED_CARD;
    BOUND_ELSEWHERE = "SMGW-C-0205", "The card in the reader is bound to another gateway.",
        "Put this card back into its own gateway, and insert one that has never been bound, or the one that this gateway is \
         bound to.";
    OTHER_CARD = "SMGW-C-0206", "The card in the reader is another one than this gateway is bound to.",
        "Put the bound card back; another card will never be accepted.";
    OTHER_KEY = "SMGW-C-0207", "The card in the reader shows the bound GUID and does not have the bound card's keys.", COPY;
    SET_BACK = "SMGW-C-0208", "The bound card says that it has never been bound.", KEEP_CARD;
    SESSION_COUNTER_BEHIND = "SMGW-C-0209", "The card was paired less often than this gateway has done it.", KEEP_CARD;
    BUNDLE_SET_BACK = "SMGW-C-0210", "The card vouches for an older bundle than before.", KEEP_CARD;
    CARD_HEAD_SET_BACK = "SMGW-C-0211", "The card keeps an older milestone of the store than it was told.", KEEP_CARD;
    CERTIFICATES = "SMGW-C-0212", "The card's certificates are not in order.", ASK_TRUST_CENTRE;
    CERTIFICATE_GUID = "SMGW-C-0213", "The card's certificates are not for the GUID that it shows.", ASK_TRUST_CENTRE;
    ATTESTATION_KEY = "SMGW-C-0214", "The card has no attestation key of its own.", ASK_TRUST_CENTRE;
    PAIRING_REFUSED = "SMGW-C-0215", "What looks like the bound card does not take the pairing secret.",
        "Keep a copy for the auditor and put the bound card back. If it is the bound card, stop the gateway, insert the card \
         anew and start it; if it refuses again, ask the trust centre.";
    PAIRING_BLOCKED = "SMGW-C-0216", "The bound card takes no pairing secret any more.",
        "Have the trust centre unlock the card: trust-center unlock.";
    CARD_FAILS = "SMGW-C-0217", "The card refuses or fails while it is examined.",
        "Stop the gateway, insert the card anew and start it; if it fails again, replace it, and a bound one with its gateway.";
    AWAITS_CONFIRMATION = "SMGW-C-0218", "The card may be bound, and waits for the technician's confirmation.",
        "Compare the GUID with the one on the card's label, then run smgw binding confirm with its last four characters.";
    PAIRING_PAUSED = "SMGW-C-0219", "The bound card is not paired any more without an order, since few tries are left.",
        "Make sure that it is the bound card, then run smgw binding confirm with the last four characters of its GUID; if it \
         refuses, have the trust centre unlock it: trust-center unlock.";
    BINDING_BEGUN = "SMGW-C-0220", "The binding has begun with another card than the one in the reader.",
        "Insert the card that the binding has begun with. If it is lost or broken, run smgw binding confirm with the last four \
         characters of the GUID of this one; the first one then never serves any gateway.";
    SECRET_UNKNOWN = "SMGW-C-0221", "The card in the reader shows what the bound card shows and does not know its secret.", COPY;
    ALREADY_BOUND = "SMGW-C-0222", "The gateway is bound to a card already, for good.",
        "Nothing can be confirmed any more; replace gateway and card together if it is the wrong card.";
    OTHER_CHARACTERS = "SMGW-C-0223", "The GUID of the card in the reader does not end with the characters that were entered.",
        "Compare the GUID with the card's label, and enter its last four characters.";
    GIVEN_UP = "SMGW-C-0301", "The gateway was given up for good.", REPLACE_BOTH;
    REMOVED = "SMGW-C-0302", "The bound card was taken out while the gateway ran, and that cannot be burned.", REPLACE_BOTH;
    BINDINGS_TAMPERED = "SMGW-C-0303", "The bindings are damaged, lost or contradicted.", REPLACE_BOTH;
    SESSION_COUNTER_AHEAD = "SMGW-C-0304", "The card was paired more often than this gateway has done it.", REPLACE_BOTH;
    STORE_SET_BACK = "SMGW-C-0305", "An older copy of the data folder is in its place.", NO_COPIES;
    STORE_FOREIGN = "SMGW-C-0306", "The store is not the one that the bound card was told of.", NO_COPIES;
    PART_SET_BACK = "SMGW-C-0307", "A part of the store is older than what the bound card vouches for.", NO_COPIES;
    NO_PAIRING = "SMGW-C-0308", "The secret that belongs to the binding is lost.", REPLACE_BOTH;
    BINDINGS_NO_SPACE = "SMGW-C-0309", "The bindings cannot be opened on a full disk.",
        "Free the disk, then start the gateway again.";
    BINDINGS_OUT_OF_REACH = "SMGW-C-0310", "The bindings are out of reach.", CHECK_DISK;
    MILESTONES_OUT_OF_REACH = "SMGW-C-0311", "The store's milestones are out of reach.", CHECK_DISK;
    LOGS_OUT_OF_REACH = "SMGW-C-0312", "A log is out of reach.", CHECK_DISK;
    BURN = "SMGW-C-0313", "The binding cannot be burned.",
        "Check the disk, leave the card in the reader and start the gateway again.";
    BUNDLE = "SMGW-C-0314", "The stored bundle cannot be read.", CHECK_DISK;
    CLOCK_UNSET = "SMGW-C-0315", "The clock was never set, so that the card's certificates cannot be judged.",
        "Connect a time source.";
    RANDOM = "SMGW-C-0316", "The system gives no random numbers.",
        "Start the gateway again; if that does not help, replace the board.";
}
