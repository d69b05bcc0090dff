//! A server with a token service, agents with keys, and Ann, who has a token of her issuer.

use std::{net::SocketAddr, path::Path};

use deed_server::{Server, settings::Settings};
use deed_token::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, Answer, call, options, post, with};

pub(super) const IDP: &str = "https://idp.example";
pub(super) const TICKETS: &str = "https://deed.example/mcp/tickets";
pub(super) const FILES: &str = "https://deed.example/mcp/files";
pub(super) const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const FORM: &str = "application/x-www-form-urlencoded";

/// Agents by the seeds of their keys; the spy is of another tenant.
const AGENTS: [(&str, u8, &str); 4] =
    [("coder", 12, "acme"), ("reviewer", 13, "acme"), ("runner", 14, "acme"), ("spy", 15, "globex")];

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).unwrap()
}

pub(super) fn seconds() -> i64 {
    deed_ledger::now().0 / 1_000_000
}

/// With a fraction: what is made in the second in which a server begins is told from what is older.
fn precisely() -> f64 {
    deed_ledger::now().0 as f64 / 1e6
}

pub(super) fn fresh() -> String {
    deed_ledger::fresh_id().unwrap().to_string()
}

fn merged(mut claims: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Ann's token, with `more` claims.
pub(super) fn ann(more: Value) -> String {
    let claims = json!({
        "iss": IDP, "sub": "ann", "aud": "deed", "client_id": "desktop", "iat": seconds(), "exp": seconds() + 600,
        "scope": "tickets:read tickets:write", "jti": fresh(),
    });
    key(1).sign("at+jwt", &[], &merged(claims, more)).unwrap()
}

/// What an agent says who it is by.
pub(super) fn assertion(agent: &str, seed: u8, more: Value) -> String {
    let claims = json!({
        "iss": agent, "sub": agent, "aud": "https://deed.example", "iat": precisely(), "exp": seconds() + 60,
        "jti": fresh(),
    });
    key(seed).sign("JWT", &[], &merged(claims, more)).unwrap()
}

fn assertion_of(agent: &str) -> String {
    let seed = AGENTS.iter().find(|(name, _, _)| *name == agent).map_or(99, |(_, seed, _)| *seed);
    assertion(&format!("agent:{agent}"), seed, json!({}))
}

/// What is asked of the token endpoint.
pub(super) struct Ask {
    subject: String,
    assertion: String,
    more: String,
    proof: Option<String>,
}

impl Ask {
    pub(super) fn of(subject: &str, agent: &str) -> Self {
        Ask { subject: subject.into(), assertion: assertion_of(agent), more: String::new(), proof: None }
    }

    pub(super) fn with(self, more: &str) -> Self {
        Ask { more: format!("&{more}"), ..self }
    }

    pub(super) fn by(self, assertion: &str) -> Self {
        Ask { assertion: assertion.into(), ..self }
    }

    pub(super) fn dpop(self, proof: &str) -> Self {
        Ask { proof: Some(proof.into()), ..self }
    }

    pub(super) fn form(&self) -> String {
        format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={}&subject_token_type={ACCESS}\
             &client_assertion={}&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer{}",
            self.subject, self.assertion, self.more
        )
    }
}

pub(super) struct World {
    pub(super) server: Server,
    settings: Settings,
    dir: TempDir,
}

impl World {
    pub(super) async fn start() -> Self {
        World::with("jwks_file = \"idp.json\"").await
    }

    /// With these keys of Ann's issuer.
    pub(super) async fn with(keys: &str) -> Self {
        World::of_issuer(IDP, keys).await
    }

    pub(super) async fn of_issuer(issuer: &str, keys: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        World::at(dir, issuer, keys).await
    }

