//! What happens to a delivery while it is under way: somebody is revoked, or the gateway refuses it.

use super::*;

/// Revokes a supplier, as an operator does beside the service.
fn revoke(house: &House, name: &'static str) -> impl FnOnce() + Send + 'static {
    let home = house.home();
    move || {
        let books = Books::open(&home).unwrap();
        let reason = RevocationReason::KeyCompromise;
        books.revoke(clock::now(), name, None, reason).unwrap();
    }
}

fn served(gateway: &GatewayDouble) -> Vec<String> {
    let bundle = gateway.bundle().unwrap();
    let names = bundle.suppliers.iter().map(|entry| entry.name.to_string());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn supplier_that_is_revoked_while_its_first_bundle_is_on_its_way_is_left_out_next() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    ask(&house, &supplier, guid);
    gateway.while_installing(revoke(&house, "City Works"));
    visit(&house).await.unwrap();
    assert_eq!(served(&gateway), Vec::<String>::new());
    assert!(house.books.next_job(guid).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn supplier_that_is_revoked_while_another_one_is_left_out_is_left_out_next() {
    let (house, guid, gateway) = house_with_gateway();
    let names = ["City Works", "Country Works", "Sea Works"];
    for name in names {
        ask(&house, &Supplier::certified(&house, name), guid);
    }
    visit(&house).await.unwrap();
    assert_eq!(served(&gateway).len(), 3);
    revoke(&house, "City Works")();
    gateway.while_installing(revoke(&house, "Country Works"));
    visit(&house).await.unwrap();
    assert_eq!(served(&gateway), ["Sea Works"]);
    assert!(house.books.next_job(guid).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn supplier_that_is_revoked_before_its_lost_report_is_made_good_is_left_out() {
    let (house, guid, gateway) = house_with_gateway();
    ask(&house, &Supplier::certified(&house, "City Works"), guid);
    visit(&house).await.unwrap();
    let late = ask(&house, &Supplier::certified(&house, "Country Works"), guid);
    gateway.behave(Behaviour::CutsBundle);
    visit(&house).await.unwrap_err();
    assert_eq!(served(&gateway).len(), 2);
    revoke(&house, "Country Works")();
    gateway.behave(Behaviour::Good);
    visit(&house).await.unwrap();
    assert_eq!(served(&gateway), ["City Works"]);
    assert_ne!(state(&house, late), RequestState::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_bundle_comes_again_without_who_was_revoked() {
    let (house, guid, gateway) = house_with_gateway();
    for name in ["City Works", "Country Works"] {
        ask(&house, &Supplier::certified(&house, name), guid);
    }
    visit(&house).await.unwrap();
    gateway.behave(Behaviour::Forgets);
    // Between the question how the gateway is, which begins the visit, and the bundle that it lacks.
    gateway.meanwhile(revoke(&house, "Country Works"));
    house.books.reached(guid, clock::now()).unwrap();
    visit(&house).await.unwrap();
    assert_eq!(served(&gateway), ["City Works"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_application_that_a_gateway_refuses_is_sent_once() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    let request = ask_with_application(&house, &supplier, guid);
    gateway.behave(Behaviour::RefusesApplications);
    visit(&house).await.unwrap();
    assert_eq!(state(&house, request), RequestState::Failed);
    let reason = house.books.request(request).unwrap().reason.unwrap();
    assert!(reason.contains("does not do what it says"), "{reason}");
    house.books.reached(guid, clock::now()).unwrap();
    visit(&house).await.unwrap();
    let once = Received {
        applications: 1,
        bundles: 0,
    };
    assert_eq!(gateway.received(), once);
}
