//! What is found on a device that runs: `01xx` mounts, `02xx` and `03xx` logs, `04xx` losses, `05xx` the local web.

/// What helps where the data folder lies on nothing that lasts.
const OWN_PARTITION: &str =
    "Put the data folder on a partition of its own with a journaling file system, such as ext4.";

/// What helps against most losses: the device is no longer to be trusted.
pub(crate) const WORN: &str = "Have the device's flash memory examined: it does not keep what is written to it. What is missing \
                               stays marked as such.";

/// What helps where files may have been removed or put back.
pub(crate) const HANDLED: &str = "Find out who or what has changed the files of the data folder; they must not be removed, or \
                                  put back from a copy. For an hour, requests that may be repeats are refused.";

super::codes! {
    MOUNT_UNKNOWN = "SMGW-F-0101", "The kernel does not say how the data folder is mounted.",
        "Mount /proc, and see that the data folder exists.";
    MOUNT_MEMORY = "SMGW-F-0102", "The data folder lies in memory: everything is lost when the power goes.", OWN_PARTITION;
    MOUNT_OVERLAY = "SMGW-F-0103",
        "The data folder lies on an overlay: what is written to it may not outlive the power.", OWN_PARTITION;
    MOUNT_NO_BARRIERS = "SMGW-F-0104",
        "The data partition is mounted without barriers: what was confirmed may be lost when the power goes.",
        "Mount the data partition with barriers, which is the default.";
    MOUNT_LONG_COMMIT = "SMGW-F-0105",
        "The data partition is mounted with a long commit interval: more than its default may be lost when the power goes.",
        "Mount the data partition with commit=5 or less; leave the option out for the default.";
    MOUNT_WRITEBACK = "SMGW-F-0106",
        "The data partition is mounted with data=writeback: files may be damaged when the power goes.",
        "Mount the data partition with data=ordered, which is the default, or data=journal.";
    LOG_LOST = "SMGW-F-0201", "A log is gone or unreadable in part, and no supplier is served.",
        "Keep a copy of the logs folder for the auditor, check the flash, and have the gateway and its card replaced \
         together. Metering goes on until then.";
    LOG_CHANGED = "SMGW-F-0202", "A log is not what was written into it, and no supplier is served.",
        "Keep the gateway as it is for the auditor, and have it and its card replaced together.";
    LOG_FULL = "SMGW-F-0203", "A log is full: metering goes on, and no supplier is served.",
        "Free the disk, or give the log more room under [logs] and start the gateway again.";
    LOGS_SET_ASIDE = "SMGW-F-0301", "The logs could not be read, were set aside, and begun anew.",
        "Keep the folder that was set aside for the auditor, check the flash, and have the gateway and its card replaced \
         together.";
    ROWS_LOST = "SMGW-F-0401", "Rows of the database are missing, damaged or unexpected.", WORN;
    COMMITS_LOST = "SMGW-F-0402", "The database is older than it was: its last commits are missing.", HANDLED;
    DATABASE_REPLACED = "SMGW-F-0403", "The database is not the one that was written last.", HANDLED;
    HEAD_LOST = "SMGW-F-0404", "The account of what is stored is damaged: what is missing cannot be told.", WORN;
    WITNESS_LOST = "SMGW-F-0405",
        "The file gateway.head is missing or damaged: whether the database is the last one cannot be told.", HANDLED;
    DATABASE_LOST = "SMGW-F-0406", "The database was missing, and a new one has been made: all readings are lost.", HANDLED;
    DATABASE_SALVAGED = "SMGW-F-0407",
        "The database was damaged; what could be read is in a new one, and the damaged one is kept.", WORN;
    ACCESS_DAMAGED = "SMGW-F-0501",
        "A file that says who may use the local web is damaged: nobody can use it over HTTPS.",
        "Issue new passwords with smgw web reset and smgw web password, or make a new certificate with smgw web certificate \
         --new.";
}
