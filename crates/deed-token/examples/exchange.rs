//! Exchanges a second on one core: `cargo run --release -p deed-token --example exchange`.
//!
//! Each is a whole request: the form is read, the person's token (ES256) and the agent's assertion (Ed25519)
//! are verified, the grant is decided, noted and signed (Ed25519). Then the same with a DPoP proof, as a
//! hand-off of a token of ours, and what a resource does with each token it is shown.

use std::{
    error::Error,
    sync::Mutex,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use deed_record::Timestamp;
use deed_token::{
    Agent, Evidence, Expected, Issuer, KeySet, OidcIssuer, Policy, Proof, ReplaySet, Request, Secret,
    SigningKey, State, TokenType, Trust, authenticate, exchange, policy::Reach, trust::TenantOf,
};
use serde_json::json;

const SERVICE: &str = "https://deed.example";
const ENDPOINT: &str = "https://deed.example/oauth/token";
const IDP: &str = "https://idp.example";
const RESOURCE: &str = "https://tickets.example/mcp";
const NOW: i64 = 1_790_000_000;
const ROUNDS: usize = 10_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut service = Service::new()?;
    let person = service.idp.sign(
        "JWT",
        &[],
        &json!({
            "iss": IDP, "sub": "ann", "aud": "deed", "iat": NOW, "exp": NOW + 3600,
            "scope": "tickets:read tickets:write",
        }),
    )?;

    let forms = service.forms(&person, "planner", "&deed_may_act=agent:coder")?;
    let mut tokens = Vec::with_capacity(ROUNDS);
    print("a person's token and an agent's", ROUNDS, || {
        for (at, form) in forms.iter().enumerate() {
            tokens.push(service.answer(form, None, &format!("a{at}"))?);
        }
        Ok(())
    })?;

    let forms = service.forms(&person, "planner", "")?;
    let proofs: Vec<String> = (0..ROUNDS).map(|at| service.proof(at)).collect::<Result<_>>()?;
    print("the same with a DPoP proof", ROUNDS, || {
        for (at, (form, proof)) in forms.iter().zip(&proofs).enumerate() {
            service.answer(form, Some(proof), &format!("b{at}"))?;
        }
        Ok(())
    })?;

    let forms: Vec<String> = tokens
        .iter()
        .map(|token| Ok(service.forms_of(token.expose(), "coder", "&scope=tickets:read", 1)?.remove(0)))
        .collect::<Result<_>>()?;
    print("handed on to a second agent", ROUNDS, || {
        for (at, form) in forms.iter().enumerate() {
            service.answer(form, None, &format!("c{at}"))?;
        }
        Ok(())
    })?;

    print("verified and looked up by a resource", ROUNDS, || {
        for token in &tokens {
            let own = service.issuer.verify_for(token.expose(), RESOURCE, now())?;
            service.state.check(&own.terms().jti, now())?;
        }
        Ok(())
    })
}

/// Runs `work` and prints how often a second it was done.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn print(what: &str, times: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work()?;
    let each: Duration = start.elapsed() / u32::try_from(times)?;
    println!("{what:<40} {:>8.0}/s  {:>6.1} µs", 1.0 / each.as_secs_f64(), each.as_secs_f64() * 1e6);
    Ok(())
}

fn now() -> Timestamp {
    Timestamp(NOW * 1_000_000)
}

struct Service {
    trust: Trust,
    issuer: Issuer,
    policy: Policy,
    state: State,
    used: Mutex<ReplaySet>,
    idp: SigningKey,
    dpop: SigningKey,
    made: usize,
}

impl Service {
    fn new() -> Result<Self> {
        let idp = es256()?;
        let mut trust = Trust::new(SERVICE, ENDPOINT);
        let keys = KeySet::of(vec![idp.public().clone()]);
        trust.add_issuer(OidcIssuer::new(IDP, "deed", TenantOf::Fixed("acme".into()), keys))?;
        for name in ["planner", "coder"] {
            trust.add_agent(Agent::new(name, "acme", KeySet::of(vec![agent(name)?.public().clone()])))?;
        }
        let mut policy = Policy::default();
        policy.targets.insert(RESOURCE.into(), Reach::All);
        Ok(Service {
            trust,
            issuer: Issuer::new(SERVICE, SigningKey::ed25519(&[9; 32])?),
            policy,
            state: State::new(),
            used: Mutex::new(ReplaySet::new(1_000_000)),
            idp,
            dpop: es256()?,
            made: 0,
        })
    }

    fn forms(&mut self, subject: &str, agent: &str, more: &str) -> Result<Vec<String>> {
        self.forms_of(subject, agent, more, ROUNDS)
    }

    fn forms_of(&mut self, subject: &str, name: &str, more: &str, times: usize) -> Result<Vec<String>> {
        let (key, id) = (agent(name)?, format!("agent:{name}"));
        let kind = TokenType::AccessToken.uri();
        let mut form = || {
            self.made += 1;
            let claims = json!({ "iss": id, "sub": id, "aud": SERVICE, "exp": NOW + 60, "jti": self.made.to_string() });
            Ok(format!(
                "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={subject}\
                 &subject_token_type={kind}&client_assertion={}\
                 &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer\
                 &resource={RESOURCE}{more}",
                key.sign("JWT", &[], &claims)?
            ))
        };
        (0..times).map(|_| form()).collect()
    }

    fn proof(&self, at: usize) -> Result<String> {
        let claims = json!({ "htm": "POST", "htu": ENDPOINT, "iat": NOW, "jti": at.to_string() });
        Ok(self.dpop.sign("dpop+jwt", &[("jwk", self.dpop.public().to_jwk())], &claims)?)
    }

    /// What the token endpoint does, but for the record.
    fn answer(&mut self, form: &str, proof: Option<&str>, jti: &str) -> Result<Secret> {
        let request = Request::parse(form)?;
        let (subject, actor) = authenticate(&request, &self.trust, &self.issuer, now(), &self.used)?;
        let expected = Expected { method: "POST", uri: ENDPOINT, token: None, nonce: None, window: 60 };
        let proof = proof.map(|proof| Proof::verify(proof, expected, now(), &self.used)).transpose()?;
        let evidence = Evidence { subject: &subject, actor: &actor, proof: proof.as_ref() };
        let grant = exchange(&request, evidence, &self.policy, &self.state, now(), jti)?;
        self.state.apply(&grant.event());
        Ok(self.issuer.sign(&grant)?)
    }
}

fn agent(name: &str) -> Result<SigningKey> {
    Ok(SigningKey::ed25519(&[u8::try_from(name.len())?; 32])?)
}

fn es256() -> Result<SigningKey> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    Ok(SigningKey::es256(pkcs8.as_ref())?)
}
