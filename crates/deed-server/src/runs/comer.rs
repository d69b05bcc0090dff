//! Who asks for a command of another machine to run.

use std::sync::Arc;

use deed_gateway::{RunAsked, Who};
use deed_record::PrincipalType;
use deed_token::{Secret, Workload};
use http::{HeaderMap, header};

use crate::{
    app::App,
    auth::Caller,
    force::TENANT,
    problem::{Kind, Problem},
    settings::Right,
    tokens::Unbelieved,
};

/// Somebody who may ask, and whose records are made.
pub(crate) struct Comer {
    /// The issuer's, or that of the token; nobody says it themselves.
    pub(crate) tenant: String,
    shown: Shown,
}

enum Shown {
    /// A token of a CI system, verified here.
    Workload(Box<Workload>),
    /// A token of the settings, by its name.
    Token(String),
    /// None, where none is needed; as the ledger calls them.
    Nothing(String),
}

/// Why nobody is let in.
pub(crate) enum Stranger {
    /// They showed a token that is not believed, and that is to be recorded.
    Unbelieved(String),
    /// They are answered, and that is all.
    Answered(Problem),
}

impl From<Problem> for Stranger {
    fn from(problem: Problem) -> Self {
        Stranger::Answered(problem)
    }
}

impl Comer {
    /// Who comes: as the gate knows them, or by a token of an issuer of the settings.
    ///
    /// # Errors
    /// See [`Stranger`].
    pub(crate) async fn of(
        app: &App,
        admitted: Result<Arc<Caller>, Problem>,
        headers: &HeaderMap,
    ) -> Result<Self, Stranger> {
        let shown = bearer(headers)?;
        let problem = match admitted {
            Ok(caller) => return Ok(Comer::of_caller(&caller)?),
            Err(problem) => problem,
        };
        if problem.kind() != Kind::Unauthenticated {
            return Err(problem.into());
        }
        let Some(token) = shown else { return Err(problem.into()) };
        // What is no JWT is meant to be a token of the settings.
        if token.expose().split('.').count() != 3 {
            return Err(Stranger::Unbelieved(problem.detail().to_owned()));
        }
        let Some(tokens) = app.engine.tokens() else {
            let why = "no issuer is trusted here: see `[[issuer]]` in `deed.toml`";
            return Err(Stranger::Unbelieved(why.to_owned()));
        };
        match tokens.remote_workload(token).await {
            Ok(workload) => Ok(Comer {
                tenant: workload.principal.tenant.clone(),
                shown: Shown::Workload(Box::new(workload)),
            }),
            Err(Unbelieved::Wrong(why)) => Err(Stranger::Unbelieved(why)),
            Err(Unbelieved::Unknown(why)) => Err(Problem::new(Kind::Unavailable, why).into()),
        }
    }

    fn of_caller(caller: &Caller) -> Result<Self, Problem> {
        caller.require(Right::Write)?;
        let tenant = caller.tenant().unwrap_or(TENANT).to_owned();
        let shown = match caller.token_name() {
            Some(name) => Shown::Token(name.to_owned()),
            None => Shown::Nothing(caller.sender.name.clone()),
        };
        Ok(Comer { tenant, shown })
    }

    /// The workload that its token proves.
    pub(crate) fn workload(&self) -> Option<&Workload> {
        match &self.shown {
            Shown::Workload(workload) => Some(workload),
            Shown::Token(_) | Shown::Nothing(_) => None,
        }
    }

    /// The name of its token of the settings.
    pub(crate) fn token(&self) -> Option<&str> {
        match &self.shown {
            Shown::Token(name) => Some(name),
            Shown::Workload(_) | Shown::Nothing(_) => None,
        }
    }

    /// What it is known again by, when it asks once more.
    pub(super) fn name(&self) -> [String; 2] {
        match &self.shown {
            Shown::Workload(workload) => [workload.principal.key.clone(), workload.fingerprint.to_string()],
            Shown::Token(name) => ["token".to_owned(), name.clone()],
            Shown::Nothing(name) => ["local".to_owned(), name.clone()],
        }
    }

