//! `smgw mbus decode`: hexadecimal frames in, JSON lines or tables out.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use ::mbus::application::{
    DeviceType, Formats, Identification, Key, Manufacturer, Opener, Scratch, SecondaryAddress, Telegram,
    TelegramError,
};
use ::mbus::link::{Frame, FrameError};
use ::mbus::report::{json_error, json_line, table, table_error};
use clap::Args;

use super::input::{LineError, bytes, read_line};
use crate::cli::{FAILURE, fail};

/// The exit code if a frame could not be read.
const BAD_INPUT: u8 = 3;

/// The name of the schema of a line and its version; additive within the version.
const SCHEMA: &str = "smgw.mbus.decode/1";

/// What to decode, and how to show it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print one JSON document for each frame, on a line of its own (schema smgw.mbus.decode/1).
    #[arg(long)]
    json: bool,
    /// The AES key of the meter, for encrypted telegrams: 32 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = KeyDigits::parse)]
    key: Option<KeyDigits>,
    /// Frames in hexadecimal, each in one argument or spread over arguments of one byte; without them, lines of
    /// standard input. Blank lines and lines that begin with # are skipped.
    #[arg(value_name = "FRAME")]
    frames: Vec<String>,
}

/// The digits of a key that are known to be 16 bytes.
#[derive(Clone)]
pub(crate) struct KeyDigits(pub(crate) Key);

impl KeyDigits {
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let mut key = [0; 16];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| KeyError)?;
        Ok(Self(Key::new(key)))
    }
}

impl std::fmt::Debug for KeyDigits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyDigits")
    }
}

/// The error for a text that is no key; it does not repeat the text.
#[derive(Debug, thiserror::Error)]
#[error("a key has 32 hexadecimal digits")]
pub(crate) struct KeyError;

/// The reason why a line has no telegram to show.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    /// The line is no row of bytes.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame carries no data: an acknowledgement or a request.
    #[error("the frame carries no data: it is an acknowledgement or a request")]
    NoData,
    /// The data is no telegram that can be read.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
}

impl DecodeError {
    const fn code(&self) -> &'static str {
        match self {
            Self::Line(error) => error.code(),
            Self::Frame(_) => "frame",
            Self::NoData => "no-data",
            Self::Telegram(error) => error.code(),
        }
    }
}

/// Decodes all that was given; the exit code tells whether every frame could be read.
pub(crate) fn run(options: &Options) -> ExitCode {
    let mut decoder = Decoder::new(options);
    let mut out = io::stdout().lock();
    let done = if options.frames.is_empty() {
        decoder.lines(&mut io::stdin().lock(), &mut out)
    } else {
        decoder.arguments(&options.frames, &mut out)
    };
    match done.and_then(|()| out.flush()) {
        Ok(()) if decoder.bad_input => ExitCode::from(BAD_INPUT),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &error),
    }
}

/// What is kept from frame to frame.
struct Decoder<'o> {
    json: bool,
    key: Option<&'o Key>,
    formats: Formats,
    bad_input: bool,
}

impl<'o> Decoder<'o> {
    fn new(options: &'o Options) -> Self {
        Self {
            json: options.json,
            key: options.key.as_ref().map(|digits| &digits.0),
            formats: Formats::new(),
            bad_input: false,
        }
    }

    fn lines(&mut self, input: &mut impl BufRead, out: &mut impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        while let Some(read) = read_line(input, &mut line)? {
            let bytes = read.and_then(|()| bytes(&line));
            self.show(bytes, out)?;
        }
        Ok(())
    }

    /// Takes each argument for a frame, unless all are single bytes, which are one frame together.
    fn arguments(&mut self, frames: &[String], out: &mut impl Write) -> io::Result<()> {
        let is_byte = |frame: &String| frame.trim_start_matches("0x").len() <= 2;
        let together = frames.len() > 1 && frames.iter().all(is_byte);
        if together {
            return self.show(bytes(frames.join(" ").as_bytes()), out);
        }
        for frame in frames {
            self.show(bytes(frame.as_bytes()), out)?;
        }
        Ok(())
    }

