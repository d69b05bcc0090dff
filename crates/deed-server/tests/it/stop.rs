//! Stopping, the socket, and taking over.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deed_server::{ServeError, settings::Settings};

use crate::support::{Running, array, call_unix, engine, get, observation, open, options, post, try_call};

#[tokio::test(flavor = "multi_thread")]
async fn stopping_under_load_loses_nothing_that_was_acknowledged() {
    let running = Running::start().await;
    let address = running.http();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..8)
        .map(|sender: u64| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let mut refused = 0;
                for n in 0.. {
                    let records: Vec<String> = (0..20)
                        .map(|k| observation(1 + sender * 1_000_000 + n * 20 + k, "agent:a"))
                        .collect();
                    match try_call(address, post("/v1/records", "application/json", array(&records))).await {
                        Ok(answer) if answer.status == 200 => {
                            for receipt in answer.json()["receipts"].as_array().unwrap() {
                                acknowledged.push((
                                    receipt["index"].as_u64().unwrap(),
                                    receipt["id"].as_str().unwrap().to_owned(),
                                ));
                            }
                        }
                        // Refused in words, or nobody there any more: both are honest.
                        _ => refused += 1,
                    }
                    if stop.load(Ordering::Acquire) || refused > 3 {
                        break;
                    }
                }
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let Running { server, dir } = running;
    server.shutdown().await.unwrap();
    stop.store(true, Ordering::Release);
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());

    let engine = engine(dir.path(), Settings::default());
    let ledger = engine.ledger();
    let signed = ledger.checkpoint().unwrap();
    for (index, id) in acknowledged {
        assert_eq!(ledger.leaf(index).unwrap().skeleton().unwrap().id.to_string(), id);
        assert!(index < signed.size, "the last checkpoint covers everything");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_private_and_goes_with_the_server() {
    let running = Running::start().await;
    let socket = running.dir.path().join("deed.sock");
    assert_eq!(running.server.addresses().socket.as_deref(), Some(&*socket));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(call_unix(&socket, get("/v1/health")).await.status, 200);
    running.server.shutdown().await.unwrap();
    assert!(!socket.exists());
    let left: Vec<_> =
        std::fs::read_dir(running.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_replaced_and_anything_else_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deed.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = open(dir.path(), Settings::default(), options()).await;
    assert_eq!(call_unix(&path, get("/healthz")).await.status, 200);
    server.shutdown().await.unwrap();

    std::fs::write(&path, "precious").unwrap();
    let engine = engine(dir.path(), Settings::default());
    match deed_server::serve(engine, options()).await {
        Err(error @ ServeError::Socket { .. }) => {
            assert!(error.to_string().contains("move it away"), "{error}")
        }
        _ => panic!("it was served"),
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_the_end() {
    let running = Running::start().await;
    let idle = tokio::net::TcpStream::connect(running.http()).await.unwrap();
    let started = std::time::Instant::now();
    running.server.shutdown().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_named() {
    let running = Running::start().await;
    let dir = tempfile::tempdir().unwrap();
    let taken = deed_server::ServeOptions { listen: Some(running.http()), ..options() };
    match deed_server::serve(engine(dir.path(), Settings::default()), taken).await {
        Err(error @ ServeError::Listen { .. }) => {
            assert!(error.to_string().contains(&running.http().to_string()), "{error}")
        }
        _ => panic!("two servers on one address"),
    }
}
