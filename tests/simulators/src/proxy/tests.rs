use std::time::Instant;

use super::*;

/// What neither a connection nor its end takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A target that gives back what it gets, behind a proxy.
async fn echo() -> (SocketAddr, ProxyHandle, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    let proxy = Proxy::bind("127.0.0.1:0".parse().unwrap(), &target)
        .await
        .unwrap();
    let (address, handle) = (proxy.address().unwrap(), proxy.handle());
    tasks.spawn(async move { proxy.run().await.unwrap() });
    (address, handle, tasks)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends bytes and returns how many come back before the end, or before all are here.
async fn round(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    let rounding = async {
        if stream.write_all(bytes).await.is_err() {
            return 0;
        }
        let mut back = vec![0; bytes.len()];
        let mut length = 0;
        while length < back.len() {
            match stream.read(&mut back[length..]).await {
                Ok(0) | Err(_) => break,
                Ok(more) => length += more,
            }
        }
        assert_eq!(back[..length], bytes[..length]);
        length
    };
    tokio::time::timeout(PATIENCE, rounding).await.unwrap()
}

#[tokio::test]
async fn bytes_go_through_both_ways_and_a_close_too() {
    let (address, handle, _tasks) = echo().await;
    let mut stream = connect(address).await;
    assert_eq!(round(&mut stream, &[7; 100_000]).await, 100_000);
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(handle.counts(), (1, 0));
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_through_that_way() {
    let (address, handle, _tasks) = echo().await;
    for cut in [
        Cut::Up(0),
        Cut::Up(1_000),
        Cut::Down(1_000),
        Cut::Up(20_000),
        Cut::Down(1),
    ] {
        handle.order(Order::Heal);
        handle.order(Order::Cut(cut));
        let came = round(&mut connect(address).await, &[1; 50_000]).await;
        let (Cut::Up(limit) | Cut::Down(limit)) = cut;
        // What was cut off going up may be lost on its way back as well.
        assert!(u64::try_from(came).unwrap() <= limit, "{cut:?}: {came}");
        if let Cut::Down(limit) = cut {
            assert!(u64::try_from(came).unwrap() <= limit);
        }
    }
    handle.order(Order::Heal);
    assert_eq!(round(&mut connect(address).await, &[1; 50_000]).await, 50_000);
    assert_eq!(handle.counts(), (6, 5));
}

#[tokio::test]
async fn delay_and_rate_take_their_time() {
    let (address, handle, _tasks) = echo().await;
    let mut stream = connect(address).await;
    for (order, least_ms) in [("delay 100", 200), ("rate 100000", 200)] {
        handle.order(Order::Heal);
        handle.order(order.parse().unwrap());
        let begun = Instant::now();
        assert_eq!(round(&mut stream, &[2; 10_000]).await, 10_000);
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(least_ms) * 9 / 10,
            "{order}: {took:?}"
        );
    }
}

#[tokio::test]
async fn stalled_connection_says_nothing_and_goes_on_when_it_is_healed() {
    let (address, handle, _tasks) = echo().await;
    let mut stream = connect(address).await;
    assert_eq!(round(&mut stream, b"one").await, 3);
    handle.order(Order::Stall);
    stream.write_all(b"two").await.unwrap();
    let mut back = [0; 3];
    let waited = tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut back)).await;
    assert!(waited.is_err(), "{waited:?}");
    handle.order(Order::Heal);
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&back, b"two");
}

#[tokio::test]
async fn reset_ends_what_stands_and_nothing_to_come() {
    let (address, handle, _tasks) = echo().await;
    let mut stream = connect(address).await;
    assert_eq!(round(&mut stream, b"one").await, 3);
    handle.order(Order::Reset);
    let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0]))
        .await
        .unwrap();
    assert!(ended.is_err() || matches!(ended, Ok(0)), "{ended:?}");
    assert_eq!(round(&mut connect(address).await, b"two").await, 3);
}

#[tokio::test]
async fn doubled_connection_reaches_the_target_twice_with_the_same_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let proxy = Proxy::bind("127.0.0.1:0".parse().unwrap(), &target)
        .await
        .unwrap();
    let (address, handle) = (proxy.address().unwrap(), proxy.handle());
    let mut tasks = JoinSet::new();
    tasks.spawn(proxy.run());
    handle.order(Order::Double);
    let mut stream = connect(address).await;
    stream.write_all(b"twice").await.unwrap();
    for _ in 0..2 {
        let (mut accepted, _) = tokio::time::timeout(PATIENCE, listener.accept())
            .await
            .unwrap()
            .unwrap();
        let mut bytes = [0; 5];
        accepted.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"twice");
        drop(accepted);
    }
}

#[tokio::test]
async fn orders_come_over_a_socket_and_what_is_none_is_named() {
    let (_, handle, mut tasks) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("orders");
    let (taker, path) = (handle.clone(), socket.clone());
    tasks.spawn(async move { taker.take_orders(&path).await.unwrap() });
    for (line, answer) in [
        ("stall", "0 0\n".to_owned()),
        ("cut up 77", "0 0\n".to_owned()),
        ("counts", "0 0\n".to_owned()),
        ("explode", format!("{UnknownOrder}\n")),
        ("cut sideways 1", format!("{UnknownOrder}\n")),
        ("rate 0", format!("{UnknownOrder}\n")),
    ] {
        let mut stream = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, answer, "{line}");
    }
    let faults = *handle.faults.borrow();
    assert_eq!((faults.stalled, faults.cut), (true, Some(Cut::Up(77))));
}
