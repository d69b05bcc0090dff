//! `deed serve`.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::support::{Home, examples, record, serve};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn listens_where_it_is_told_and_ends_in_good_order() {
    let home = Home::new();
    let serving = home.serve(&[]);
    assert!(get(serving.http.unwrap(), "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(serving.http.unwrap(), "/metrics").contains("# EOF"));
    let export = std::fs::read(examples().join("otlp/openai-agents.pb")).unwrap();
    let receiver = serving.otlp_http.unwrap();
    let mut stream = TcpStream::connect(receiver).unwrap();
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nHost: {receiver}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        export.len()
    )
    .unwrap();
    stream.write_all(&export).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // Others go through its socket; a second server is told who is there.
    assert_eq!(home.run(["find", "--json"]).good().json_lines().len(), 5);
    home.run(["serve", "--listen", "127.0.0.1:0"])
        .bad(1, &["waiting 10 s for its end", "failed to serve", "held by another process", "--data"]);
    assert_eq!(serving.stop(), 0);
    assert!(!home.store().join("deed.sock").exists());
    home.run(["verify"]).good();
}

/// So many connections are taken that the usual limit of open files would end them.
#[test]
#[cfg(target_os = "linux")]
fn as_many_files_may_be_open_as_the_system_allows() {
    let home = Home::new();
    let plain = home.command([""; 0]);
    let mut limited = std::process::Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -Sn 256; exec \"$0\" serve --json --listen 127.0.0.1:0 --otlp-grpc off --otlp-http off",
        ])
        .arg(plain.get_program())
        .env("DEED_DATA", home.store());
    let serving = serve(&mut limited);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = line["Max open files".len()..].split_whitespace().collect::<Vec<_>>()[..2] else {
        panic!("{line}")
    };
    assert_eq!(soft, hard, "{line}");
    assert_eq!(serving.stop(), 0);
}

#[test]
fn refuses_what_would_let_anybody_in() {
    let home = Home::new();
    home.run(["serve", "--listen", "0.0.0.0:0"]).bad(1, &["can be reached from elsewhere", "[[token]]"]);
    home.run(["serve", "--server", "http://127.0.0.1:1"]).bad(2, &["--data"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    home.run(["serve", "--listen", &address]).bad(1, &["failed to listen on", &address]);
}

#[test]
fn takes_its_ports_from_the_settings() {
    let home = Home::new();
    home.write("store/deed.toml", "[listen]\nhttp = \"127.0.0.1:0\"\notlp_http = \"127.0.0.1:0\"\n");
    let serving = serve(&mut home.command(["serve", "--json", "--otlp-grpc", "off", "--otlp-http", "off"]));
    assert!(serving.http.is_some() && serving.otlp_http.is_none());
    home.run_with_input(["append", "--server", &serving.url(), "-"], record(1).as_bytes()).good();
    serving.kill();
    // What was acknowledged is there, and the socket that was left behind is in nobody's way.
    assert!(home.store().join("deed.sock").exists());
    assert_eq!(home.run(["find", "--json"]).good().json_lines().len(), 1);
}
