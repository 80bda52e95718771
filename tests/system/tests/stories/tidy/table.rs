//! The table of the house: which crates there are and who may know whom.
//!
//! It is section 2 of the design. Changing it is an architectural decision; the commit says so.

/// A crate of the workspace and what it may know.
#[derive(Debug)]
pub(super) struct Room {
    /// The folder; its last part is the crate's name.
    pub folder: &'static str,
    /// Whether the crate does no I/O: time, randomness and bytes come in as arguments.
    pub pure: bool,
    /// The crates of ours that it may depend on.
    pub knows: &'static [&'static str],
    /// The crates of ours that its tests may depend on besides.
    pub tests_know: &'static [&'static str],
}

/// Every crate that the workspace may have. Those that have nothing to do yet do not exist yet.
pub(super) const HOUSE: [Room; 20] = [
    pure("gateway/model", &[]),
    pure("gateway/card", &["model"]),
    pure("gateway/messages", &["model"]),
    pure("gateway/authorization", &["model"]),
    pure("gateway/billing", &["model"]),
    Room {
        folder: "gateway/evaluation",
        pure: true,
        knows: &["model"],
        tests_know: &["guest", "taf-2", "taf-7"],
    },
    effect("gateway/store", &["model"]),
    effect("gateway/broker", &["model"]),
    effect("gateway/manual", &[]),
    effect(
        "gateway/daemon",
        &[
            "authorization",
            "billing",
            "broker",
            "bus",
            "card",
            "evaluation",
            "manual",
            "mbus",
            "messages",
            "modbus",
            "model",
            "store",
        ],
    ),
    effect("gateway/counterparty", &["broker", "messages", "model"]),
    effect(
        "gateway/trust-center",
        &["card", "counterparty", "manual", "messages", "model"],
    ),
    effect(
        "gateway/supplier",
        &["billing", "card", "counterparty", "manual", "messages", "model"],
    ),
    pure("meters/mbus", &["model"]),
    pure("meters/modbus", &["model"]),
    Room {
        folder: "meters/bus",
        pure: false,
        knows: &["mbus", "modbus", "model"],
        tests_know: &["simulators"],
    },
    effect(
        "tests/bench",
        &[
            "authorization",
            "bus",
            "card",
            "evaluation",
            "guest",
            "mbus",
            "messages",
            "modbus",
            "model",
            "simulators",
            "store",
            "supplier",
            "system",
            "taf-2",
        ],
    ),
    effect(
        "tests/simulators",
        &["broker", "card", "mbus", "messages", "modbus", "model"],
    ),
    effect("tests/system", &[]),
    effect("tests/xtask", &["system"]),
];

