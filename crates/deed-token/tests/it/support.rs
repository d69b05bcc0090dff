//! A small world: one token service, two tenants, people and agents, and short ways to ask for tokens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use deed_record::Timestamp;
use deed_token::{
    Agent, Evidence, ExchangeError, Expected, Grant, Issuer, KeySet, OidcIssuer, OwnToken, Policy, Proof,
    ReplaySet, Request, Secret, SigningKey, State, TokenType, Trust, VerifyError, authenticate, exchange,
    policy::Reach, scope::Scope, trust::TenantOf,
};
use serde_json::{Value, json};

pub(crate) const SERVICE: &str = "https://deed.example";
pub(crate) const ENDPOINT: &str = "https://deed.example/oauth/token";
pub(crate) const IDP: &str = "https://idp.example/realms/acme";
pub(crate) const OTHER_IDP: &str = "https://idp.example/realms/globex";
pub(crate) const TICKETS: &str = "https://tickets.example/mcp";
pub(crate) const FILES: &str = "https://files.example/mcp";
pub(crate) const GLOBEX_ONLY: &str = "https://globex.example/mcp";
/// 2026-09-21, in seconds.
pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519(&[seed; 32]).unwrap()
}

pub(crate) fn set(key: &SigningKey) -> KeySet {
    KeySet::of(vec![key.public().clone()])
}

/// A number that was not given before in this run.
pub(crate) fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("id-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) struct World {
    pub(crate) trust: Trust,
    pub(crate) issuer: Issuer,
    pub(crate) policy: Policy,
    pub(crate) state: State,
    pub(crate) used: Mutex<ReplaySet>,
    pub(crate) idp: SigningKey,
    pub(crate) other_idp: SigningKey,
}

/// Agents of tenant `acme`, by the seeds of their keys; `spy` is `globex`'s.
pub(crate) const AGENTS: [(&str, u8); 5] =
    [("planner", 11), ("coder", 12), ("reviewer", 13), ("runner", 14), ("spy", 15)];

impl World {
    pub(crate) fn new() -> Self {
        let (idp, other_idp) = (key(1), key(2));
        let mut trust = Trust::new(SERVICE, ENDPOINT);
        let tenant = |name: &str| TenantOf::Fixed(name.into());
        trust.add_issuer(OidcIssuer::new(IDP, "deed", tenant("acme"), set(&idp))).unwrap();
        trust.add_issuer(OidcIssuer::new(OTHER_IDP, "deed", tenant("globex"), set(&other_idp))).unwrap();
        for (name, seed) in AGENTS {
            let tenant = if name == "spy" { "globex" } else { "acme" };
            trust.add_agent(Agent::new(name, tenant, set(&key(seed)))).unwrap();
        }
        let mut policy = Policy::default();
        for target in [TICKETS, FILES, "agent:coder", "agent:reviewer"] {
            policy.targets.insert(target.into(), Reach::All);
        }
        policy.targets.insert(GLOBEX_ONLY.into(), Reach::Tenants(["globex".to_owned()].into()));
        World {
            trust,
            issuer: Issuer::new(SERVICE, key(9)),
            policy,
            state: State::new(),
            used: Mutex::new(ReplaySet::new(10_000)),
            idp,
            other_idp,
        }
    }

    /// Ann's access token of `acme`'s issuer, an hour long, with `more` claims (`null` takes one away).
    pub(crate) fn ann(&self, more: Value) -> String {
        let claims = json!({
            "iss": IDP, "sub": "ann", "aud": ["deed", "other"], "azp": "desktop",
            "iat": NOW, "exp": NOW + 3600, "scope": "openid tickets:read tickets:write files:read",
        });
        self.idp.sign("JWT", &[], &merged(claims, more)).unwrap()
    }

    /// The exchange of a form, without grant type and tokens, at `now`.
    pub(crate) fn ask(&mut self, ask: Ask<'_>) -> Result<Token, ExchangeError> {
        let request = Request::parse(&ask.form())?;
        let (grant, token) = self.answer(&request, ask.proof, ask.now)?;
        let own = self.issuer.verify(token.expose(), at(ask.now)).unwrap();
        Ok(Token { grant, own, text: token })
    }

