//! Commands that are decided on and recorded before they run (P9).

use deed_ledger::fresh_id;
use deed_record::{RecordId, Ruling, SpanId};
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use crate::{
    door::random,
    intent::{Intent, Place, Refused},
    point::{DecisionPoint, InForce},
    recorder::Unavailable,
    request::Ruled,
};

/// The action that policy decides on when a command asks to run.
pub const RUN: &str = "run";

/// What is particular to a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What it does, such as `deploy`: the operation of its records.
    pub operation: String,
    /// What it releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Released>,
    /// Whether the credential's signature was verified, and names the executor.
    #[serde(default)]
    pub proven: bool,
    /// The action that it undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensates: Option<RecordId>,
    /// The token of the settings by which it was asked for from another machine: part of the record's submitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Run {
    /// What policy sees of it as `context.arguments`: with the command line, and the claims of whoever proved who it is.
    ///
    /// # Errors
    /// A number in a claim is none that JSON has.
    pub fn arguments(
        &self,
        command: &[String],
        ci: Option<&Map<String, Value>>,
    ) -> Result<Box<RawValue>, Unavailable> {
        let mut arguments = json!({ "action": self.operation, "command": command });
        let further = [
            ("artifact", self.artifact.as_ref().and_then(|released| serde_json::to_value(released).ok())),
            ("ci", ci.map(|claims| Value::from(claims.clone()))),
            ("compensates", self.compensates.map(|undone| Value::from(undone.to_string()))),
        ];
        for (name, value) in further {
            if let Some(value) = value {
                arguments[name] = value;
            }
        }
        to_raw_value(&arguments).map_err(|error| Unavailable::new(error.to_string()))
    }

    /// Whether `text` can name what a command does.
    ///
    /// # Errors
    /// What was expected.
    pub fn check_operation(text: &str) -> Result<(), &'static str> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        match !text.is_empty() && text.len() <= 128 && text.chars().all(fits) {
            true => Ok(()),
            false => Err("expected 1 to 128 letters, digits, `-`, `_`, `.`, `:` or `/`, such as deploy"),
        }
    }

    /// Whether `text` can name what a command is done to.
    ///
    /// # Errors
    /// What was expected.
    pub fn check_resource(text: &str) -> Result<(), &'static str> {
        match text.split_once(':') {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(()),
            _ => Err("expected a URI such as deploy:prod/web"),
        }
    }
}

/// An artifact, as it was when the command asked to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// The name of its file.
    pub name: String,
    /// `sha256:` and the digest of its bytes.
    pub digest: String,
    /// Whether it is signed.
    pub signature: Signature,
    /// The key that the signature was checked with: `sha256:` and the digest of its SubjectPublicKeyInfo in DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// Whether an artifact is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// By the key that was named.
    Verified,
    /// Not by the key that was named, or what was given is no signature.
    Invalid,
    /// None was given.
    None,
}

impl Intent {
    /// A command that asks to run on `resource`. Its arguments are an object; policy sees them.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn of_run(
        run: Run,
        resource: &str,
        arguments: Box<RawValue>,
        place: Place,
    ) -> Result<Self, Unavailable> {
        Ok(Intent {
            uri: Some(resource.to_owned()),
            arguments: Some(arguments),
            run: Some(run),
            ..Intent::bare(fresh_id()?, "", RUN, place)
        })
    }

    /// What records call it.
    pub(crate) fn operation(&self) -> &str {
        self.run.as_ref().map_or(&self.method, |run| &run.operation)
    }
}

/// A new span's id.
///
/// # Errors
/// The system gives no random bytes.
pub fn fresh_span() -> Result<SpanId, Unavailable> {
    random().map(SpanId)
}

impl DecisionPoint {
    /// `intent` as one that is refused, where the signature on what it releases is wrong and none of the
    /// policies that decided looked at that: whoever gave a signature meant it to count.
    pub(crate) fn unsigned(&self, intent: &Intent, ruled: Option<&Ruled>) -> Option<Intent> {
        let released = intent.run.as_ref()?.artifact.as_ref()?;
        let decided = &ruled?.decided;
        if released.signature != Signature::Invalid || decided.effect == Ruling::Deny {
            return None;
        }
        let InForce { policy, .. } = self.in_force();
        let is_seen = |id: &String| policy.looks_at(id, &["artifact", "signature"]);
        let why = "the artifact's signature is not that of the key that was named, and no policy that decided looks at `context.arguments.artifact.signature`";
        let refused = || Refused { code: "signature_invalid".into(), why: why.into() };
        (!decided.policies.iter().any(is_seen)).then(|| Intent { refused: Some(refused()), ..intent.clone() })
    }
}
