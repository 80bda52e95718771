//! Who is let in by a gateway, and which gateway is taken for the one that was meant.

use counterparty::exchange::{Exchange, ExchangeError, Identity};

use super::checks::{guid, identity, party, scene};
use super::gateway_double::TestAuthority;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_with_the_guid_is_connected_to() {
    let scene = scene();
    let connect = async |guid: &str, address: &str| {
        let exchange = Exchange::new(scene.identity(), guid.parse().unwrap(), address.parse().unwrap());
        exchange.unwrap().call(b"message".to_vec()).await.unwrap_err()
    };
    let address = scene.gateway.address().to_string();
    let other = connect("fd5a::2", &address).await;
    assert!(matches!(other, ExchangeError::Connect { .. }), "{other}");
    let nobody = connect("fd5a:6d67:7700::1", "[::1]:1").await;
    assert!(matches!(nobody, ExchangeError::Connect { .. }), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn party_of_another_trust_centre_is_not_let_in() {
    let scene = scene();
    let foreign = TestAuthority::new("Foreign centre");
    let stranger = party(&foreign);
    // It would even trust the gateway; the gateway does not trust it.
    let identity = Identity {
        anchor: scene.authority.anchor(),
        ..identity(&foreign, &stranger)
    };
    let exchange = Exchange::new(identity, guid(), scene.gateway.address()).unwrap();
    let refused = exchange.call(b"message".to_vec()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ExchangeError::Broken { .. } | ExchangeError::Connect { .. }
        ),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_of_another_trust_centre_is_not_connected_to() {
    let scene = scene();
    let foreign = TestAuthority::new("Foreign centre");
    let identity = Identity {
        anchor: foreign.anchor(),
        ..scene.identity()
    };
    let exchange = Exchange::new(identity, guid(), scene.gateway.address()).unwrap();
    let refused = exchange.call(b"message".to_vec()).await.unwrap_err();
    assert!(matches!(refused, ExchangeError::Connect { .. }), "{refused}");
}
