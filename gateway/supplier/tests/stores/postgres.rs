//! The store on a PostgreSQL server: the same as in a file, and what happens when the server is gone.

use supplier::{ExportOrder, Format, Store, StoreError, StorePlace, export};

use crate::cluster::Cluster;
use crate::stage::{POINTS, answer, values};

#[tokio::test(flavor = "multi_thread")]
async fn store_on_a_server_is_as_one_in_a_file() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let server: StorePlace = cluster.url().parse().unwrap();
    // Several programs may find it empty at once.
    let (store, other) = tokio::join!(Store::open(&server), Store::open(&server));
    let (store, other) = (store.unwrap(), other.unwrap());
    let file = Store::open(&StorePlace::File(folder.path().join("store.db")))
        .await
        .unwrap();
    let mut contradiction = answer(2);
    contradiction.series[0].start = answer(0).series[0].start;
    contradiction.series[0].values[0] = Some("99.9".parse().unwrap());
    contradiction.series[0].values[POINTS - 2] = Some("14.338000".parse().unwrap());
    contradiction.series[0].gaps.clear();
    for answer in [answer(0), answer(1), answer(1), contradiction] {
        let rest = [];
        let kept = store.keep(&answer, b"signed", Some(&rest)).await.unwrap();
        assert_eq!(kept, file.keep(&answer, b"signed", Some(&rest)).await.unwrap());
    }
    let (here, there) = (values(&file).await, values(&store).await);
    assert_eq!((here.len(), &there), (2 * POINTS - 1, &here));
    assert!(there.contains(&"12.340 Wh".to_owned()) && there.contains(&"14.338000 Wh".to_owned()));
    let (of_file, of_server) = (
        file.elements(None).await.unwrap(),
        store.elements(None).await.unwrap(),
    );
    let mut missing = store.missing(&of_server[0]).await.unwrap();
    store.note_tries(&missing, 1).await.unwrap();
    missing = store.missing(&of_server[0]).await.unwrap();
    assert_eq!((missing.len(), missing[0].points, missing[0].tries), (1, 1, 1));
    assert_eq!(
        file.missing(&of_file[0]).await.unwrap()[0].reason,
        missing[0].reason
    );
    let conflicts = store.conflicts(
        of_server[0].key,
        (of_server[0].grids[0].1, of_server[0].grids[0].2),
    );
    assert_eq!(conflicts.await.unwrap().len(), 1);
    assert_eq!(
        store
            .signed("fd5a::1".parse().unwrap(), answer(0).id)
            .await
            .unwrap(),
        b"signed"
    );
    let exported = folder.path().join("export.csv");
    let order = ExportOrder {
        gaps: true,
        ..ExportOrder::default()
    };
    assert_eq!(
        export(&other, &order, Format::Csv, &exported).await.unwrap(),
        4_000
    );

    // Whoever knows SQL can reckon with the values.
    let sum = "DO $$ BEGIN ASSERT (SELECT sum(value) FROM readings WHERE time < 1800) = 24.681; END $$";
    assert!(cluster.sql(sum));

    // Two programs at once keep what both have once.
    let (one, two) = (answer(9), answer(9));
    let (one, two) = tokio::join!(store.keep(&one, b"", None), other.keep(&two, b"", None));
    assert_eq!([one.unwrap(), two.unwrap()].iter().flatten().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_gone_is_a_clear_error_and_is_found_again() {
    let cluster = Cluster::start();
    let server: StorePlace = cluster.url().parse().unwrap();
    let store = Store::open(&server).await.unwrap();
    store.keep(&answer(0), b"signed", None).await.unwrap();
    cluster.control("stop");
    let gone = store.keep(&answer(1), b"signed", None).await.unwrap_err();
    assert!(matches!(gone, StoreError::Database(_)), "{gone}");
    assert!(
        gone.to_string().contains("check that the database is there"),
        "{gone}"
    );
    let gone = Store::open(&server).await.unwrap_err();
    assert!(matches!(gone, StoreError::Database(_)), "{gone}");
    cluster.control("start");
    store.keep(&answer(1), b"signed", None).await.unwrap();
    assert_eq!(values(&store).await.len(), 2 * (POINTS - 1));
}
