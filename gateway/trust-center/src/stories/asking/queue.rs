//! What waits for a gateway: what takes its place, when nothing does, and who works on it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn later_request_takes_the_place_of_an_earlier_one() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    let (early, late) = (supplier.request(guid), supplier.request(guid));
    let late = InstallationRequest {
        grants: vec![supplier.grant("billing", 1_800)],
        ..late
    };
    for request in [&early, &late] {
        admit(&house, &supplier, request).unwrap();
        approve(&house, request.id);
    }
    visit(&house).await.unwrap();
    assert_eq!(state(&house, early.id), RequestState::Superseded);
    assert_eq!(state(&house, late.id), RequestState::Installed);
    assert_eq!(
        (gateway.received().bundles, gateway.bundle().unwrap().grants),
        (1, late.grants)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_card_that_was_terminated() {
    let (house, guid, _gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    let request = supplier.request(guid);
    admit(&house, &supplier, &request).unwrap();
    approve(&house, request.id);
    let witness = Witness::Card;
    house
        .books
        .record(clock::now(), &Act::Terminated { guid, witness })
        .unwrap();
    assert!(matches!(visit(&house).await, Err(DeliveryError::Terminated)));
    assert_eq!(state(&house, request.id), RequestState::Failed);
    assert!(matches!(
        admit(&house, &supplier, &supplier.request(guid)),
        Err(AdmissionError::Terminated { .. })
    ));
}

#[test]
fn gateway_is_leased_to_one_and_the_lease_runs_out() {
    let house = crate::stories::house();
    let guid = house.personalize("card");
    let supplier = Supplier::certified(&house, "City Works");
    let request = supplier.request(guid);
    admit(&house, &supplier, &request).unwrap();
    approve(&house, request.id);
    let now = clock::now();
    let second = Books::open(&house.home()).unwrap();
    second.release("another").unwrap();
    assert_eq!(
        house
            .books
            .lease("worker", now, later(now, 300), 8)
            .unwrap()
            .len(),
        1
    );
    assert!(
        second
            .lease("worker", now, later(now, 300), 8)
            .unwrap()
            .is_empty()
    );
    // Whoever was killed has never given it back.
    let later_on = later(now, 300);
    let [leased] = second
        .lease("worker", later_on, later(later_on, 300), 8)
        .unwrap()
        .try_into()
        .unwrap();
    second
        .postpone(&leased, later(later_on, 60), "away", true)
        .unwrap();
    assert!(
        second
            .lease("worker", later(later_on, 59), later_on, 8)
            .unwrap()
            .is_empty()
    );
    let due = later(later_on, 60);
    let [leased] = second
        .lease("killed", due, later(due, 300), 8)
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(leased.attempts, 1);
    // It is back, and knows that what was leased in its name is nobody's any more.
    assert!(
        second
            .lease("worker", due, later(due, 300), 8)
            .unwrap()
            .is_empty()
    );
    second.release("killed").unwrap();
    assert_eq!(second.lease("worker", due, later(due, 300), 8).unwrap().len(), 1);
}
