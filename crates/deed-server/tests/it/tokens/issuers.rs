//! Where the keys of issuers come from: discovery, rotation, and issuers that do not answer as they should.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::world::{Ask, TICKETS, World, ann, fresh, key, seconds};

/// Pages by their path; how often anything was asked for.
type Pages = Arc<Mutex<Vec<(String, String)>>>;

/// An issuer of its own, on a free port of this machine.
struct Provider {
    address: SocketAddr,
    pages: Pages,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, asked) = (Pages::default(), Arc::new(AtomicUsize::new(0)));
        let (all, count) = (pages.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (all, count) = (all.clone(), count.clone());
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let read = stream.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..read]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    count.fetch_add(1, Ordering::Relaxed);
                    let page =
                        all.lock().unwrap().iter().find(|(at, _)| *at == path).map(|(_, page)| page.clone());
                    let page =
                        page.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into());
                    stream.write_all(page.as_bytes()).await.unwrap_or_default();
                });
            }
        });
        Provider { address, pages, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn answer(&self, path: &str, page: String) {
        let mut pages = self.pages.lock().unwrap();
        pages.retain(|(at, _)| at != path);
        pages.push((path.to_owned(), page));
    }

    fn serve(&self, path: &str, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        self.answer(path, head + body);
    }

    /// Serves a discovery document, and the keys of those seeds.
    fn publish(&self, seeds: &[u8]) {
        let url = self.url();
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        self.serve("/.well-known/openid-configuration", &discovery.to_string());
        let keys: Vec<_> = seeds.iter().map(|seed| key(*seed).public().to_jwk()).collect();
        self.serve("/keys", &json!({ "keys": keys }).to_string());
    }

    /// A token of this issuer, signed by the key of `seed`.
    fn token(&self, seed: u8) -> String {
        let claims = json!({
            "iss": self.url(), "sub": "ann", "aud": "deed", "iat": seconds(), "exp": seconds() + 60,
            "scope": "tickets:read", "jti": fresh(),
        });
        let kid = json!(key(seed).public().thumbprint().to_string());
        key(seed).sign("at+jwt", &[("kid", kid)], &claims).unwrap()
    }
}

fn ask(token: &str) -> Ask {
    Ask::of(token, "coder").with(&format!("resource={TICKETS}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_discovered_once_and_again_for_one_that_is_new() {
    let provider = Provider::start().await;
    provider.publish(&[1]);
    let world = World::of_issuer(&provider.url(), "").await;
    for _ in 0..3 {
        assert_eq!(world.ask(ask(&provider.token(1))).await.status, 200);
    }
    assert_eq!(provider.asked.load(Ordering::Relaxed), 2, "the document, and the keys");
    // A stranger's key is asked about, but not each time.
    for _ in 0..3 {
        assert_eq!(world.ask(ask(&provider.token(5))).await.json()["error"], "invalid_request");
    }
    assert!(provider.asked.load(Ordering::Relaxed) <= 4);
    // Another issuer's tokens are not believed for that.
    assert_eq!(world.ask(ask(&ann(json!({})))).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_answers_nothing_of_use_is_named_and_nobody_hangs() {
    let provider = Provider::start().await;
    let world = World::of_issuer(&provider.url(), "").await;
    let elsewhere = Provider::start().await;
    elsewhere.publish(&[1]);
    let moved =
        format!("HTTP/1.1 302 Found\r\nlocation: {}/keys\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let answer = world.ask(ask(&provider.token(1))).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("404"), "{}", answer.text());
    drop(world);

    for (page, says) in [
        (moved, "302"),
        (
            json!({ "issuer": "https://other.example", "jwks_uri": "https://other.example/keys" })
                .to_string(),
            "another issuer",
        ),
        ("{}".to_owned(), "discovery document"),
        ("x".repeat(600 << 10), "cannot be read"),
    ] {
        let provider = Provider::start().await;
        let path = "/.well-known/openid-configuration";
        if page.starts_with("HTTP/") {
            provider.answer(path, page);
        } else {
            provider.serve(path, &page);
        }
        let world = World::of_issuer(&provider.url(), "").await;
        let answer = world.ask(ask(&provider.token(1))).await;
        assert_eq!((answer.status, answer.text().contains(says)), (503, true), "{}", answer.text());
    }
    assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0, "redirects are not followed");
}
