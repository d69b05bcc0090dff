//! What the MCP door hears about tokens that are shown to it.

use std::{sync::Arc, time::Duration};

use deed_gateway::{DecisionPoint, InForce, Suspension};
use deed_ledger::{Ledger, Options, now};
use deed_record::PrincipalType;
use deed_token::{Fingerprint, SigningKey};
use http::{HeaderMap, HeaderName, Method, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Asking, Challenge, Presented, Tokens};
use crate::settings::Settings;

const TICKETS: &str = "https://deed.example/mcp/tickets";
const IDP: &str = "https://idp.example";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

struct World {
    tokens: Arc<Tokens>,
    _dir: TempDir,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).expect("a key")
}

fn seconds() -> i64 {
    now().0 / 1_000_000
}

fn fresh() -> String {
    deed_ledger::fresh_id().expect("an id").to_string()
}

fn assertion(agent: &str, seed: u8) -> String {
    let claims = json!({
        "iss": agent, "sub": agent, "aud": "https://deed.example", "exp": seconds() + 60, "jti": fresh(),
    });
    key(seed).sign("JWT", &[], &claims).expect("signed")
}

/// Ann's token from her issuer, with `more` claims.
fn ann(more: Value) -> String {
    let mut claims = json!({
        "iss": IDP, "sub": "ann", "aud": "deed", "client_id": "desktop", "iat": seconds(), "exp": seconds() + 600,
        "scope": "tickets:read tickets:write",
    });
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    key(1).sign("at+jwt", &[], &claims).expect("signed")
}

fn proof(seed: u8, token: &str, method: &str, url: &str) -> String {
    proof_of(seed, token, method, url, seconds())
}