    /// Prints what one line says; a line without bytes says nothing.
    fn show(&mut self, line: Result<Option<Vec<u8>>, LineError>, out: &mut impl Write) -> io::Result<()> {
        let text = match line {
            Ok(None) => return Ok(()),
            Ok(Some(bytes)) => self.decode(&bytes),
            Err(error) => Err(error.into()),
        };
        let text = text.unwrap_or_else(|error| {
            self.bad_input = true;
            if self.json {
                with_schema(&json_error(error.code(), &error.to_string()))
            } else {
                table_error(error.code(), &error.to_string())
            }
        });
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<String, DecodeError> {
        let mut scratch = Scratch::new();
        if let Some(wireless) = Wireless::parse(bytes) {
            let opener = Opener {
                key: self.key,
                formats: Some(&self.formats),
                sender: Some(wireless.sender),
                is_lenient: true,
            };
            let telegram = Telegram::open_message(wireless.ci, wireless.data, &opener, &mut scratch)?;
            let text = self.text(None, &telegram);
            self.formats.learn(&telegram);
            return Ok(text);
        }
        let Frame::Long(frame) = Frame::parse(bytes)? else {
            return Err(DecodeError::NoData);
        };
        let opener = Opener {
            key: self.key,
            formats: Some(&self.formats),
            sender: None,
            is_lenient: true,
        };
        let telegram = Telegram::open(&frame, &opener, &mut scratch)?;
        let text = self.text(Some(frame.address()), &telegram);
        self.formats.learn(&telegram);
        Ok(text)
    }

    fn text(&self, address: Option<u8>, telegram: &Telegram<'_>) -> String {
        if self.json {
            with_schema(&json_line(address, telegram))
        } else {
            table(address, telegram)
        }
    }
}

/// Puts the name of the schema before the fields of an object.
fn with_schema(object: &str) -> String {
    let fields = object.strip_prefix('{').unwrap_or(object);
    format!("{{\"schema\":\"{SCHEMA}\",{fields}")
}

/// A frame of a wireless meter without its checksums, as examples and receivers give them.
///
/// On the air: length, C field, manufacturer (2), identification (4), version, device type, CI field, data.
///
/// Spec: EN 13757-4:2013, section 11 (link layer); EN 13757-7:2018 (extended link layer, CI `8C`).
struct Wireless<'f> {
    sender: SecondaryAddress,
    ci: u8,
    data: &'f [u8],
}

