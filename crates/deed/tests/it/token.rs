//! `deed token` on a store of this machine.

use base64::{Engine, engine::general_purpose::STANDARD};
use deed_token::SigningKey;
use serde_json::{Value, json};

use crate::support::Home;

const TICKETS: &str = "https://deed.example/mcp/tickets";

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).unwrap()
}

/// PKCS #8, as OpenSSL writes it.
fn pem(seed: u8) -> String {
    let prefix =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let der = STANDARD.encode([&prefix[..], &[seed; 32]].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n")
}

/// A store with a token service, two agents, and Ann's token in `ann.jwt`.
fn home() -> Home {
    let home = Home::new();
    let agent = |id: &str, seed: u8| {
        let x = key(seed).public().to_jwk()["x"].clone();
        format!("[[agent]]\nid = \"{id}\"\njwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = {x} }}\n")
    };
    home.write(
        "store/deed.toml",
        format!(
            "[tokens]\nissuer = \"https://deed.example\"\ntargets = [\"{TICKETS}\"]\n\
             [[issuer]]\nurl = \"https://idp.example\"\naudiences = [\"deed\"]\njwks_file = \"trust/idp.json\"\n{}{}",
            agent("coder", 2),
            agent("reviewer", 3)
        ),
    );
    home.write("store/trust/idp.json", json!({ "keys": [key(1).public().to_jwk()] }).to_string());
    for (name, seed) in [("coder.pem", 2), ("reviewer.pem", 3), ("dpop.pem", 4)] {
        home.write(name, pem(seed));
    }
    let now = deed_ledger::now().0 / 1_000_000;
    let claims = json!({
        "iss": "https://idp.example", "sub": "ann", "aud": "deed", "iat": now, "exp": now + 600,
        "scope": "tickets:read tickets:write",
    });
    home.write("ann.jwt", key(1).sign("at+jwt", &[], &claims).unwrap() + "\n");
    home.run(["append", crate::support::examples().join("i9.ndjson").to_str().unwrap()]).good();
    home
}

fn exchange(home: &Home, subject: &str, agent: &str, more: &[&str]) -> crate::support::Ran {
    let (subject, pem) = (home.path(subject), home.path(&format!("{agent}.pem")));
    let agent = format!("agent:{agent}");
    let mut all = vec!["token", "exchange", "--subject-token", subject.to_str().unwrap(), "--agent", &agent];
    all.extend(["--key", pem.to_str().unwrap()]);
    all.extend(more);
    home.run(all)
}

fn parts(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    serde_json::from_slice(&engine.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_token_is_exchanged_handed_on_and_revoked() {
    let home = home();
    let dpop = home.path("dpop.pem");
    let more =
        ["--resource", TICKETS, "--scope", "tickets:read", "--may-act", "agent:reviewer", "--task", "t1"];
    let first = exchange(&home, "ann.jwt", "coder", &more).good().json();
    assert_eq!((&first["token_type"], &first["scope"]), (&json!("Bearer"), &json!("tickets:read")));
    home.write("first.jwt", first["access_token"].as_str().unwrap());

    let bound = ["--dpop-key", dpop.to_str().unwrap(), "--expires-in", "60", "--hops", "0"];
    let handed = exchange(&home, "first.jwt", "reviewer", &bound).good().json();
    assert_eq!(handed["token_type"], "DPoP");
    let claims = parts(&handed["access_token"]);
    assert_eq!((&claims["act"]["sub"], &claims["deed"]["task"]), (&json!("agent:reviewer"), &json!("t1")));
    assert_eq!(claims["act"]["act"]["sub"], "agent:coder");
    let keys = home.run(["keys", "--json"]).good().json();
    assert!(
        keys["jwks"]["keys"].as_array().unwrap().iter().any(|key| key["kid"].as_str().unwrap().len() == 43)
    );

    // More than may be given is denied, and says what.
    let wider = exchange(&home, "first.jwt", "reviewer", &["--scope", "tickets:write"]);
    assert_eq!(wider.code, 6, "{}", wider.err);
    assert!(wider.err.contains("invalid_scope") && wider.err.contains("tickets:write"), "{}", wider.err);

    let first = home.path("first.jwt");
    let revoke = ["token", "revoke", first.to_str().unwrap()];
    assert_eq!(home.run(revoke).good().out, "revoked\n");
    let again = exchange(&home, "first.jwt", "reviewer", &[]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("revoked"), "{}", again.err);
    // Keys of the service and of those it believes are no strangers in the store.
    home.run(["verify"]).good();
    for secret in ["first.jwt", "ann.jwt"] {
        let token = std::fs::read_to_string(home.path(secret)).unwrap();
        assert!(!again.err.contains(token.trim()) && !wider.err.contains(token.trim()));
    }
}

#[test]
fn what_is_missing_is_named() {
    let home = home();
    let nobody = home.run(["token", "exchange", "--resource", TICKETS]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("--agent"), "{}", nobody.err);
    let (ann, public) = (home.path("ann.jwt"), home.write("public.pem", "-----BEGIN PUBLIC KEY-----\n"));
    let (ann, public) = (ann.to_str().unwrap(), public.to_str().unwrap().to_owned());
    let wrong =
        home.run(["token", "exchange", "--subject-token", ann, "--agent", "agent:coder", "--key", &public]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("openssl genpkey"), "{}", wrong.err);

    let plain = Home::with_migration();
    plain.write("ann.jwt", "a.b.c");
    plain.write("coder.pem", pem(2));
    let without = exchange(&plain, "ann.jwt", "coder", &[]);
    assert_eq!(without.code, 3, "{}", without.err);
    assert!(without.err.contains("[tokens]"), "{}", without.err);
}
