//! The certificates in the books: what was issued, and what of it is revoked.

use messages::certificate::{Certificate, Revocation, RevocationReason};
use model::Timestamp;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::books::database::text;
use crate::books::{Act, BooksError, Entry, Issued, chain, hex};

/// Returns a certificate's serial number in hexadecimal digits.
pub(crate) fn serial_of(certificate: &Certificate) -> String {
    hex(certificate.serial_number())
}

pub(super) async fn write_issued(
    connection: &mut AnyConnection,
    time: Timestamp,
    certificates: &[Issued],
) -> Result<(), BooksError> {
    let Some(first) = certificates.first() else {
        return Ok(());
    };
    let of = |certificate: &Certificate| certificate.subject();
    let act = Act::Issued {
        name: of(&first.certificate)?.name().to_string(),
        certificates: certificates
            .iter()
            .map(|issued| issued.certificate.fingerprint())
            .collect(),
    };
    let record = chain::append(connection, time, &act).await?;
    for Issued { certificate, key } in certificates {
        let subject = of(certificate)?;
        query(
            "INSERT INTO certificates (serial, fingerprint, issuer, role, name, slot, expiry, pem, record) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(serial_of(certificate))
        .bind(certificate.fingerprint().to_string())
        .bind(hex(&certificate.issuer_key_identifier()?))
        .bind(subject.role().as_str().to_owned())
        .bind(subject.name().to_string())
        .bind((*key).to_owned())
        .bind(certificate.validity()?.1.to_string())
        .bind(certificate.to_pem()?)
        .bind(record)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Returns the certificates of the card, supplier, broker or facility of this name that are not revoked. The trust centre itself may
/// have the same name, and is not meant.
pub(super) async fn holding(connection: &mut AnyConnection, name: &str) -> Result<Vec<Entry>, BooksError> {
    let rows = query(
        "SELECT pem, slot, NULL AS gone FROM certificates \
         WHERE name = $1 AND role IN ('Card', 'Supplier', 'Broker', 'Facility') \
         AND serial NOT IN (SELECT serial FROM revocations) ORDER BY record",
    );
    let rows = rows.bind(name.to_owned()).fetch_all(connection).await?;
    rows.iter().map(entry).collect()
}

/// Returns the certificate with this serial number, if it is not revoked.
pub(super) async fn unrevoked(
    connection: &mut AnyConnection,
    serial: &str,
) -> Result<Vec<Entry>, BooksError> {
    let rows = query(
        "SELECT pem, slot, NULL AS gone FROM certificates \
         WHERE serial = $1 AND serial NOT IN (SELECT serial FROM revocations)",
    );
    let rows = rows.bind(serial.to_owned()).fetch_all(connection).await?;
    rows.iter().map(entry).collect()
}

pub(super) async fn revoke(
    connection: &mut AnyConnection,
    time: Timestamp,
    name: &str,
    entries: &[Entry],
    reason: RevocationReason,
) -> Result<(), BooksError> {
    if entries.is_empty() {
        return Ok(());
    }
    let serials: Vec<_> = entries
        .iter()
        .map(|entry| serial_of(&entry.certificate))
        .collect();
    let act = Act::Revoked {
        name: name.to_owned(),
        serials: serials.clone(),
        reason,
    };
    let record = chain::append(connection, time, &act).await?;
    for serial in serials {
        query("INSERT INTO revocations (serial, time, reason, record) VALUES ($1, $2, $3, $4)")
            .bind(serial)
            .bind(time.to_string())
            .bind(reason.as_str().to_owned())
            .bind(record)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn revoked(
    connection: &mut AnyConnection,
    issuer: &Certificate,
) -> Result<Vec<(Vec<u8>, Revocation)>, BooksError> {
    let rows = query(
        "SELECT serial, time, reason FROM revocations \
         WHERE serial IN (SELECT serial FROM certificates WHERE issuer = $1) ORDER BY record, serial",
    );
    let rows = rows
        .bind(hex(issuer.key_identifier()))
        .fetch_all(connection)
        .await?;
    let revocation = |row: &AnyRow| {
        let serial = from_hex(&text(row, "serial")?).ok_or(BooksError::Index { table: "revocations" })?;
        let revocation = Revocation {
            time: text(row, "time")?.parse()?,
            reason: text(row, "reason")?.parse()?,
        };
        Ok((serial, revocation))
    };
    rows.iter().map(revocation).collect()
}

pub(super) fn entry(row: &AnyRow) -> Result<Entry, BooksError> {
    let gone: Option<String> = sqlx::Row::try_get(row, "gone")?;
    Ok(Entry {
        certificate: Certificate::from_pem(&text(row, "pem")?)?,
        key: text(row, "slot")?,
        revoked: gone.is_some(),
    })
}

/// Reads bytes from hexadecimal digits.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}
