//! How fast a person's token and an agent's own word become one token that says both (RFC 8693), each recorded
//! before it is given.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use deed_ledger::{fresh_id, now};
use deed_token::SigningKey;
use serde_json::json;

use crate::{Outcome, figure, grouped, heading, http::Client, server};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const CLIENTS: usize = 64;
const EACH: usize = 400;
const FORM: &str = "application/x-www-form-urlencoded";
const ISSUER: &str = "https://deed.example";
const RESOURCE: &str = "https://deed.example/mcp/tools";
const IDP: &str = "https://idp.example";

pub(crate) fn run(dir: &Path) -> Outcome {
    heading("Token exchange: 64 clients, a person's token and an agent's assertion for one that says both");
    let (idp, agent) = (key(1)?, key(2)?);
    let dir = dir.join("tokens");
    write_settings(&dir, &idp, &agent)?;
    let running = server::start(&dir)?;
    let started = Instant::now();
    let forms = (0..CLIENTS * EACH).map(|_| form(&idp, &agent)).collect::<Result<Vec<_>, _>>()?;
    let signing = started.elapsed() / u32::try_from(forms.len())?;
    let started = Instant::now();
    let mut times = exchange(running.address, &forms)?;
    let took = started.elapsed();
    running.stop()?;
    times.sort_unstable();
    figure(
        "tokens issued, each a durable record",
        format!("{}/s", grouped(times.len() as f64 / took.as_secs_f64())),
        format!("p50 {:.2?}, p99 {:.2?}", times[times.len() / 2], times[times.len() * 99 / 100]),
    );
    figure("beside it: to sign the two that are shown", format!("{signing:.0?}"), "Ed25519, on one thread");
    Ok(())
}

fn key(seed: u8) -> Result<SigningKey, Failure> {
    Ok(SigningKey::ed25519(&[seed; 32])?)
}

fn write_settings(dir: &Path, idp: &SigningKey, agent: &SigningKey) -> Outcome {
    fs::create_dir_all(dir.join("trust"))?;
    fs::write(dir.join("trust/idp.json"), json!({ "keys": [idp.public().to_jwk()] }).to_string())?;
    let x = agent.public().to_jwk()["x"].clone();
    let settings = format!(
        "[tokens]\nissuer = \"{ISSUER}\"\ntargets = [\"{RESOURCE}\"]\n\n\
         [[issuer]]\nurl = \"{IDP}\"\naudiences = [\"deed\"]\njwks_file = \"trust/idp.json\"\n\n\
         [[agent]]\nid = \"assistant\"\njwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = {x} }}\n\
         scopes = [\"tools/call\"]\n"
    );
    fs::write(dir.join("deed.toml"), settings)?;
    Ok(())
}

/// A request that nobody has made before: an assertion is taken once.
fn form(idp: &SigningKey, agent: &SigningKey) -> Result<String, Failure> {
    let seconds = now().0 / 1_000_000;
    let subject = idp.sign(
        "at+jwt",
        &[],
        &json!({
            "iss": IDP, "sub": "ann", "aud": "deed", "iat": seconds, "exp": seconds + 600,
            "jti": fresh_id()?.to_string(), "scope": "tools/call",
        }),
    )?;
    let assertion = agent.sign(
        "JWT",
        &[],
        &json!({
            "iss": "agent:assistant", "sub": "agent:assistant", "aud": ISSUER, "jti": fresh_id()?.to_string(),
            "iat": now().0 as f64 / 1e6, "exp": seconds + 60,
        }),
    )?;
    Ok(format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={subject}\
         &subject_token_type=urn:ietf:params:oauth:token-type:access_token&client_assertion={assertion}\
         &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&resource={RESOURCE}\
         &scope=tools/call"
    ))
}

/// How long each of `forms` took.
fn exchange(address: SocketAddr, forms: &[String]) -> Result<Vec<Duration>, Failure> {
    let ask = |forms: &[String]| -> Result<Vec<Duration>, Failure> {
        let mut client = Client::connect(address)?;
        let mut times = Vec::with_capacity(forms.len());
        for form in forms {
            let started = Instant::now();
            let (status, answer) = client.post("/oauth/token", FORM, form.as_bytes())?;
            if status != 200 {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
            }
            times.push(started.elapsed());
        }
        Ok(times)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = forms.chunks(EACH).map(|forms| scope.spawn(move || ask(forms))).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a client died")??);
        }
        Ok(all)
    })
}