const fn pure(folder: &'static str, knows: &'static [&'static str]) -> Room {
    Room {
        folder,
        pure: true,
        knows,
        tests_know: &[],
    }
}

const fn effect(folder: &'static str, knows: &'static [&'static str]) -> Room {
    Room {
        pure: false,
        ..pure(folder, knows)
    }
}

impl Room {
    /// Returns the crate's name.
    pub(super) fn name(&self) -> &'static str {
        self.folder.rsplit('/').next().unwrap_or(self.folder)
    }

    /// Returns whether the file, by its path from the top of the repository, stands in the room.
    pub(super) fn holds(&self, file: &str) -> bool {
        file.strip_prefix(self.folder)
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Returns the room of the crate.
pub(super) fn room(name: &str) -> Option<&'static Room> {
    HOUSE.iter().find(|room| room.name() == name)
}

/// A dependency that only some crates may name, and why.
#[derive(Debug)]
pub(super) struct Reserved {
    /// The dependency's name, with `*` behind its beginning.
    pub dependency: &'static str,
    /// The crates that may name it.
    pub for_crates: &'static [&'static str],
    /// Why nobody else may.
    pub reason: &'static str,
}

/// Dependencies that bring in an effect or an engine, and the crates that keep them from the others.
pub(super) const RESERVED: [Reserved; 14] = [
    Reserved {
        dependency: "sled",
        for_crates: &["store"],
        reason: "only the store persists bindings",
    },
    Reserved {
        dependency: "rusqlite",
        for_crates: &["bench", "store"],
        reason: "only the store persists readings; the bench compares",
    },
    Reserved {
        dependency: "sqlx*",
        for_crates: &["supplier", "trust-center"],
        reason: "books and stores are their owners' own, and what runs on a gateway needs no client of a server",
    },
    Reserved {
        dependency: "parquet*",
        for_crates: &["supplier"],
        reason: "only the supplier exports",
    },
    Reserved {
        dependency: "ldap3*",
        for_crates: &["trust-center"],
        reason: "only the directory is published to an LDAP server",
    },
    Reserved {
        dependency: "cryptoki*",
        for_crates: &["trust-center"],
        reason: "only the authority has keys in an HSM; the gateway's are on its card",
    },
    Reserved {
        dependency: "wasmi*",
        for_crates: &["evaluation"],
        reason: "only the sandbox knows its engine",
    },
    Reserved {
        dependency: "wasmtime*",
        for_crates: &["evaluation"],
        reason: "only the sandbox knows its engine",
    },
    Reserved {
        dependency: "pcsc*",
        for_crates: &["bench", "daemon", "simulators", "trust-center"],
        reason: "a card reader is opened by programs only; everything else speaks APDUs",
    },
    Reserved {
        dependency: "axum*",
        for_crates: &["daemon", "supplier", "trust-center"],
        reason: "pages and endpoints belong to programs",
    },
    Reserved {
        dependency: "hyper-rustls",
        for_crates: &["counterparty"],
        reason: "there is one way to a gateway, and its checks stand once",
    },
    Reserved {
        dependency: "rumqttc*",
        for_crates: &["broker"],
        reason: "there is one way over a broker, the same from both of its ends",
    },
    Reserved {
        dependency: "tokio-modbus",
        for_crates: &["bus", "simulators"],
        reason: "Modbus on a wire belongs to the bus; the profiles are pure data",
    },
    Reserved {
        dependency: "tokio-serial",
        for_crates: &["bus", "simulators"],
        reason: "serial ports belong to the bus",
    },
];

/// Dependencies that no pure crate may name, not even in its tests.
pub(super) const NEVER_IN_PURE: [&str; 17] = [
    "async-std",
    "axum*",
    "hyper*",
    "mio",
    "nix",
    "pcsc*",
    "rumqttc*",
    "rusqlite",
    "rustix",
    "rustls",
    "signal-hook*",
    "sled",
    "smol",
    "socket2",
    "tokio",
    "tokio-*",
    "tracing-subscriber",
];

/// Dependencies that a pure crate may name in its tests only: sources of randomness.
pub(super) const RANDOM: [&str; 4] = ["fastrand", "getrandom", "rand", "uuid"];

/// Crates that must not be reachable from a pure crate, through whatever it depends on.
pub(super) const NEVER_REACHED_FROM_PURE: [&str; 6] =
    ["mio", "rusqlite", "rustls", "sled", "socket2", "tokio"];

/// What the source of a pure crate must not mention outside its tests.
pub(super) const NEVER_IN_PURE_SOURCE: [&str; 13] = [
    "Instant::now",
    "OsRng",
    "SysRng",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "rand::rng",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
];

/// The files and folders at the top level of the repository, besides dotfiles.
pub(super) const TOP_LEVEL: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "gateway",
    "meters",
    "systemd",
    "tests",
    "yocto-layer",
];

/// The most lines of a Rust file, its unit tests apart.
pub(super) const MOST_LINES: usize = 600;

/// The most lines of a Rust file that holds nothing but tests.
pub(super) const MOST_LINES_OF_TESTS: usize = 1000;

/// Returns whether the name is the pattern, or begins with it if it ends in `*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}