impl<'f> Wireless<'f> {
    /// Takes the frame apart, if the length and the C field are those of a meter's wireless frame and the bytes
    /// are no wired frame.
    fn parse(bytes: &'f [u8]) -> Option<Self> {
        /// SND_NR, SND_IR, RSP_UD: what meters send unasked or as an answer.
        const FROM_METER: [u8; 4] = [0x44, 0x46, 0x08, 0x18];
        const EXTENDED_LINK_LAYER: u8 = 0x8C;
        let (length, rest) = bytes.split_first()?;
        if rest.len() != usize::from(*length) || matches!(bytes, [0x68, _, _, 0x68, ..]) {
            return None;
        }
        let [c, m0, m1, i0, i1, i2, i3, version, device_type, ci, data @ ..] = rest else {
            return None;
        };
        if !FROM_METER.contains(c) {
            return None;
        }
        let (ci, data) = match (*ci, data) {
            (EXTENDED_LINK_LAYER, [_control, _access, ci, data @ ..]) => (*ci, data),
            (ci, data) => (ci, data),
        };
        Some(Self {
            sender: SecondaryAddress {
                identification: Identification::from_digits(u32::from_le_bytes([*i0, *i1, *i2, *i3])),
                manufacturer: Manufacturer::from_bits(u16::from_le_bytes([*m0, *m1])),
                version: *version,
                device_type: DeviceType::from_code(*device_type),
            },
            ci,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    /// Runs the command over the input; returns what it prints and whether all could be read.
    fn decoded(arguments: &[&str], input: &str) -> (String, bool) {
        let line = Line::try_parse_from([&["decode"], arguments].concat()).unwrap();
        let mut decoder = Decoder::new(&line.options);
        let mut out = Vec::new();
        if line.options.frames.is_empty() {
            decoder.lines(&mut input.as_bytes(), &mut out).unwrap();
        } else {
            decoder.arguments(&line.options.frames, &mut out).unwrap();
        }
        (String::from_utf8(out).unwrap(), !decoder.bad_input)
    }

    const WATER: &str = "68 15 15 68 08 01 72 78 03 49 11 77 04 0E 16 0A 00 00 00 0C 13 21 43 05 00 81 16";
    const GAS: &str = "2E 44 93 15 78 56 34 12 33 03 7A 2A 00 20 25 59 23 C9 5A AA 26 D1 B2 E7 49 3B 01 3E C4 A6 F6 \
                       D3 52 9B 52 0E DF F0 EA 6D EF C9 9D 6D 69 EB F3";
    const GAS_KEY: &str = "0102030405060708090A0B0C0D0E0F11";

    fn fields(text: &str) -> Vec<serde_json::Value> {
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn frame_becomes_one_object_on_one_line() {
        let (text, good) = decoded(&["--json"], &format!("# a comment\n\n{WATER}\r\n"));
        assert!(good);
        let found = fields(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["id"], "11490378");
        assert_eq!(found[0]["medium"], "cold water");
        assert_eq!(found[0]["records"][0]["value"], "54.321");
        assert_eq!(found[0]["records"][0]["obis"], "8-0:1.0.0*255");
    }

    #[test]
    fn bad_line_has_an_error_and_the_next_is_decoded() {
        let long = "68 ".repeat(2000);
        let input = format!("zz\n{long}\n68 15\nE5\n68 03 03 68 08 01 55 5E 16\n{WATER}\n");
        let (text, good) = decoded(&["--json"], &input);
        assert!(!good);
        let found = fields(&text);
        let codes: Vec<_> = found.iter().map(|line| line["error"]["code"].as_str()).collect();
        assert_eq!(
            codes,
            [
                Some("hex"),
                Some("line-too-long"),
                Some("frame"),
                Some("no-data"),
                Some("control-information"),
                None
            ]
        );
        assert_eq!(found[0]["ok"], false);
        assert_eq!(found[5]["ok"], true);
    }

    #[test]
    fn arguments_are_frames_or_bytes_of_one() {
        let spread: Vec<_> = std::iter::once("--json").chain(WATER.split(' ')).collect();
        let (one, _) = decoded(&["--json", WATER], "");
        assert_eq!(decoded(&spread, "").0, one);
        let prefixed: Vec<_> = WATER.split(' ').map(|byte| format!("0x{byte}")).collect();
        let prefixed: Vec<_> = std::iter::once("--json")
            .chain(prefixed.iter().map(String::as_str))
            .collect();
        assert_eq!(decoded(&prefixed, "").0, one);
        assert_eq!(fields(&decoded(&["--json", WATER, WATER], "").0).len(), 2);
    }

    #[test]
    fn key_opens_an_encrypted_telegram() {
        let (text, good) = decoded(&["--json"], GAS);
        assert!(!good);
        assert_eq!(fields(&text)[0]["error"]["code"], "encrypted");
        let (text, good) = decoded(&["--json", "--key", GAS_KEY], GAS);
        assert!(good, "{text}");
        let found = fields(&text);
        assert_eq!(found[0]["id"], "12345678");
        assert_eq!(found[0]["manufacturer"], "ELS");
        assert_eq!(found[0]["address"], serde_json::Value::Null);
        assert_eq!(found[0]["records"][0]["value"], "28504.27");
        assert_eq!(found[0]["records"][1]["value"], "2008-05-31T23:50");
        let (text, _) = decoded(&["--json", "--key", &"00".repeat(16)], GAS);
        assert_eq!(fields(&text)[0]["error"]["code"], "wrong-key");
    }

    #[test]
    fn key_that_is_none_is_refused_without_repeating_it() {
        for key in ["12", "xx", &"1".repeat(33)] {
            let error = Line::try_parse_from(["decode", "--key", key]).unwrap_err();
            assert!(error.to_string().contains("32 hexadecimal digits"), "{error}");
        }
        let digits = KeyDigits::parse(GAS_KEY).unwrap();
        assert_eq!(format!("{digits:?}"), "KeyDigits");
    }

    #[test]
    fn compact_frame_is_read_behind_its_full_frame() {
        let full = "68 14 14 68 08 01 78 02 FF 20 71 00 04 13 DA 98 0B 00 44 13 DA 98 0B 00 7B 16";
        let compact = "68 11 11 68 08 01 79 34 DD 1A A5 71 00 DA 98 0B 00 DA 98 0B 00 BD 16";
        let (text, good) = decoded(&["--json"], &format!("{compact}\n{full}\n{compact}\n"));
        assert!(!good);
        let found = fields(&text);
        assert_eq!(found[0]["error"]["code"], "unknown-format");
        assert_eq!(found[1]["records"], found[2]["records"]);
        assert_eq!(found[2]["records"][1]["value"], "760.026");
    }

    #[test]
    fn table_is_for_people() {
        let (text, good) = decoded(&[], WATER);
        assert!(good);
        assert!(text.starts_with("meter 11490378, ACW"), "{text}");
        assert!(decoded(&[], "zz").0.starts_with("error hex: "));
    }
}
