//! The way to a gateway. Whoever visits one knows nothing of it but that messages go there and back.
//!
//! There are two: HTTPS to where the gateway listens, by default at its own GUID, which is an address, and a broker that it
//! has dialled (`mqtts://`).

use counterparty::exchange::{Exchange, ExchangeError, GatewayAddress, GatewayAddressError, Identity};
use model::CardId;

/// The port at which a gateway listens unless it is told otherwise.
const PORT: u16 = 8443;

/// The reason why there is no way to a gateway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The address that is registered is none.
    #[error(
        "the address {address:?} of the gateway cannot be used; register another one (`trust-center gateways register`)"
    )]
    Address {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: GatewayAddressError,
    },
    /// The way cannot be prepared.
    #[error("the way to the gateway cannot be prepared")]
    Exchange(#[from] ExchangeError),
}

/// Prepares the way to a gateway, which listens at `address`, or at its GUID; nothing is sent yet.
pub(crate) fn way_to(
    identity: Identity<'_>,
    guid: CardId,
    address: Option<&str>,
) -> Result<Exchange, TransportError> {
    let text = address.map_or_else(|| own_address(guid), str::to_owned);
    let gateway: GatewayAddress = match text.parse() {
        Ok(gateway) => gateway,
        Err(source) => {
            let address = text;
            return Err(TransportError::Address { address, source });
        }
    };
    Ok(Exchange::new(identity, guid, gateway)?)
}

/// Returns where a gateway listens of which nothing else is known.
pub(crate) fn own_address(guid: CardId) -> String {
    format!("[{}]:{PORT}", guid.address())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_listens_at_its_guid() {
        let guid = "fd5a::1".parse().unwrap();
        assert_eq!(own_address(guid), "[fd5a::1]:8443");
        assert!(own_address(guid).parse::<GatewayAddress>().is_ok());
    }
}
