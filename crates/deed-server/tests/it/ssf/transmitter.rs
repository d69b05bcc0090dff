//! A transmitter with a key of its own, which describes itself, and is asked for its events.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_ledger::Ledger;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

pub(super) const AUDIENCE: &str = "https://deed.example/ssf";
/// What it shows where it pushes, and what it is shown.
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) struct Key(RsaKeyPair);

impl Key {
    pub(super) fn new() -> Self {
        Key(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn jwk(&self) -> Value {
        // DER of an RSAPublicKey with 2048 bits: a sequence of two integers.
        let der = self.0.public_key().as_ref();
        json!({ "kty": "RSA", "kid": "k1", "use": "sig", "n": b64(&der[9..265]), "e": b64(&der[267..]) })
    }

    /// A token of that header and those claims.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", b64(signature))
    }

    /// As a transmitter signs it.
    pub(super) fn set(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "RS256", "typ": "secevent+jwt", "kid": "k1" }), claims)
    }
}

#[derive(Default)]
struct State {
    /// What it has to say, by `jti`.
    sets: BTreeMap<String, String>,
    acked: Vec<String>,
    errs: BTreeMap<String, String>,
    polls: usize,
    /// Whether it answers 503.
    is_down: bool,
    /// Where what it hears acknowledged is to be durable.
    ledger: Option<Ledger>,
}

#[derive(Clone)]
pub(super) struct Transmitter {
    pub(super) url: String,
    pub(super) key: Arc<Key>,
    state: Arc<Mutex<State>>,
}

impl Transmitter {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tenant/1/", listener.local_addr().unwrap());
        let transmitter = Transmitter { url, key: Arc::new(Key::new()), state: Arc::default() };
        let serving = transmitter.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        transmitter
    }

    pub(super) fn claims(&self, jti: &str, kind: &str, subject: &Value) -> Value {
        let kind = format!("https://schemas.openid.net/secevent/{kind}");
        json!({
            "iss": self.url, "jti": jti, "iat": 1_790_000_170, "aud": [AUDIENCE], "sub_id": subject,
            "events": { kind: { "event_timestamp": 1_790_000_100 } },
        })
    }

    /// That the session `id` was revoked.
    pub(super) fn revoked(&self, jti: &str, id: &str) -> String {
        let subject = json!({ "format": "opaque", "id": id });
        self.key.set(&self.claims(jti, "caep/event-type/session-revoked", &subject))
    }

    /// Has something to say.
    pub(super) fn put(&self, jti: &str, set: String) {
        self.state.lock().unwrap().sets.insert(jti.to_owned(), set);
    }

    pub(super) fn watch(&self, ledger: Ledger) {
        self.state.lock().unwrap().ledger = Some(ledger);
    }

    pub(super) fn go_down(&self, is_down: bool) {
        self.state.lock().unwrap().is_down = is_down;
    }

    /// Acknowledged, refused with which code, and how often it was asked.
    pub(super) fn heard(&self) -> (Vec<String>, BTreeMap<String, String>, usize) {
        let state = self.state.lock().unwrap();
        (state.acked.clone(), state.errs.clone(), state.polls)
    }

    async fn answer(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut first, mut length, mut is_shown) = (String::new(), 0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => is_shown = value == format!("Bearer {TOKEN}"),
                _ if first.is_empty() => first = line,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let answer = match first.split(' ').nth(1).unwrap() {
            "/.well-known/ssf-configuration/tenant/1" => {
                let jwks = self.url.replace("/tenant/1/", "/jwks");
                Some(json!({ "issuer": self.url, "jwks_uri": jwks, "spec_version": "1_0" }))
            }
            "/jwks" => Some(json!({ "keys": [self.key.jwk()] })),
            "/poll" if is_shown => self.poll(&serde_json::from_slice(&body).unwrap()).await,
            _ => None,
        };
        let (status, body) = match answer {
            Some(answer) => ("200 OK", answer.to_string()),
            None => ("503 Service Unavailable", String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await.is_err();
    }

    /// A poll (RFC 8936): what is acknowledged is forgotten; the answer waits until there is something to say.
    async fn poll(&self, asked: &Value) -> Option<Value> {
        {
            let mut state = self.state.lock().unwrap();
            state.polls += 1;
            if state.is_down {
                return None;
            }
            for jti in asked["ack"].as_array().into_iter().flatten() {
                let jti = jti.as_str().unwrap().to_owned();
                state.sets.remove(&jti);
                state.acked.push(jti);
            }
            if let Some(ledger) = &state.ledger {
                assert!(ledger.size() >= state.acked.len() as u64, "acknowledged before it is durable");
            }
            for (jti, err) in asked["setErrs"].as_object().into_iter().flatten() {
                state.sets.remove(jti);
                assert!(err["description"].is_string());
                state.errs.insert(jti.clone(), err["err"].as_str().unwrap().to_owned());
            }
        }
        for _ in 0..200 {
            {
                let state = self.state.lock().unwrap();
                if state.is_down {
                    return None;
                }
                if !state.sets.is_empty() {
                    return Some(json!({ "sets": state.sets, "moreAvailable": false }));
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        Some(json!({ "sets": {} }))
    }
}
