//! Protected messages are opened or refused: none without its checksum, and none that has a good one in pieces.
//!
//! The first byte is how many messages have gone before, the next four are the header; the rest is the data objects.
//! They are tried as they are, and again with a checksum of one who has the keys, so that what lies behind it is tried
//! as well.
#![no_main]

use card::secure_messaging::Channel;
use card::{CommandApdu, Header, ResponseApdu, tlv};
use libfuzzer_sys::fuzz_target;

/// The length of the checksum's data object.
const CHECKSUM: usize = 10;

fn channel(messages: u8) -> Channel {
    (0..messages).fold(Channel::new(&[0x42; 32], &[]), |channel, _| {
        channel.skip().expect("a counter")
    })
}

/// Appends 80 and zeros up to a whole block.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = [bytes, &[0x80]].concat();
    padded.resize(padded.len().next_multiple_of(16), 0);
    padded
}

/// Appends the checksum that belongs to the objects.
fn signed(messages: u8, header: Option<[u8; 4]>, objects: &[u8]) -> Vec<u8> {
    let counter = u128::from(messages) + 1;
    let mut input = counter.to_be_bytes().to_vec();
    input.extend(header.iter().flat_map(|header| padded(header)));
    if !objects.is_empty() {
        input.extend(padded(objects));
    }
    let checksum = channel(0).token(&input);
    let object = tlv::encode([(0x8E, &checksum[..])]).expect("a short object");
    [objects, &object].concat()
}

fuzz_target!(|input: &[u8]| {
    let [messages, cla, ins, p1, p2, objects @ ..] = input else {
        return;
    };
    let header = [*cla, *ins, *p1, *p2];
    let command = |data: Vec<u8>| CommandApdu::new(Header::new(header), data);
    let open_command = |data| channel(*messages).unwrap_command(&command(data));
    let open_answer = |data: &[u8]| channel(*messages).unwrap_response(data);

    // Nobody guesses a checksum.
    assert!(open_command(objects.to_vec()).is_err());
    assert!(open_answer(objects).is_err());

    let forged = signed(*messages, Some(header), objects);
    if let Ok((_, opened)) = open_command(forged.clone()) {
        assert!(matches!(cla, 0x0C | 0x8C), "class {cla:02X} is not protected");
        assert!(opened.data().len() <= objects.len());
        assert_eq!(opened.header(), Header::new([cla & !0x0C, *ins, *p1, *p2]));
        let cut = forged[..forged.len() - CHECKSUM].to_vec();
        assert!(open_command(cut).is_err());
        assert!(
            channel(messages.wrapping_add(1))
                .unwrap_command(&command(forged))
                .is_err(),
            "a replay is taken"
        );
        let (_, again) = channel(*messages)
            .wrap_command(&opened)
            .expect("what was opened can be protected");
        assert_eq!(open_command(again.data().to_vec()).expect("our own").1, opened);
    }
    let forged = signed(*messages, None, objects);
    if let Ok((_, opened)) = open_answer(&forged) {
        assert!(opened.data().len() <= objects.len());
        let again = ResponseApdu::parse(&opened.to_bytes()).expect("an answer");
        let (_, protected) = channel(*messages)
            .wrap_response(&again)
            .expect("what was opened can be protected");
        assert_eq!(open_answer(&protected).expect("our own").1, opened);
        assert!(open_answer(&forged[..forged.len() - 1]).is_err());
    }
});
