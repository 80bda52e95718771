use super::*;
use crate::profile::Function;

/// A profile with a probe of each kind, or of a SunSpec meter.
fn profile(identification: &str) -> Profile {
    Profile::parse(&format!(
        r#"
        name = "acme-one"
        manufacturer = "Acme"
        models = ["One"]
        medium = "electricity"
        source = {{ document = "none", edition = "none" }}
        limits = {{ registers_per_request = 16, largest_gap = 0 }}
        defaults = {{ function = 3 }}
        registers = [{{ obis = "1-0:1.8.0*255", address = 10, type = "u32", unit = "Wh" }}]
        {identification}
        "#
    ))
    .unwrap()
}

const PROBES: &str = r#"identification = [
    { register = { address = 5, type = "u16", one_of = ["112", "113"] } },
    { device = { object = "vendor-name", one_of = ["Acme*"] } },
]"#;
const SUNSPEC: &str = "sunspec = { models = [203, 201], bases = [40000] }";

fn holding(address: u16, count: u16) -> Question {
    Question::Registers(Block {
        function: Function::HoldingRegisters,
        address,
        count,
    })
}

/// Gives the replies to the questions, which must be these.
fn verdict(profile: &Profile, conversation: &[(Question, Reply<'_>)]) -> Verdict {
    let mut identification = Identification::new(profile);
    for (question, reply) in conversation {
        assert_eq!(identification.next_question(), Some(*question));
        assert_eq!(identification.clone().verdict(), None);
        identification.handle_reply(*reply);
    }
    identification.verdict().unwrap()
}

#[test]
fn a_device_that_answers_every_probe_fits() {
    let conversation = [
        (holding(5, 1), Reply::Registers(&[113])),
        (
            Question::Device(DeviceObject::VendorName),
            Reply::Device("Acme Meters "),
        ),
    ];
    assert_eq!(
        verdict(&profile(PROBES), &conversation),
        Verdict::Fits(ModelMap::default())
    );
}

#[test]
fn a_profile_without_probes_proves_nothing() {
    assert_eq!(verdict(&profile(""), &[]), Verdict::Unproven);
}

#[test]
fn the_first_probe_that_finds_something_else_decides() {
    let conversation = [(holding(5, 1), Reply::Registers(&[114]))];
    let misfit = Misfit::Other {
        probe: 1,
        place: "register 0x0005 of function 3".to_owned(),
        wanted: vec!["\"112\"".to_owned(), "\"113\"".to_owned()],
        found: "114".to_owned(),
    };
    assert_eq!(
        misfit.to_string(),
        "probe 1 (register 0x0005 of function 3) found \"114\", where the profile has \"112\" or \"113\""
    );
    assert_eq!(
        verdict(&profile(PROBES), &conversation),
        Verdict::DoesNotFit(misfit)
    );
}

#[test]
fn a_refusal_or_an_answer_of_another_kind_does_not_fit() {
    for reply in [Reply::Refusal, Reply::Registers(&[1, 2]), Reply::Device("112")] {
        assert_eq!(
            verdict(&profile(PROBES), &[(holding(5, 1), reply)]),
            Verdict::DoesNotFit(Misfit::Refused { probe: 1 })
        );
    }
}

#[test]
fn a_sunspec_device_is_walked_over() {
    let conversation = [
        (holding(40_000, 2), Reply::Registers(&[0x5375, 0x6E53])),
        (holding(40_002, 2), Reply::Registers(&[1, 66])),
        (holding(40_070, 2), Reply::Registers(&[201, 105])),
        (holding(40_177, 2), Reply::Registers(&[0xFFFF, 0])),
    ];
    let Verdict::Fits(models) = verdict(&profile(SUNSPEC), &conversation) else {
        panic!("it does not fit");
    };
    let placed = profile(SUNSPEC).placed(&models).unwrap();
    assert_eq!(placed.registers()[0].field.address, 40_080);
    assert!(placed.is_placed() && !profile(SUNSPEC).is_placed());
    assert!(profile(SUNSPEC).blocks().is_empty());
    assert_eq!(placed.blocks().len(), 1);
}

#[test]
fn a_probe_can_look_into_a_model() {
    let probe = r#"identification = [
        { register = { model = "common", address = 2, type = "ascii", count = 2, one_of = ["Acme"] } },
    ]"#;
    let conversation = [
        (holding(40_000, 2), Reply::Registers(&[0x5375, 0x6E53])),
        (holding(40_002, 2), Reply::Registers(&[1, 66])),
        (holding(40_070, 2), Reply::Registers(&[203, 105])),
        (holding(40_177, 2), Reply::Registers(&[0xFFFF, 0])),
        (holding(40_004, 2), Reply::Registers(&[0x4163, 0x6D65])),
    ];
    let verdict = verdict(&profile(&format!("{SUNSPEC}\n{probe}")), &conversation);
    assert!(matches!(verdict, Verdict::Fits(_)), "{verdict:?}");
}

#[test]
fn a_device_without_the_model_does_not_fit() {
    let none = verdict(&profile(SUNSPEC), &[(holding(40_000, 2), Reply::Refusal)]);
    let misfit = |found| Misfit::NoModel {
        wanted: vec![203, 201],
        found,
    };
    assert_eq!(none, Verdict::DoesNotFit(misfit(vec![])));
    let conversation = [
        (holding(40_000, 2), Reply::Registers(&[0x5375, 0x6E53])),
        (holding(40_002, 2), Reply::Registers(&[1, 66])),
        (holding(40_070, 2), Reply::Registers(&[0xFFFF, 0])),
    ];
    assert_eq!(
        verdict(&profile(SUNSPEC), &conversation),
        Verdict::DoesNotFit(misfit(vec![1]))
    );
}

#[test]
fn registers_beyond_the_address_space_have_no_place() {
    use crate::sunspec::PlacementError;

    let error = profile(SUNSPEC).placed(&ModelMap::default());
    assert_eq!(error, Err(PlacementError::NoModel));
    let sunspec = SUNSPEC.replace("40000", "65520");
    let conversation = [
        (holding(65_520, 2), Reply::Registers(&[0x5375, 0x6E53])),
        (holding(65_522, 2), Reply::Registers(&[7, 1])),
        (holding(65_525, 2), Reply::Registers(&[201, 105])),
    ];
    let Verdict::Fits(models) = verdict(&profile(&sunspec), &conversation) else {
        panic!("it does not fit");
    };
    assert_eq!(
        profile(&sunspec).placed(&models),
        Err(PlacementError::AddressSpace { start: 65_525 })
    );
}

#[test]
fn a_device_object_is_read_as_the_specification_lays_it_out() {
    use device_identification::{request, text};

    let object = DeviceObject::ProductCode;
    assert_eq!(request(object), [0x0E, 4, 1]);
    let answer = b"\x0E\x04\x81\x00\x00\x01\x01\x07iEM3155";
    assert_eq!(text(object, answer), Ok("iEM3155"));
    assert_eq!(
        text(DeviceObject::VendorName, answer),
        Err(DeviceIdentificationError::OtherObject { found: 1 })
    );
    for end in 0..answer.len() {
        assert_eq!(
            text(object, &answer[..end]),
            Err(DeviceIdentificationError::Malformed)
        );
    }
    let binary = b"\x0E\x04\x81\x00\x00\x01\x01\x01\xFF";
    assert_eq!(text(object, binary), Err(DeviceIdentificationError::Malformed));
}
