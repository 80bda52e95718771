//! The events of the logs: `1xxx` system, `2xxx` consumer, `3xxx` calibration. The entry itself says the particulars.

use super::Code;

/// What is to be done about an event that only tells what happened.
const NOTHING: &str = "Nothing needs to be done.";

const fn event(code: &'static str, cause: &'static str, remedy: &'static str) -> Code {
    Code { code, cause, remedy }
}

/// Every event.
pub(super) const ALL: &[Code] = &[
    event("SMGW-L-1001", "The gateway has started.", NOTHING),
    event(
        "SMGW-L-1002",
        "The gateway has stopped.",
        "If nobody told it to, read the reason in the entry.",
    ),
    event(
        "SMGW-L-1003",
        "The state of the gateway has changed.",
        "Run smgw doctor, or look up the state's own code.",
    ),
    event(
        "SMGW-L-1004",
        "The gateway was bound to its card for good.",
        NOTHING,
    ),
    event("SMGW-L-1005", "The trust centre has installed a bundle.", NOTHING),
    event(
        "SMGW-L-1006",
        "A connection from the WAN failed before anything was said.",
        "If it was a supplier, compare its certificates with those of the bundle; strangers are refused like this.",
    ),
    event(
        "SMGW-L-1007",
        "A message from the WAN was rejected.",
        "Tell its sender the code of the rejection in the entry.",
    ),
    event(
        "SMGW-L-1008",
        "The card has signed the heads of the logs.",
        NOTHING,
    ),
    event(
        "SMGW-L-1009",
        "Old entries of a log were deleted at its size or age.",
        "Give the log more room under [logs] if entries have to be kept longer.",
    ),
    event(
        "SMGW-L-1010",
        "The end of a log was cut back to its last whole entry.",
        "After a power cut nothing needs to be done; otherwise check the flash.",
    ),
    event(
        "SMGW-L-1011",
        "A log was found to be damaged.",
        "Run smgw log verify, and do what the finding's code says.",
    ),
    event(
        "SMGW-L-1012",
        "A log has taken its last entry and is full.",
        "Free the disk, or give the log more room under [logs].",
    ),
    event(
        "SMGW-L-1013",
        "Events of one kind came so often that some were only counted.",
        "Look up the code of those events; somebody may be trying something.",
    ),
    event("SMGW-L-1014", "The configuration was read at the start.", NOTHING),
    event(
        "SMGW-L-1015",
        "Something is wrong with the storage, or something in it is lost.",
        "Look up the code of the finding in the entry.",
    ),
    event(
        "SMGW-L-1016",
        "A part of the bindings was put right at the start.",
        "If it happens at every start, have the flash memory examined.",
    ),
    event("SMGW-L-1017", "Days that are past were sealed.", NOTHING),
    event(
        "SMGW-L-1018",
        "What is older than the history is to be was deleted.",
        NOTHING,
    ),
    event(
        "SMGW-L-1019",
        "An energy application failed on a window.",
        "Run smgw app list for the reason, and have its author mend it; it is tried again by itself.",
    ),
    event(
        "SMGW-L-1020",
        "An energy application was stopped, since its author's certificate is revoked.",
        "Have the supplier sign the module with another certificate, and the TSM install it; what it has made stays.",
    ),
    event("SMGW-L-1031", "Somebody has logged in to the local web.", NOTHING),
    event(
        "SMGW-L-1032",
        "Somebody could not log in to the local web.",
        "If it was nobody of the house, find out who reaches the gateway's network.",
    ),
    event(
        "SMGW-L-1033",
        "The password of an account of the local web was changed.",
        NOTHING,
    ),
    event(
        "SMGW-L-1034",
        "A token for reading through the local web was made.",
        NOTHING,
    ),
    event(
        "SMGW-L-1035",
        "A token for reading through the local web was revoked.",
        NOTHING,
    ),
    event(
        "SMGW-L-1036",
        "Every password and token of the local web was deleted.",
        "Issue new passwords with smgw web password.",
    ),
    event(
        "SMGW-L-1037",
        "Somebody has logged out of the local web.",
        NOTHING,
    ),
    event(
        "SMGW-L-1038",
        "A login to the local web was refused because it was tried too often.",
        "If it was nobody of the house, find out who reaches the gateway's network.",
    ),
    event(
        "SMGW-L-1039",
        "The local web has a new certificate.",
        "Make a new label with smgw web label.",
    ),
    event(
        "SMGW-L-1040",
        "Somebody has had the gateway started again through the local web.",
        NOTHING,
    ),
    event(
        "SMGW-L-1041",
        "Somebody has installed meters through the local web.",
        "Start the gateway again if they are not read yet.",
    ),
    event(
        "SMGW-L-1042",
        "Somebody has removed meters through the local web.",
        "If it was nobody of yours, change the technician's password.",
    ),
    event("SMGW-L-2001", "A supplier was given values.", NOTHING),
    event(
        "SMGW-L-2002",
        "A supplier was refused.",
        "Run smgw grants explain if it should have been given something.",
    ),
    event(
        "SMGW-L-2003",
        "The trust centre has changed who may have what.",
        "Run smgw grants list to see what holds now.",
    ),
    event(
        "SMGW-L-2004",
        "The consumer has restricted what suppliers get.",
        NOTHING,
    ),
    event("SMGW-L-2005", "The consumer has lifted a restriction.", NOTHING),
    event(
        "SMGW-L-3001",
        "The clock was found unset, and values are marked.",
        "Connect a time source.",
    ),
    event("SMGW-L-3002", "The clock can be trusted from now on.", NOTHING),
    event(
        "SMGW-L-3003",
        "The clock has jumped.",
        "If nobody has set it, look after the time source.",
    ),
    event("SMGW-L-3004", "A meter was seen for the first time.", NOTHING),
    event(
        "SMGW-L-3005",
        "Another meter answers in the place of one.",
        "If nobody has exchanged it, look at the meter and its address.",
    ),
    event(
        "SMGW-L-3006",
        "The errors that a meter reports have changed.",
        "Look at the meter, and into its manual.",
    ),
    event(
        "SMGW-L-3007",
        "A meter's values are absent from a point of the grid on.",
        "Run smgw meter show with the meter's name for the reason.",
    ),
    event("SMGW-L-3008", "A meter's values are registered again.", NOTHING),
    event(
        "SMGW-L-3009",
        "Nothing at all was registered for a while.",
        "If the gateway was not off, read the system log of that time.",
    ),
];
