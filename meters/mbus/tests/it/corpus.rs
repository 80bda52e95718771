//! Frames to begin with: those of the golden files, and some of the kinds that are not in them.

use std::path::Path;

/// Frames of the golden files in `tests/vectors/mbus`.
pub(crate) fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/mbus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let frames: Vec<_> = files
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines()
                .filter_map(|line| line.strip_prefix("frame "))
                .map(|line| hex::decode(line.replace(' ', "")).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(frames.len() >= 7);
    frames
}

/// A frame of a meter with address 1.
pub(crate) fn frame(control_information: u8, data: &[u8]) -> Vec<u8> {
    let control = mbus::link::Control::RSP_UD;
    mbus::link::LongFrame::new(control, 1, control_information, data.to_vec())
        .unwrap()
        .encode()
}

/// Frames of the other kinds: fixed, compact, format, encrypted, short header, plain text, long chains.
pub(crate) fn of_each_kind() -> Vec<Vec<u8>> {
    let fixed = "78563412 0A 00 E9 7E 01000000 35010000";
    let plain_text = "02FC0348522574440D 0DFD1003313241 0D13C23412 0DFD3BE43412FFFF";
    let chains = "C1FFFFFFFFFFFFFFFFFF7F 13 01 01 93 F4F4F4F4F4F4F4F4F474 05";
    let electricity = "02FDC9FF01E408 02FDDBFC8200 2000 04FB8275 01000000 01FD1715 1F AABB";
    let encrypted = "2A002025 5923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3";
    let mode_7 = include_str!("../../../../tests/vectors/mbus/mode-7.hex");
    let header = "78563412 7704 14 02 55 00 0000";
    let long = |records: &str| format!("{header}{records}");
    [
        (0x73, fixed.to_owned()),
        (0x77, fixed.to_owned()),
        (0x78, plain_text.to_owned()),
        (0x72, long(plain_text)),
        (0x76, long(plain_text)),
        (0x72, long(chains)),
        (0x72, long(electricity)),
        (0x7A, encrypted.to_owned()),
        (0x90, mode_7.trim().to_owned()),
        (0x79, "34DD1AA5 7100DA980B00DA980B00".to_owned()),
        (0x69, "0734DD02FF2004134413".to_owned()),
        (0x70, "08".to_owned()),
        (0x71, "05".to_owned()),
        (0x6C, format!("{header} 00 1E050C573B30 000000")),
    ]
    .iter()
    .map(|(ci, data)| frame(*ci, &hex::decode(data.replace(' ', "")).unwrap()))
    .collect()
}