    /// With a trust domain whose bundle is that.
    pub(super) async fn beside(bundle: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("acme.json"), bundle).unwrap();
        let domain =
            "[[trust_domain]]\nname = \"acme.example\"\nbundle_file = \"acme.json\"\ntenant = \"acme\"";
        World::at(dir, IDP, &format!("jwks_file = \"idp.json\"\n{domain}")).await
    }

    async fn at(dir: TempDir, issuer: &str, keys: &str) -> Self {
        World::before(dir, issuer, keys, "url = \"http://127.0.0.1:9/mcp\"").await
    }

    /// Before a server with these settings.
    pub(super) async fn serving(tickets: &str) -> Self {
        World::before(tempfile::tempdir().unwrap(), IDP, "jwks_file = \"idp.json\"", tickets).await
    }

    async fn before(dir: TempDir, issuer: &str, keys: &str, tickets: &str) -> Self {
        let settings = settings(dir.path(), issuer, keys, tickets);
        let server = support::open(dir.path(), settings.clone(), options()).await;
        World { server, settings, dir }
    }

    pub(super) async fn restart(&mut self) {
        let empty = tempfile::tempdir().unwrap();
        let other = support::open(empty.path(), Settings::default(), options()).await;
        std::mem::replace(&mut self.server, other).shutdown().await.unwrap();
        let again = support::open(self.dir.path(), self.settings.clone(), options()).await;
        std::mem::replace(&mut self.server, again).shutdown().await.unwrap();
    }

    pub(super) fn http(&self) -> SocketAddr {
        self.server.addresses().http.unwrap()
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn size(&self) -> u64 {
        self.server.engine().ledger().size()
    }

    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        let mut request = post("/oauth/token", FORM, ask.form());
        if let Some(proof) = &ask.proof {
            request = with(request, "dpop", proof);
        }
        call(self.http(), request).await
    }

    pub(super) async fn token(&self, ask: Ask) -> String {
        let answer = self.ask(ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn introspect(&self, token: &str) -> Value {
        let form = format!(
            "token={token}&client_assertion={}&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            assertion_of("runner")
        );
        let answer = call(self.http(), post("/oauth/introspect", FORM, form)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub(super) async fn revoke(&self, token: &str, agent: Option<&str>) -> Answer {
        let mut form = format!("token={token}");
        if let Some(agent) = agent {
            form += &format!(
                "&client_assertion={}&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                assertion_of(agent)
            );
        }
        call(self.http(), post("/oauth/revoke", FORM, form)).await
    }

    /// A proof of possession for the token endpoint.
    pub(super) fn proof(&self, seed: u8) -> String {
        let mut jwk = key(seed).public().to_jwk();
        for more in ["kid", "use", "alg"] {
            jwk.as_object_mut().unwrap().remove(more);
        }
        let claims = json!({
            "htm": "POST", "htu": "https://deed.example/oauth/token", "iat": precisely(), "jti": fresh(),
        });
        key(seed).sign("dpop+jwt", &[("jwk", jwk)], &claims).unwrap()
    }
}

fn settings(dir: &Path, issuer: &str, keys: &str, tickets: &str) -> Settings {
    let jwks = json!({ "keys": [key(1).public().to_jwk()] });
    std::fs::write(dir.join("idp.json"), jwks.to_string()).unwrap();
    let mut text = format!(
        "[mcp.tickets]\n{tickets}\n[tokens]\nissuer = \"https://deed.example\"\ntargets = [\"{TICKETS}\", \"{FILES}\"]\n\
         transaction_domain = \"acme.internal\"\n\
         [[issuer]]\nurl = \"{issuer}\"\naudiences = [\"deed\"]\ntenant = \"acme\"\n{keys}\n"
    );
    for (name, seed, tenant) in AGENTS {
        let x = key(seed).public().to_jwk()["x"].clone();
        text += &format!(
            "[[agent]]\nid = \"{name}\"\ntenant = \"{tenant}\"\njwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = {x} }}\n"
        );
    }
    Settings::parse(&text).unwrap()
}
