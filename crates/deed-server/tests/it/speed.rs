//! How fast records and spans come in through HTTP, client included. Not run unless asked for:
//! `cargo test --release -p deed-server -- --ignored --nocapture speed`.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpStream;

use crate::{
    otlp::spans,
    support::{Running, observation},
};

const CLIENTS: u64 = 4;
const BATCH: u64 = 500;

/// Seconds of processor time that this process used.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

async fn send(address: SocketAddr, path: &'static str, content_type: &'static str, bodies: Vec<Bytes>) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for body in bodies {
        let request =
            Request::post(path).header(header::HOST, "localhost").header(header::CONTENT_TYPE, content_type);
        let answer = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    }
}

async fn measure(
    what: &str,
    path: &'static str,
    content_type: &'static str,
    rounds: u64,
    body: impl Fn(u64) -> Bytes,
) {
    let running = Running::start().await;
    let clients: Vec<Vec<Bytes>> =
        (0..CLIENTS).map(|c| (0..rounds).map(|r| body(c * rounds + r)).collect()).collect();
    let (started, cpu) = (Instant::now(), processor_seconds());
    let clients: Vec<_> = clients
        .into_iter()
        .map(|bodies| tokio::spawn(send(running.http(), path, content_type, bodies)))
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let count = running.size() as f64;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), processor_seconds() - cpu);
    println!("{what}: {:.0}/s, {:.0} for each second of a processor", count / elapsed, count / cpu);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn speed() {
    let batch = |round: u64| {
        let records: Vec<String> =
            (0..BATCH).map(|n| observation(round * BATCH + n + 1, "agent:a")).collect();
        Bytes::from(records.join("\n"))
    };
    measure("records", "/v1/records", "application/x-ndjson", 250, batch).await;
    let export = |round: u64| {
        let mut request = spans(BATCH);
        for span in &mut request.resource_spans[0].scope_spans[0].spans {
            span.trace_id = (u128::from(round) + 1).to_be_bytes().to_vec();
        }
        Bytes::from(request.encode_to_vec())
    };
    measure("spans", "/v1/traces", "application/x-protobuf", 100, export).await;
}
