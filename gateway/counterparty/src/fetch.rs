//! Getting a file from the public directory: one GET over HTTP.
//!
//! What comes is signed, so the way needs no protection; the caller judges it.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long the whole may take: a list of some megabytes over a slow line.
const PATIENCE: Duration = Duration::from_secs(60);

/// The reason why a file was not got.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is none of HTTP.
    #[error("{address} is no address of a directory, which is http://HOST:PORT")]
    Address {
        /// The address.
        address: String,
    },
    /// There is no connection, or it has broken.
    #[error("{address} cannot be fetched; check that the directory is served there")]
    Connection {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It took too long.
    #[error("{address} did not come within {} s; try again", PATIENCE.as_secs())]
    Timeout {
        /// The address.
        address: String,
    },
    /// The directory has no such file.
    #[error("{address} is answered with HTTP status {status}; check the address")]
    Status {
        /// The address.
        address: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The file is larger than what belongs there.
    #[error("{address} has more than {limit} bytes, so it is not the file that belongs there")]
    TooLarge {
        /// The address.
        address: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Gets a file of at most `limit` bytes.
///
/// # Errors
///
/// [`FetchError`] names what kept it from coming.
pub async fn get(address: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
    let owned = || address.to_owned();
    let uri: Uri = address
        .parse()
        .map_err(|_| FetchError::Address { address: owned() })?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(FetchError::Address { address: owned() });
    }
    let broken = |source: Box<dyn Error + Send + Sync>| FetchError::Connection {
        address: owned(),
        source,
    };
    let get = async {
        let client: Client<HttpConnector, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let answer = client.get(uri).await.map_err(|error| broken(error.into()))?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            return Err(FetchError::Status {
                address: owned(),
                status,
            });
        }
        let body = Limited::new(answer.into_body(), limit).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|source| {
            if source.is::<LengthLimitError>() {
                let address = owned();
                return FetchError::TooLarge { address, limit };
            }
            broken(source)
        })
    };
    tokio::time::timeout(PATIENCE, get)
        .await
        .map_err(|_| FetchError::Timeout { address: owned() })?
}
