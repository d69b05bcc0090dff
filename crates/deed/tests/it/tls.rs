//! TLS in front of a server: certificates made here, and a proxy that ends TLS.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{
    run_remote::World,
    support::{Home, Ran, finish},
};

/// SubjectPublicKeyInfo of a key on P-256, but for its point (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// AlgorithmIdentifier of ECDSA with SHA-256 (RFC 5758).
const ECDSA_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const GOOD: [&str; 2] = ["200101000000Z", "490101000000Z"];
const OVER: [&str; 2] = ["200101000000Z", "210101000000Z"];

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![short as u8],
        middling @ 128..=255 => vec![0x81, middling as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag][..], &length, content].concat()
}

fn name(text: &str) -> Vec<u8> {
    let value = [&[0x06, 0x03, 0x55, 0x04, 0x03][..], &der(0x0c, text.as_bytes())].concat();
    der(0x30, &der(0x31, &der(0x30, &value)))
}

/// A certificate (RFC 5280) of `of` for `key`, that `signer` signs as the issuer.
fn certificate(
    of: &str,
    key: &EcdsaKeyPair,
    [from, to]: [&str; 2],
    extension: &[u8],
    signer: &EcdsaKeyPair,
) -> Vec<u8> {
    let validity = [der(0x17, from.as_bytes()), der(0x17, to.as_bytes())].concat();
    let says = [
        der(0xa0, &[0x02, 0x01, 0x02]),
        der(0x02, &[0x01]),
        ECDSA_SHA256.to_vec(),
        name("an issuer"),
        der(0x30, &validity),
        name(of),
        [&P256[..], key.public_key().as_ref()].concat(),
        der(0xa3, &der(0x30, &der(0x30, extension))),
    ];
    let says = der(0x30, &says.concat());
    let signature = signer.sign(&SystemRandom::new(), &says).unwrap();
    let signature = der(0x03, &[&[0][..], signature.as_ref()].concat());
    der(0x30, &[says, ECDSA_SHA256.to_vec(), signature].concat())
}

/// An issuer of certificates, and the file by which it is trusted.
struct Issuer {
    key: EcdsaKeyPair,
    pem: PathBuf,
}

impl Issuer {
    fn new(home: &Home) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        // basicConstraints, critical: it is an authority.
        let is_authority = der(0x04, &der(0x30, &[0x01, 0x01, 0xff]));
        let extension = [&[0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff][..], &is_authority].concat();
        let own = certificate("an issuer", &key, GOOD, &extension, &key);
        let text =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(own));
        Issuer { key, pem: home.write("ca.pem", text) }
    }

    /// A proxy to `server` that shows a certificate for `host`; its URL.
    fn proxy(&self, host: &str, when: [&str; 2], server: SocketAddr) -> String {
        let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let names = der(0x04, &der(0x30, &der(0x82, host.as_bytes())));
        let extension = [&[0x06, 0x03, 0x55, 0x1d, 0x11][..], &names].concat();
        let own = certificate("a server", &pkcs8, when, &extension, &self.key);
        let key =
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_pkcs8v1().unwrap().as_ref().to_vec()));
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![CertificateDer::from(own)], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, config) = (stream.unwrap(), config.clone());
                thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    pass(StreamOwned::new(connection, stream), server);
                });
            }
        });
        url
    }
}

/// One request after another, each with its answer.
fn pass(mut client: impl Read + Write, server: SocketAddr) {
    let Ok(mut upstream) = TcpStream::connect(server) else { return };
    while let Some(request) = message(&mut client) {
        upstream.write_all(&request).unwrap();
        let Some(answer) = message(&mut upstream) else { return };
        if client.write_all(&answer).and_then(|()| client.flush()).is_err() {
            return;
        }
    }
}

/// A message of HTTP/1.1 that says how long it is.
fn message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let (mut message, mut byte) = (Vec::new(), [0]);
    while !message.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        message.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&message).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    message.extend(body);
    Some(message)
}

/// A proxy that leads whoever asks for a way (RFC 9110, CONNECT) to `port` of this machine; its address, and what it is asked.
fn tunnel(port: u16) -> (String, mpsc::Receiver<String>) {
    let (asked, heads) = mpsc::sync_channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = stream.unwrap();
            let Some(head) = message(&mut client) else { continue };
            asked.send(String::from_utf8(head).unwrap()).unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            thread::spawn(move || std::io::copy(&mut client, &mut server));
        }
    });
    (address, heads)
}

