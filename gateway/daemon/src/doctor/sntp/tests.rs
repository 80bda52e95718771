//! Packets of a real server, packets that are wrong in one way each, and a server of our own.

use super::*;

/// An answer that was caught on the wire: ntpd-rs (the crate ntp-proto 1.9.0, `packet::tests::test_captured_server`), which also
/// names its fields: stratum 2, root delay 566, root dispersion 951, times as below.
const CAUGHT: [u8; LENGTH] = *b"\x24\x02\x06\xe9\x00\x00\x02\x36\x00\x00\x03\xb7\xc0\x35\x67\x6c\
    \xe5\xf6\x61\xfd\x6f\x16\x5f\x03\xe5\xf6\x63\xa8\x76\x19\xef\x40\
    \xe5\xf6\x63\xa8\x79\x8c\x65\x81\xe5\xf6\x63\xa8\x79\x8e\xae\x2b";
/// What the question had in the place of its time.
const COOKIE: [u8; 8] = *b"\xe5\xf6\x63\xa8\x76\x19\xef\x40";
/// When the question went, by the clock of who sent it: 2022-04-05T06:43:52.461Z.
const SENT: i64 = 1_649_141_032_461_333_230;

fn changed(at: usize, bytes: &[u8]) -> Result<Answer, AnswerError> {
    let mut packet = CAUGHT;
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    Answer::read(&packet, COOKIE)
}

#[test]
fn caught_answer_is_read_and_its_offset_is_what_the_formula_says() {
    let answer = Answer::read(&CAUGHT, COOKIE).unwrap();
    assert_eq!(answer.stratum, 2);
    assert_eq!(nanoseconds(COOKIE), Some(SENT));
    // 0x798c6581 and 0x798eae2b of 2^32, behind the same second.
    assert_eq!(answer.received - SENT, 474_798_530 - 461_333_230);
    assert_eq!(answer.answered - answer.received, 34_849);
    // The way there took 13.465 ms by both clocks; one back that is as long makes them agree.
    let measured = answer.measure(SENT, Duration::from_nanos(26_965_449)).unwrap();
    let (ahead_ms, unsure_ms, stratum) = (0, 14, 2);
    assert_eq!(
        measured,
        Measurement {
            ahead_ms,
            unsure_ms,
            stratum
        }
    );
    for off in [-100_000, -1_000, 1_000, 100_000, 86_400_000 * 365] {
        let measured = answer
            .measure(SENT + off * 1_000_000, Duration::from_nanos(26_965_449))
            .unwrap();
        assert_eq!(measured.ahead_ms, off);
    }
}

#[test]
fn every_fault_of_an_answer_is_told() {
    for length in 0..LENGTH {
        assert_eq!(
            Answer::read(&CAUGHT[..length], COOKIE),
            Err(AnswerError::Short(length))
        );
    }
    assert_eq!(Answer::read(&CAUGHT, [0; 8]), Err(AnswerError::Foreign));
    for (at, bytes, fault) in [
        (0, &[0b00_011_100][..], AnswerError::Version(3)),
        (0, &[0b00_100_011], AnswerError::Mode(3)),
        (0, &[0b00_100_101], AnswerError::Mode(5)),
        (0, &[0b11_100_100], AnswerError::NotSet),
        (1, &[16], AnswerError::NotSet),
        (1, &[255], AnswerError::NotSet),
        // A root delay of 32 s, a root dispersion of 16 s.
        (4, &[0, 32, 0, 0], AnswerError::NotSet),
        (8, &[0, 16, 0, 0], AnswerError::NotSet),
        (32, &[0; 8], AnswerError::Impossible),
        (40, &[0; 8], AnswerError::Impossible),
    ] {
        assert_eq!(changed(at, bytes), Err(fault), "{at} {bytes:?}");
    }
    // A kiss of death (RFC 4330, section 8).
    let mut kiss = CAUGHT;
    kiss[1] = 0;
    kiss[12..16].copy_from_slice(b"RATE");
    let refused = Answer::read(&kiss, COOKIE).unwrap_err();
    assert_eq!(refused, AnswerError::Refused(*b"RATE"));
    assert!(refused.to_string().contains("RATE"), "{refused}");
    kiss[12] = 7;
    let refused = Answer::read(&kiss, COOKIE).unwrap_err();
    assert!(refused.to_string().contains(".ATE"), "{refused}");
}

