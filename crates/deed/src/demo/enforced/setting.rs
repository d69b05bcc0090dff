//! Everything that must be there before the first call: settings, keys, an inventory, policies.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use deed_token::SigningKey;
use serde_json::{Value, json};

use super::scenes::SCOPES;
use crate::{
    demo::random,
    exit::{Failure, Outcome},
};

/// What the token service calls itself: where `deed demo --serve` listens.
pub(super) const ISSUER: &str = "http://127.0.0.1:7400";
/// What tokens for the vendor database are for.
pub(super) const RESOURCE: &str = "http://127.0.0.1:7400/mcp/vendors";
/// Where Ann signs in. The demo plays that identity provider.
pub(super) const IDP: &str = "https://idp.example";

/// How the settings of a demo begin.
pub(in crate::demo) const WRITTEN: &str = "# Written by `deed demo`.";

/// The policies, for the reader to edit and publish.
const POLICIES: &str = include_str!("policies.cedar");

const INVENTORY: &str = "\
# Written by `deed demo`.
[[principal]]
type = \"human\"
key = \"human:ann\"
name = \"Ann Meyer\"
aliases = [\"oidc:idp.example/ann\"]

[[principal]]
type = \"human\"
key = \"human:bob\"
name = \"Bob Tan\"

[[principal]]
type = \"agent\"
key = \"agent:assistant\"
owner = \"human:ann\"

[[principal]]
type = \"agent\"
key = \"agent:clerk\"
owner = \"human:bob\"

[[resource]]
match = \"mcp:vendors/vendor_lookup\"
classification = \"restricted\"
restricted_fields = [\"tax_id\"]
";

/// The private keys of those who have one, made on the spot and kept nowhere.
pub(in crate::demo) struct Keys {
    idp: SigningKey,
    assistant: SigningKey,
    clerk: SigningKey,
}

impl Keys {
    pub(in crate::demo) fn make() -> Result<Self, Failure> {
        let key = || SigningKey::ed25519(&random::<32>()?).map_err(unsigned);
        Ok(Keys { idp: key()?, assistant: key()?, clerk: key()? })
    }

    /// The token that Ann has of her sign-in.
    pub(super) fn ann(&self) -> Result<String, Failure> {
        let now = seconds();
        let claims = json!({
            "iss": IDP, "sub": "ann", "aud": "deed", "iat": now, "exp": now + 600, "jti": fresh_id()?,
            "scope": SCOPES,
        });
        self.idp.sign("at+jwt", &[], &claims).map_err(unsigned)
    }

    /// The token that the pipeline has of its job.
    pub(super) fn ci(&self) -> Result<String, Failure> {
        let now = seconds();
        let claims = json!({
            "iss": IDP, "sub": "ci", "aud": "deed", "iat": now, "exp": now + 600, "jti": fresh_id()?,
        });
        self.idp.sign("JWT", &[], &claims).map_err(unsigned)
    }

    /// What an agent says who it is by (RFC 7523).
    pub(super) fn assertion(&self, agent: &str) -> Result<String, Failure> {
        let key = if agent == "agent:clerk" { &self.clerk } else { &self.assistant };
        let claims = json!({
            "iss": agent, "sub": agent, "aud": ISSUER, "jti": fresh_id()?, "exp": seconds() + 60,
            // To the microsecond, so that a service that has just begun knows it as newer than itself.
            "iat": deed_ledger::now().0 as f64 / 1e6,
        });
        key.sign("JWT", &[], &claims).map_err(unsigned)
    }
}

fn unsigned(error: impl std::fmt::Display) -> Failure {
    Failure::new("failed to make or use a key").detail(error.to_string())
}

fn seconds() -> i64 {
    deed_ledger::now().0 / 1_000_000
}

fn fresh_id() -> Result<String, Failure> {
    crate::record_id::fresh().map(|id| id.to_string())
}

/// Writes settings, inventory and policies of a store in `dir`, which stands before the MCP server at `url`.
pub(in crate::demo) fn write(dir: &Path, url: &str, keys: &Keys) -> Outcome {
    let (trust, policies) = (dir.join("trust"), folder(dir));
    for folder in [dir, &trust, &policies] {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| failed(folder, &error))?;
    }
    let jwks = json!({ "keys": [keys.idp.public().to_jwk()] });
    let files = [
        (dir.join("deed.toml"), settings(url, keys)),
        (dir.join("inventory.toml"), INVENTORY.to_owned()),
        (trust.join("idp.json"), jwks.to_string()),
        (policies.join("vendors.cedar"), POLICIES.to_owned()),
    ];
    for (path, text) in files {
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// Where the policies of the store in `dir` are written.
pub(in crate::demo) fn folder(dir: &Path) -> PathBuf {
    dir.join("policies")
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to write `{}`", path.display())).detail(error.to_string())
}

fn settings(url: &str, keys: &Keys) -> String {
    let agent = |id: &str, key: &SigningKey, scopes: &Value| {
        let x = key.public().to_jwk()["x"].clone();
        format!(
            "[[agent]]\nid = \"{id}\"\njwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = {x} }}\nscopes = {scopes}\n"
        )
    };
    let assistant: Vec<&str> = SCOPES.split(' ').collect();
    let clerk = ["tools/call", "tickets:write", "vendors:write", "vendors:admin"];
    format!(
        "{WRITTEN} The server below ended with it.\n\
         [mcp.vendors]\nurl = \"{url}\"\nwait_seconds = 20\n\n\
         [tokens]\nissuer = \"{ISSUER}\"\ntargets = [\"{RESOURCE}\"]\n\n\
         # The demo plays this identity provider.\n\
         [[issuer]]\nurl = \"{IDP}\"\naudiences = [\"deed\"]\njwks_file = \"trust/idp.json\"\n\n{}\n{}",
        agent("assistant", &keys.assistant, &json!(assistant)),
        agent("clerk", &keys.clerk, &json!(clerk))
    )
}
