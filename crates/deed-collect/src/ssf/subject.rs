//! Whom and what a SET is about (RFC 9493; SSF 1.0, section 3).

use deed_record::{Credential, Principal, PrincipalType, Text, oidc_key};
use sha2::{Digest, Sha256};

use super::Event;
use crate::{
    authority::{self, principal, text},
    json,
    loose::Loose,
};

/// More names of one subject than these are left in the event.
const MOST_ALIASES: usize = 8;

/// The subject of a SET, as far as it can be told.
#[derive(Default)]
pub(super) struct Subject {
    /// Who: one account, or several that are said to be the same.
    pub(super) accounts: Vec<Principal<'static>>,
    /// What tokens call those that the transmitter's log calls something else.
    pub(super) in_tokens: Vec<String>,
    /// Id of the session.
    pub(super) session: Option<Text<'static>>,
    /// A token that is named by itself.
    pub(super) token: Option<Credential<'static>>,
    pub(super) device: Option<Text<'static>>,
    pub(super) address: Option<Text<'static>>,
}

/// What an identifier names.
enum Named {
    Account(String),
    /// Something or somebody, by the transmitter's own id.
    Opaque(String),
    Token(Box<Credential<'static>>),
    Address(Text<'static>),
}

impl Subject {
    pub(super) fn of(event: Event<'_>) -> Self {
        let mut subject = Subject::default();
        // Before SSF 1.0 it stood in the event.
        let found = event.set.get(&["sub_id"]).or_else(|| event.is.get(&["subject"]));
        let Some(id) = found.map(Loose) else { return subject };
        match format(id) {
            Some("complex") => {
                subject.put_account(event, id.at(&["user"]), PrincipalType::Unknown);
                if subject.accounts.is_empty() {
                    subject.put_account(event, id.at(&["application"]), PrincipalType::Workload);
                }
                match named(id.at(&["session"]), event) {
                    Some(Named::Token(token)) => subject.token = Some(*token),
                    _ => subject.put_session(own_id(id.at(&["session"]))),
                }
                subject.device = own_id(id.at(&["device"])).map(text);
            }
            Some("aliases") => {
                for alias in id.list(&["identifiers"]).take(MOST_ALIASES) {
                    subject.put(event, alias);
                }
            }
            _ => subject.put(event, id),
        }
        subject
    }

    /// An identifier that stands alone.
    fn put(&mut self, event: Event<'_>, id: Loose<'_>) {
        let of_stream = event.family == Some("ssf");
        let of_session = event.family == Some("caep") && event.name.starts_with("session-");
        match named(id, event) {
            Some(Named::Opaque(_)) if of_stream => {}
            // CAEP 1.0, section 3.1.2: the session's own id.
            Some(Named::Opaque(id)) if of_session => self.put_session(Some(&id)),
            Some(Named::Token(token)) => self.token = self.token.take().or(Some(*token)),
            Some(Named::Address(address)) => self.address = Some(address),
            _ => self.put_account(event, id, PrincipalType::Unknown),
        }
    }

    fn put_account(&mut self, event: Event<'_>, id: Loose<'_>, kind: PrincipalType) {
        let key = match named(id, event) {
            Some(Named::Account(key)) => key,
            Some(Named::Opaque(id)) => own_key(event, &id),
            _ => return,
        };
        if let (Some("iss_sub" | "iss-sub"), Some(_)) = (format(id), event.system)
            && let (Some(iss), Some(sub)) = (id.text(&["iss"]), id.text(&["sub"]))
            && iss == event.issuer
        {
            self.in_tokens.push(oidc_key(iss, sub));
        }
        self.accounts.push(principal(kind, Some(key), None));
    }

    fn put_session(&mut self, id: Option<&str>) {
        self.session = id.filter(|id| authority::is_impersonal(id)).map(text);
    }
}

/// Google writes `subject_type`, and a hyphen (RISC 1.0, section 5.1).
fn format<'v>(id: Loose<'v>) -> Option<&'v str> {
    id.any(&["format", "subject_type"])
}

fn named(id: Loose<'_>, event: Event<'_>) -> Option<Named> {
    Some(match format(id)? {
        "account" | "uri" => Named::Account(id.text(&["uri"]).filter(|uri| uri.contains(':'))?.to_owned()),
        "did" => Named::Account(id.any(&["url", "did"]).filter(|did| did.starts_with("did:"))?.to_owned()),
        "email" => Named::Account(email(id.text(&["email"])?)),
        "phone_number" | "phone" => Named::Account(phone(id.any(&["phone_number", "phone"])?)),
        "iss_sub" | "iss-sub" | "id_token_claims" => {
            let (iss, sub) = (id.text(&["iss"])?, id.text(&["sub"])?);
            Named::Account(match event.system {
                Some(_) if iss == event.issuer => own_key(event, sub),
                _ => oidc_key(iss, sub),
            })
        }
        "opaque" => Named::Opaque(id.text(&["id"])?.to_owned()),
        "jwt_id" => token(id.text(&["iss"]), "jwt", |token| token.jti = id.text(&["jti"]).map(text))?,
        "saml_assertion_id" => token(id.text(&["issuer"]), "saml_assertion", |token| {
            token.id = id.text(&["assertion_id"]).filter(|id| authority::is_impersonal(id)).map(text);
        })?,
        "oauth_token" => {
            token(Some(event.issuer), id.text(&["token_type"]).unwrap_or("access_token"), |token| {
                token.fingerprint = plain(id).map(fingerprint);
            })?
        }
        "ip-addresses" => Named::Address(text(id.texts(&["ip-addresses"]).next()?)),
        _ => return None,
    })
}

/// A token by one of its names, which it must have.
fn token(issuer: Option<&str>, kind: &str, name: impl FnOnce(&mut Credential<'static>)) -> Option<Named> {
    let mut credential =
        Credential { issuer: issuer.map(text), kind: Some(text(kind)), ..Credential::default() };
    name(&mut credential);
    let is_named = credential.names().next().is_some();
    is_named.then(|| Named::Token(Box::new(credential)))
}

/// A token that is shown whole; a part or another hash of one names none that Deed could know.
fn plain<'v>(id: Loose<'v>) -> Option<&'v str> {
    id.text(&["token"]).filter(|_| id.text(&["token_identifier_alg"]) == Some("plain"))
}

/// INVARIANT D9: never the token.
fn fingerprint(token: &str) -> Text<'static> {
    json::text(format!("sha256:{}", json::hex(&Sha256::digest(token.as_bytes()))))
}

/// An account by the transmitter's own id for it.
fn own_key(event: Event<'_>, id: &str) -> String {
    match event.system {
        Some(system) => format!("{system}:{id}"),
        None => format!("{}/{id}", event.source()),
    }
}

/// The domain is the same in any case (RFC 5321, section 2.4); what is before it belongs to its host.
fn email(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("email:{local}@{}", domain.to_ascii_lowercase()),
        None => format!("email:{address}"),
    }
}

/// E.164, without what is written for the eye (RFC 3966, section 5.1.1).
fn phone(number: &str) -> String {
    format!("tel:{}", number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect::<String>())
}

/// What a session or a device is called by whoever knows it.
fn own_id<'v>(id: Loose<'v>) -> Option<&'v str> {
    id.any(&["id", "sub", "uri"])
}
