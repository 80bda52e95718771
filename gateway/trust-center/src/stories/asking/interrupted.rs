//! What happens to a delivery while it is under way, or to what it has brought: a report is lost, a bundle is, somebody is
//! revoked, or the gateway refuses it.

use super::*;
use crate::revoke::Whom;

/// Revokes a supplier, as an operator does beside the service.
fn revoke(house: &House, name: &'static str) -> impl FnOnce() + Send + 'static {
    let home = house.home();
    move || {
        let books = Books::open(&home).unwrap();
        let reason = RevocationReason::KeyCompromise;
        books.revoke(clock::now(), name, None, reason, &[]).unwrap();
    }
}

fn served(gateway: &GatewayDouble) -> Vec<String> {
    let bundle = gateway.bundle().unwrap();
    let names = bundle.suppliers.iter().map(|entry| entry.name.to_string());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_whose_report_was_lost_is_not_sent_again() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    let request = supplier.request(guid);
    admit(&house, &supplier, &request).unwrap();
    approve(&house, request.id);
    gateway.behave(Behaviour::CutsBundle);
    assert!(matches!(visit(&house).await, Err(DeliveryError::Visit(_))));
    assert_eq!(state(&house, request.id), RequestState::Approved);
    gateway.behave(Behaviour::Good);
    visit(&house).await.unwrap();
    assert_eq!(state(&house, request.id), RequestState::Installed);
    assert_eq!(gateway.received().bundles, 1);
    assert_eq!(house.records().matches("\"act\":\"installed\"").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_has_lost_its_bundle_gets_it_again() {
    let (house, guid, gateway) = house_with_gateway();
    let supplier = Supplier::certified(&house, "City Works");
    ask_with_application(&house, &supplier, guid);
    visit(&house).await.unwrap();
    let before = gateway.bundle().unwrap();
    gateway.behave(Behaviour::Forgets);
    house.books.reached(guid, clock::now()).unwrap();
    visit(&house).await.unwrap();
    assert_eq!(gateway.bundle().unwrap(), before);
    let received = Received {
        applications: 2,
        bundles: 2,
    };
    assert_eq!(gateway.received(), received);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_supplier_is_left_out_before_all_else() {
    let (house, guid, gateway) = house_with_gateway();
    let (first, second) = (
        Supplier::certified(&house, "City Works"),
        Supplier::certified(&house, "Country Works"),
    );
    for supplier in [&first, &second] {
        let request = supplier.request(guid);
        admit(&house, supplier, &request).unwrap();
        approve(&house, request.id);
    }
    visit(&house).await.unwrap();
    assert_eq!(gateway.bundle().unwrap().suppliers.len(), 2);
    // One request waits already when the supplier is revoked.
    let waiting = InstallationRequest {
        grants: vec![first.grant("more", 900)],
        ..first.request(guid)
    };
    admit(&house, &first, &waiting).unwrap();
    approve(&house, waiting.id);
    let reason = RevocationReason::KeyCompromise;
    house
        .books
        .revoke(clock::now(), "City Works", None, reason, &[])
        .unwrap();
    assert!(house.books.next_job(guid).unwrap().unwrap().request.is_none());
    visit(&house).await.unwrap();
    let bundle = gateway.bundle().unwrap();
    assert_eq!(bundle.suppliers.len(), 1);
    assert!(
        bundle
            .grants
            .iter()
            .all(|grant| grant.supplier == second.fingerprint())
    );
    let entry = house.books.request(waiting.id).unwrap();
    assert_eq!(entry.state, RequestState::Failed);
    assert!(entry.reason.unwrap().contains("revoked"));
    assert!(matches!(
        admit(&house, &first, &first.request(guid)),
        Err(AdmissionError::Envelope(_) | AdmissionError::Supplier(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_is_told_that_the_author_of_what_it_runs_for_somebody_else_is_revoked() {
    let (house, guid, gateway) = house_with_gateway();
    let author = Supplier::certified(&house, "City Works");
    let supplier = Supplier::certified(&house, "Country Works");
    let package = author.package.as_slice();
    Applications::of_home(&house.home())
        .keep(application_digest(package), package)
        .unwrap();
    let request = supplier.with_package(supplier.request(guid), package);
    admit(&house, &supplier, &request).unwrap();
    approve(&house, request.id);
    visit(&house).await.unwrap();
    let before = gateway.bundle().unwrap();
    assert_eq!(
        (before.applications.len(), before.revoked.as_slice()),
        (1, &[][..])
    );
    let (home, now) = (house.home(), clock::now());
    let whom = Whom::Party("City Works".parse().unwrap());
    crate::revoke::revoke((&home, &house.books), &whom, RevocationReason::KeyCompromise, now).unwrap();
    visit(&house).await.unwrap();
    let bundle = gateway.bundle().unwrap();
    assert_eq!(bundle.applications, before.applications);
    let [revoked] = bundle.revoked.as_slice() else {
        panic!("{:?}", bundle.revoked);
    };
    assert_eq!(revoked.certificate, author.fingerprint());
    assert!(revoked.condemns_earlier_signatures());
    // Nobody gets it anew.
    let again = supplier.with_package(supplier.request(guid), package);
    assert!(matches!(
        admit(&house, &supplier, &again),
        Err(AdmissionError::Application(ApplicationsError::Signature(_)))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn supplier_that_is_revoked_during_a_visit_is_left_out_by_it() {
    let (house, guid, gateway) = house_with_gateway();
    let (first, second) = (
        Supplier::certified(&house, "City Works"),
        Supplier::certified(&house, "Country Works"),
    );
    ask(&house, &first, guid);
    visit(&house).await.unwrap();
    // The visit for the second supplier is under way when an operator revokes the first one.
    ask(&house, &second, guid);
    let home = house.home();
    gateway.meanwhile(move || {
        let reason = RevocationReason::KeyCompromise;
        let books = Books::open(&home).unwrap();
        books
            .revoke(clock::now(), "City Works", None, reason, &[])
            .unwrap();
    });
    visit(&house).await.unwrap();
    let served = gateway.bundle().unwrap().suppliers;
    let served: Vec<_> = served.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(served, ["Country Works"]);
    assert!(house.books.next_job(guid).unwrap().is_none());
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