    /// Who acts, and for whom. What a token says, nobody claims otherwise.
    ///
    /// # Errors
    /// Somebody does, or a claim is none.
    pub(super) fn who(&self, asked: &RunAsked) -> Result<(Who, Option<Who>), Problem> {
        let claims = |what: &str, claim: &Option<String>| {
            let wrong = |why: String| Problem::new(Kind::BadRequest, format!("`{what}`: {why}"));
            claim.as_deref().map(|claim| claimed(claim).map_err(wrong)).transpose()
        };
        let executor = claims("executor", &asked.executor)?;
        let initiator = claims("initiator", &asked.initiator)?;
        let taken = |what: &str, flag: &str| {
            let why = format!("`{what}`: the token says that; leave `{flag}` out");
            Err(Problem::new(Kind::BadRequest, why))
        };
        match &self.shown {
            Shown::Workload(_) if executor.is_some() => taken("executor", "--as"),
            Shown::Workload(workload) => {
                let acts = Who {
                    kind: workload.principal.kind,
                    key: Some(workload.principal.key.clone()),
                    name: None,
                    instance: workload.instance(),
                };
                match (workload.asked_by(), initiator) {
                    (Some(_), Some(_)) => taken("initiator", "--for"),
                    (Some((kind, key, login)), None) => {
                        Ok((acts, Some(Who { kind, key: Some(key), name: Some(login), instance: None })))
                    }
                    (None, claim) => Ok((acts, claim)),
                }
            }
            // Whoever holds a token is at least that.
            Shown::Token(name) => {
                let holder = || Who {
                    kind: PrincipalType::ServiceAccount,
                    key: Some(format!("token:{name}")),
                    name: Some(name.clone()),
                    instance: None,
                };
                Ok((executor.unwrap_or_else(holder), initiator))
            }
            Shown::Nothing(_) => Ok((executor.unwrap_or_else(Who::unknown), initiator)),
        }
    }
}

/// The one token that is shown, if one is.
///
/// # Errors
/// There are two: whoever stands on the way may have looked at the other one (INVARIANT D13).
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::new(Kind::BadRequest, "the header `Authorization` is there twice"));
    }
    let token = first.to_str().ok().and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| Secret::new(token.trim().to_owned())))
}

/// Who somebody claims to be: `TYPE:NAME`, or `os:NAME`, a user of their machine. Keys that only a token gives cannot be
/// written so.
fn claimed(text: &str) -> Result<Who, String> {
    match text.strip_prefix("os:").filter(|name| !name.is_empty()) {
        Some(name) => {
            let (key, name) = (Some(text.to_owned()), Some(name.to_owned()));
            Who { kind: PrincipalType::Human, key, name, instance: None }.visible()
        }
        None => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_claims_what_only_a_token_gives() {
        assert_eq!(claimed("workload:ci").map(|who| who.kind), Ok(PrincipalType::Workload));
        assert_eq!(claimed("os:ann").map(|who| who.kind), Ok(PrincipalType::Human));
        for bad in [
            "oidc:token.actions.githubusercontent.com/repo:acme",
            "token:ci",
            "spiffe://acme/ci",
            "os:",
            "ci",
            "",
        ] {
            assert!(claimed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_tokens_are_none() {
        let mut headers = HeaderMap::new();
        assert!(bearer(&headers).is_ok_and(|shown| shown.is_none()));
        headers.append(header::AUTHORIZATION, "bearer a.b.c".parse().unwrap());
        assert!(bearer(&headers).is_ok_and(|shown| shown.is_some_and(|token| token.expose() == "a.b.c")));
        headers.append(header::AUTHORIZATION, "Bearer d.e.f".parse().unwrap());
        assert!(bearer(&headers).is_err());
    }
}