/// Behind the proxy of a company, a server elsewhere is reached through it, and TLS goes through from end to end.
#[test]
fn a_server_elsewhere_is_reached_through_a_proxy_and_this_machine_never() {
    let world = World::start();
    let issuer = Issuer::new(&world.runner);
    let url = issuer.proxy("deed.example", GOOD, world.address());
    let (proxy, heads) = tunnel(url.rsplit_once(':').unwrap().1.parse().unwrap());
    let ask = |url: &str, proxy: &str, except: &str| {
        let mut command = world.runner.command(["find", "--json", "--server", url]);
        command.env("DEED_TOKEN", crate::run_remote::ADMIN).env_remove("SSL_CERT_DIR");
        command.env("SSL_CERT_FILE", &issuer.pem).env("HTTPS_PROXY", proxy).env("NO_PROXY", except);
        finish(command.output().unwrap())
    };
    ask("https://deed.example", &format!("http://ann:secret@{proxy}"), "corp.example").good();
    let head = heads.try_recv().unwrap();
    assert!(head.starts_with("CONNECT deed.example:443 HTTP/1.1\r\n"), "{head}");
    let shown = format!("proxy-authorization: basic {}", STANDARD.encode("ann:secret").to_lowercase());
    assert!(head.to_lowercase().contains(&shown), "{head}");

    let here = issuer.proxy("localhost", GOOD, world.address());
    ask(&here, &format!("http://{proxy}"), "").good();
    assert!(heads.try_recv().is_err(), "loopback is reached directly");
    let refused = ask("https://deed.example", "socks5://ann:secret@127.0.0.1:1", "")
        .bad(7, &["expected http://HOST:PORT"]);
    assert!(!refused.err.contains("secret"), "{refused:?}");
}

fn ask(world: &World, arguments: &[&str], url: &str, ca: Option<&PathBuf>) -> Ran {
    let mut command = world.runner.command([arguments, &["--server", url]].concat());
    command.env("DEED_TOKEN", crate::run_remote::ADMIN).env_remove("SSL_CERT_DIR");
    match ca {
        Some(ca) => command.env("SSL_CERT_FILE", ca),
        None => command.env_remove("SSL_CERT_FILE"),
    };
    finish(command.output().unwrap())
}

#[test]
fn every_command_speaks_tls_to_a_server_that_it_knows() {
    let world = World::start();
    let server = world.address();
    let issuer = Issuer::new(&world.runner);
    let url = issuer.proxy("localhost", GOOD, server);
    let ca = Some(&issuer.pem);
    let said = ask(&world, &["doctor"], &url, ca);
    assert!(!said.err.contains("without TLS"), "{said:?}");
    ask(&world, &["find", "--json"], &url, ca).good();
    let file = world.runner.write("r.json", crate::support::record(1));
    ask(&world, &["append", file.to_str().unwrap()], &url, ca).good();
    assert_eq!(ask(&world, &["find", "--json"], &url, ca).good().json_lines().len(), 1);
    ask(&world, &["keys"], &url, ca).good();
    ask(&world, &["verify"], &url, ca).good();
    let run = ["run", "--action", "deploy", "--resource", "deploy:test/web"];
    let ran = world.ran(&url, Some(&issuer.pem), &["--id-token", "token"], "exit 4");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(world.newest()["executor"]["edge"], "proven");

    // What is not known to be the server is sent nothing.
    for (url, ca, says) in [
        (url.clone(), None, ["issued by nobody whom this machine trusts", "SSL_CERT_FILE"]),
        (issuer.proxy("other.example", GOOD, server), ca, ["not for `localhost", "other.example"]),
        (issuer.proxy("localhost", OVER, server), ca, ["expired at 2021-01-01", "clock"]),
        (format!("https://127.0.0.1:{}", server.port()), ca, ["does not speak TLS", "http://"]),
    ] {
        ask(&world, &["find"], &url, ca).bad(7, &says);
        ask(&world, &["verify"], &url, ca).bad(7, &says[..1]);
        let mut command = world.runner.command(run);
        command.args(["--server", &url, "--id-token", "token", "--", "touch", "done"]);
        command.env_remove("SSL_CERT_FILE");
        ca.map(|ca| command.env("SSL_CERT_FILE", ca));
        finish(command.output().unwrap()).bad(7, &[says[0], says[1], "not started"]);
    }
    assert!(!world.runner.path("done").exists());
    let missing = world.runner.path("missing.pem");
    ask(&world, &["find"], &url, Some(&missing)).bad(7, &["no certificates", "SSL_CERT_FILE"]);
}