    pub(crate) fn answer(
        &mut self,
        request: &Request,
        proof: Option<&SigningKey>,
        now: i64,
    ) -> Result<(Grant, Secret), ExchangeError> {
        let (subject, actor) = authenticate(request, &self.trust, &self.issuer, at(now), &self.used)?;
        let proof = proof.map(|key| {
            let expected = Expected { method: "POST", uri: ENDPOINT, token: None, nonce: None, window: 60 };
            Proof::verify(&dpop(key, now, json!({})), expected, at(now), &self.used).unwrap()
        });
        let evidence = Evidence { subject: &subject, actor: &actor, proof: proof.as_ref() };
        let grant = exchange(request, evidence, &self.policy, &self.state, at(now), &fresh())?;
        let token = self.issuer.sign(&grant).unwrap();
        self.state.apply(&grant.event());
        Ok((grant, token))
    }

    /// A token for the planner on behalf of Ann, for both resources.
    pub(crate) fn planner(&mut self, form: &str) -> Token {
        let ann = self.ann(json!({}));
        let form = format!("resource={TICKETS}&resource={FILES}&scope=tickets:read+tickets:write{form}");
        self.ask(Ask::new(&ann, "planner", &form)).unwrap()
    }
}

/// What is said to a subject token of Ann's issuer.
pub(crate) fn subject(world: &World, token: &str) -> Result<String, VerifyError> {
    world.trust.subject(token, TokenType::Jwt, &world.issuer, at(NOW)).map(|subject| subject.key().to_owned())
}

/// A token that was issued.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) grant: Grant,
    pub(crate) own: OwnToken,
    pub(crate) text: Secret,
}

impl Token {
    pub(crate) fn text(&self) -> &str {
        self.text.expose()
    }

    pub(crate) fn jti(&self) -> &str {
        &self.own.terms().jti
    }
}

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) subject: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) form: &'a str,
    pub(crate) proof: Option<&'a SigningKey>,
    pub(crate) now: i64,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(subject: &'a str, agent: &'a str, form: &'a str) -> Self {
        Ask { subject, agent, form, proof: None, now: NOW }
    }

    pub(crate) fn at(self, now: i64) -> Self {
        Ask { now, ..self }
    }

    pub(crate) fn with_proof(self, key: &'a SigningKey) -> Self {
        Ask { proof: Some(key), ..self }
    }

    fn form(&self) -> String {
        let assertion = assertion(self.agent, self.now, json!({}));
        let kind = TokenType::AccessToken.uri();
        format!(
            "{}&subject_token={}&subject_token_type={kind}&{}",
            client(&assertion),
            self.subject,
            self.form
        )
    }
}

/// Grant type and client assertion of a form.
pub(crate) fn client(assertion: &str) -> String {
    format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_assertion={assertion}\
         &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
}

/// A fresh client assertion of an agent.
pub(crate) fn assertion(agent: &str, now: i64, more: Value) -> String {
    let (_, seed) = AGENTS.into_iter().find(|(name, _)| *name == agent).unwrap();
    let name = format!("agent:{agent}");
    let claims = json!({ "iss": name, "sub": name, "aud": SERVICE, "exp": now + 60, "jti": fresh() });
    key(seed).sign("JWT", &[], &merged(claims, more)).unwrap()
}

/// A DPoP proof for the token endpoint.
pub(crate) fn dpop(key: &SigningKey, now: i64, more: Value) -> String {
    let claims = json!({ "htm": "POST", "htu": ENDPOINT, "iat": now, "jti": fresh() });
    let mut jwk = key.public().to_jwk();
    let jwk = jwk.as_object_mut().unwrap();
    jwk.retain(|name, _| matches!(name.as_str(), "kty" | "crv" | "x" | "y"));
    key.sign("dpop+jwt", &[("jwk", json!(jwk))], &merged(claims, more)).unwrap()
}

pub(crate) fn merged(mut claims: Value, more: Value) -> Value {
    let object = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            _ => object.insert(name.clone(), value.clone()),
        };
    }
    claims
}

pub(crate) fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

/// A JWT of exactly these bytes, signed with the Ed25519 key of `seed`, whatever the header says.
pub(crate) fn signed(seed: u8, header: &str, payload: &str) -> String {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let signed = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
    let signature = b64(pair.sign(signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