#[test]
fn answer_with_extensions_is_read_and_times_that_cannot_be_are_refused() {
    let longer = [&CAUGHT[..], &[1, 4, 0, 36]].concat();
    assert_eq!(
        Answer::read(&longer, COOKIE),
        Answer::read(&CAUGHT, COOKIE),
        "extensions stand behind the packet (RFC 5905, section 7.5)"
    );
    // The answer went before the question came.
    let answer = changed(40, &COOKIE).unwrap();
    assert_eq!(
        answer.measure(SENT, Duration::from_millis(30)),
        Err(AnswerError::Impossible)
    );
    // The server had it for longer than all of it took.
    let answer = changed(40, b"\xe5\xf6\x63\xaa\x00\x00\x00\x00").unwrap();
    assert_eq!(
        answer.measure(SENT, Duration::from_millis(30)),
        Err(AnswerError::Impossible)
    );
    let answer = Answer::read(&CAUGHT, COOKIE).unwrap();
    for sent in [i64::MIN, i64::MAX] {
        assert!(answer.measure(sent, Duration::from_millis(30)).is_err());
    }
}

#[test]
fn times_of_both_eras_are_known() {
    let at = |seconds: u32| nanoseconds((u64::from(seconds) << 32 | 1 << 31).to_be_bytes());
    assert_eq!(nanoseconds([0; 8]), None);
    // RFC 5905, figure 4: the 1st of January 1970 and of 2000, and the first day of the second era.
    assert_eq!(at(2_208_988_800), Some(500_000_000));
    assert_eq!(at(3_155_673_600), Some(946_684_800 * NANOS + 500_000_000));
    assert_eq!(
        at(63_104),
        Some((4_294_967_296 - 2_208_988_800 + 63_104) * NANOS + 500_000_000)
    );
}

/// A server whose clock is `ahead` of ours and answers one question, behind something that is none.
fn server(ahead: Duration) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut asked = [0; 64];
        let (length, from) = socket.recv_from(&mut asked).unwrap();
        assert_eq!((length, asked[0]), (LENGTH, QUESTION));
        socket.send_to(&CAUGHT, from).unwrap();
        let now = Duration::from_nanos(u64::try_from(clock::nanoseconds()).unwrap()) + ahead;
        let seconds = now.as_secs() + NTP_TO_UNIX.unsigned_abs();
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let time = ((seconds << 32) | fraction).to_be_bytes();
        let mut answer = CAUGHT;
        answer[24..32].copy_from_slice(&asked[40..48]);
        answer[32..40].copy_from_slice(&time);
        answer[40..48].copy_from_slice(&time);
        socket.send_to(&answer, from).unwrap();
    });
    address
}

#[test]
fn server_is_asked_and_foreign_packets_are_waited_past() {
    let measured = ask(server(Duration::from_secs(100))).unwrap();
    let wrong = (measured.ahead_ms + 100_000).abs();
    assert!(wrong <= measured.unsure_ms, "{measured:?}");
}

#[test]
fn port_at_which_nobody_listens_is_told_from_a_silent_server() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let begun = Instant::now();
    assert!(matches!(ask(address), Err(SntpError::Silent)));
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(socket);
    assert!(matches!(ask(address), Err(SntpError::Socket(_))));
}

proptest::proptest! {
    #[test]
    fn nothing_that_comes_brings_it_down(bytes: Vec<u8>, cookie: [u8; 8], sent: i64, took in 0_u64..10_000_000_000) {
        let mut packet = CAUGHT;
        let length = bytes.len().min(LENGTH);
        packet[..length].copy_from_slice(&bytes[..length]);
        for packet in [&bytes[..], &packet] {
            let measured = Answer::read(packet, cookie)
                .and_then(|answer| answer.measure(sent, Duration::from_nanos(took)));
            proptest::prop_assert!(measured.is_err() || measured.is_ok_and(|measured| measured.unsure_ms > 0));
        }
    }
}