fn proof_of(seed: u8, token: &str, method: &str, url: &str, iat: i64) -> String {
    let ath = Fingerprint::of(token).0;
    let ath = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, ath);
    let mut claims = json!({ "htm": method, "htu": url, "iat": iat, "jti": fresh() });
    if !token.is_empty() {
        claims["ath"] = json!(ath);
    }
    let mut jwk = key(seed).public().to_jwk();
    for private in ["kid", "use", "alg"] {
        jwk.as_object_mut().expect("a key").remove(private);
    }
    key(seed).sign("dpop+jwt", &[("jwk", jwk)], &claims).expect("signed")
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let jwks = json!({ "keys": [key(1).public().to_jwk()] });
        std::fs::write(dir.path().join("idp.json"), jwks.to_string()).expect("written");
        let agent = |id: &str, seed, more: &str| {
            let jwk = key(seed).public().to_jwk();
            let jwk = format!("{{ kty = \"OKP\", crv = \"Ed25519\", x = {} }}", jwk["x"]);
            format!("[[agent]]\nid = \"{id}\"\ntenant = \"acme\"\njwk = {jwk}\n{more}")
        };
        let text = format!(
            "[tokens]\nissuer = \"https://deed.example\"\ntargets = [\"{TICKETS}\", \"https://deed.example/mcp/files\"]\n\
             [[issuer]]\nurl = \"{IDP}\"\naudiences = [\"deed\"]\njwks_file = \"idp.json\"\ntenant = \"acme\"\n{}{}",
            agent("coder", 2, &format!("names = {{ \"{IDP}\" = \"coder-client\" }}\n")),
            agent("reviewer", 3, ""),
        );
        let settings = Settings::parse(&text).expect("settings").token_service.expect("tokens");
        let options = Options { journal_file_bytes: 16 << 20, ..Options::default() };
        let ledger = Ledger::open(dir.path(), options).expect("a store");
        let tokens = Tokens::open(ledger, dir.path(), &settings, Duration::from_secs(3)).expect("a service");
        World { tokens: Arc::new(tokens), _dir: dir }
    }

    async fn exchange(&self, subject: &str, agent: (&str, u8), more: &str, dpop: Option<u8>) -> String {
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={subject}\
             &subject_token_type={ACCESS}&client_assertion={}\
             &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer{more}",
            assertion(agent.0, agent.1)
        );
        let dpop = dpop.map(|seed| proof(seed, "", "POST", "https://deed.example/oauth/token"));
        let reply = self.tokens.exchange(form, Ok(dpop)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["access_token"].as_str().expect("a token").to_owned()
    }

    async fn shown(&self, headers: &[(&'static str, &str)], resource: &str) -> Result<Presented, Challenge> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        self.tokens.verify(&all, &Method::POST, TICKETS, resource).await
    }

    async fn bearer(&self, token: &str, resource: &str) -> Result<Presented, Challenge> {
        self.shown(&[("authorization", &format!("Bearer {token}"))], resource).await
    }
}

#[tokio::test]
async fn a_token_of_deed_says_for_whom_who_and_by_which_record() {
    let world = World::new();
    let more = format!("&resource={TICKETS}&scope=tickets:read&deed_may_act=agent:reviewer&deed_task=t1");
    let first = world.exchange(&ann(json!({})), ("agent:coder", 2), &more, None).await;
    let handed = world.exchange(&first, ("agent:reviewer", 3), "", None).await;

    let shown = world.bearer(&handed, TICKETS).await.expect("it holds");
    assert_eq!(shown.initiator.as_ref().and_then(|who| who.key.as_deref()), Some("oidc:idp.example/ann"));
    assert_eq!(shown.initiator.as_ref().map(|who| who.kind), Some(PrincipalType::Human));
    assert_eq!(shown.executor.key.as_deref(), Some("agent:reviewer"));
    let chain: Vec<_> = shown.chain.iter().filter_map(|who| who.key.as_deref()).collect();
    assert_eq!(chain, ["agent:coder"]);
    assert_eq!((shown.tenant.as_str(), shown.task.as_deref()), ("acme", Some("t1")));
    let credential: Value = serde_json::from_str(shown.credential.get()).expect("JSON");
    assert_eq!(credential["scopes"], json!(["tickets:read"]));
    assert_eq!(credential["fingerprint"], Fingerprint::of(&handed).to_string());
    assert_eq!(credential["jti"], shown.grant.expect("a record").to_string());
    assert!(shown.details.is_empty() && shown.expires > now());
    assert!(shown.lineage.contains(&Fingerprint::of(&first).to_string()));
    assert!(!format!("{shown:?}").contains(&handed));

    // What it was made from is revoked, and so is it, at the next request.
    let form = format!("token={first}");
    let reply = world.tokens.revoke(form, Asking::Owner("local:uid-0".into())).await;
    assert_eq!(reply.status, 200);
    let challenge = world.bearer(&handed, TICKETS).await.expect_err("it is revoked");
    assert_eq!((challenge.status().as_u16(), challenge.error()), (401, Some("invalid_token")));
    let header = challenge.headers()[header::WWW_AUTHENTICATE].to_str().expect("text").to_owned();
    let expected = "Bearer resource_metadata=\"https://deed.example/.well-known/oauth-protected-resource/mcp/tickets\", \
                    error=\"invalid_token\"";
    assert_eq!(header, expected);
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused() {
    let world = World::new();
    let own = world
        .exchange(&ann(json!({})), ("agent:coder", 2), "&resource=https://deed.example/mcp/files", None)
        .await;
    assert!(world.bearer(&own, "https://deed.example/mcp/files").await.is_ok());
    // For Deed's token service, for another resource, for nobody.
    let others = [own, ann(json!({})), ann(json!({ "aud": "https://deed.example/mcp/files" }))];
    for token in &others {
        let challenge = world.bearer(token, TICKETS).await.expect_err("it is for another");
        assert_eq!(challenge.error(), Some("invalid_token"));
        assert!(!challenge.why().contains(token.as_str()));
    }
}

#[tokio::test]
async fn a_token_of_a_trusted_issuer_for_the_resource_is_its_subject_and_its_client() {
    let world = World::new();
    let token = ann(json!({ "aud": TICKETS, "client_id": "coder-client" }));
    let shown = world.bearer(&token, TICKETS).await.expect("it holds");
    assert_eq!(shown.initiator.and_then(|who| who.key).as_deref(), Some("oidc:idp.example/ann"));
    assert_eq!(shown.executor.key.as_deref(), Some("agent:coder"));
    assert_eq!(shown.grant, None);
    assert!(shown.scope.contains("tickets:write"));

    let claimed = world.bearer(&ann(json!({ "aud": TICKETS })), TICKETS).await.expect("it holds");
    assert_eq!(claimed.executor.key.as_deref(), Some("oidc:idp.example/desktop"));
    let program = ann(json!({ "aud": TICKETS, "client_id": "robot", "sub": "robot" }));
    let program = world.bearer(&program, TICKETS).await.expect("it holds");
    assert_eq!(program.initiator, None);
    assert_eq!(program.executor.kind, PrincipalType::ServiceAccount);

    let strangers = json!({ "aud": TICKETS, "iss": "https://evil.example" });
    assert!(world.bearer(&ann(strangers), TICKETS).await.is_err());
    let bound = ann(json!({ "aud": TICKETS, "cnf": { "jkt": key(7).public().thumbprint().to_string() } }));
    assert!(world.bearer(&bound, TICKETS).await.is_err(), "a bound token is shown with a proof");
}

#[tokio::test]
async fn a_bound_token_needs_its_key_and_each_proof_once() {
    let world = World::new();
    let more = format!("&resource={TICKETS}");
    let token = world.exchange(&ann(json!({})), ("agent:coder", 2), &more, Some(7)).await;
    let value = format!("DPoP {token}");
    let good = proof(7, &token, "POST", TICKETS);
    assert!(world.shown(&[("authorization", &value), ("dpop", &good)], TICKETS).await.is_ok());

    let again = world.shown(&[("authorization", &value), ("dpop", &good)], TICKETS).await;
    assert_eq!(again.expect_err("used").error(), Some("invalid_dpop_proof"));
    let second = proof(7, &token, "POST", TICKETS);
    for wrong in [
        vec![("authorization", value.as_str())],
        vec![("authorization", &value), ("dpop", &proof(8, &token, "POST", TICKETS))],
        vec![("authorization", &value), ("dpop", &proof(7, &token, "GET", TICKETS))],
        vec![("authorization", &value), ("dpop", &proof(7, "x", "POST", TICKETS))],
        vec![
            ("authorization", &value),
            ("dpop", &proof(7, &token, "POST", "https://deed.example/mcp/files")),
        ],
        vec![("authorization", &value), ("dpop", &second), ("dpop", &second)],
        vec![("authorization", &format!("Bearer {token}")), ("dpop", &proof(7, &token, "POST", TICKETS))],
    ] {
        let challenge = world.shown(&wrong, TICKETS).await.expect_err("no proof");
        assert_eq!(challenge.error(), Some("invalid_dpop_proof"), "{wrong:?}");
        let headers = challenge.headers();
        let mut told =
            headers.get_all(header::WWW_AUTHENTICATE).iter().map(|told| told.to_str().expect("text"));
        let (Some(bearer), Some(dpop), None) = (told.next(), told.next(), told.next()) else {
            panic!("{headers:?}")
        };
        assert!(bearer.starts_with("Bearer ") && !bearer.contains("error"), "{bearer}");
        assert!(dpop.starts_with("DPoP ") && dpop.contains("error=\"invalid_dpop_proof\""), "{dpop}");
        assert!(dpop.contains("algs=\"ES256 EdDSA "), "{dpop}");
    }
    // Whatever else it may be, an old one is told to be old.
    let old = proof_of(7, &token, "POST", TICKETS, seconds() - 3600);
    let old = world.shown(&[("authorization", &value), ("dpop", &old)], TICKETS).await.expect_err("old");
    assert!(old.why().contains("`iat`"), "{}", old.why());
}

#[tokio::test]
async fn what_is_no_token_is_sent_to_sign_in() {
    let world = World::new();
    let absent = world.shown(&[], TICKETS).await.expect_err("nothing shown");
    assert_eq!((absent.status().as_u16(), absent.error()), (401, None));
    let text = absent.headers()[header::WWW_AUTHENTICATE].to_str().expect("text").to_owned();
    assert!(text.starts_with("Bearer resource_metadata=") && !text.contains("error"), "{text}");
    for (value, status) in [("Basic YTpi", 401), ("Bearer", 400), ("Bearer x", 401), ("Bearer a.b.c", 401)] {
        let challenge = world.shown(&[("authorization", value)], TICKETS).await.expect_err(value);
        assert_eq!(challenge.status().as_u16(), status, "{value}");
    }
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!(world.shown(&twice, TICKETS).await.expect_err("two").status().as_u16(), 400);
    let scope = Challenge::scope(TICKETS, "tickets:write");
    assert_eq!(scope.status().as_u16(), 403);
    let text = scope.headers()[header::WWW_AUTHENTICATE].to_str().expect("text").to_owned();
    assert!(text.ends_with("error=\"insufficient_scope\", scope=\"tickets:write\""), "{text}");
}

#[tokio::test]
async fn a_token_of_another_issuer_is_suspended_by_its_id_with_all_that_came_of_it() {
    let world = World::new();
    let sent = ann(json!({ "jti": "idp-7" }));
    let first = world.exchange(&sent, ("agent:coder", 2), &format!("&resource={TICKETS}"), None).await;
    let direct = ann(json!({ "jti": "idp-7", "aud": TICKETS }));
    let shown = world.bearer(&direct, TICKETS).await.expect("it holds");
    let credential: Value = serde_json::from_str(shown.credential.get()).expect("JSON");
    assert_eq!(credential["jti"], "idp-7", "it can be found by that");
    assert!(shown.lineage.contains(&"idp-7".to_owned()));
    assert!(world.bearer(&first, TICKETS).await.is_ok());

    let point = DecisionPoint::new(world.tokens.ledger.clone(), InForce::default(), Duration::from_secs(3));
    let by = "human:bob".parse().expect("TYPE:NAME");
    let said = Suspension { what: "idp-7".into(), credential: true, suspended: true, by, reason: None };
    point.suspend(&said, "default").await.expect("recorded");
    world.tokens.look_again();
    for token in [&direct, &first] {
        let challenge = world.bearer(token, TICKETS).await.expect_err("suspended");
        assert_eq!(challenge.error(), Some("invalid_token"));
    }
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={sent}&resource={TICKETS}\
         &subject_token_type={ACCESS}&client_assertion={}\
         &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        assertion("agent:coder", 2)
    );
    assert_eq!(world.tokens.exchange(form, Ok(None)).await.body["error"], "unauthorized_client");
    // Another one of the same issuer's goes on.
    assert!(world.bearer(&ann(json!({ "jti": "idp-8", "aud": TICKETS })), TICKETS).await.is_ok());
}

#[tokio::test]
async fn an_agent_that_is_known_is_no_stranger_though_its_subject_token_is_wrong() {
    let world = World::new();
    let mut sent = ann(json!({}));
    sent.truncate(sent.len() - 4);
    let form = |assertion: &str| {
        format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={sent}AAAA&resource={TICKETS}\
             &subject_token_type={ACCESS}&client_assertion={assertion}\
             &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        )
    };
    let mut is_refused = false;
    // A moment after the last stranger another one is let in.
    for _ in 0..20 {
        while world.tokens.strangers.admit() {}
        let known = world.tokens.exchange(form(&assertion("agent:coder", 2)), Ok(None)).await;
        assert_eq!((known.status.as_u16(), &known.body["error"]), (400, &json!("invalid_request")));
        while world.tokens.strangers.admit() {}
        let stranger = world.tokens.exchange(form(&assertion("agent:coder", 9)), Ok(None)).await;
        is_refused |= stranger.status == 503;
    }
    assert!(is_refused);
}
