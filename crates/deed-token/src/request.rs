//! What a client asks of the token endpoint (RFC 8693, section 2.1; RFC 8707; RFC 9396).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    details::Details,
    exchange::ExchangeError,
    form, json,
    scope::Scope,
    text::{Secret, from_base64url, is_name},
    verify::TokenType,
};

/// Requests larger than this are refused before they are read, in bytes.
pub const LARGEST_REQUEST: usize = 64 * 1024;

/// The grant type of a token exchange.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// How clients show assertions (RFC 7523, section 2.2).
pub const JWT_BEARER_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How workloads show JWT-SVIDs as assertions (draft-ietf-oauth-spiffe-client-auth).
pub const JWT_SPIFFE_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// At most this many resources and audiences.
const MOST_TARGETS: usize = 32;

/// A token exchange request.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// `subject_token`: on whose behalf.
    pub subject_token: Secret,
    /// `subject_token_type`.
    pub subject_token_type: TokenType,
    /// `actor_token`: who acts.
    pub actor_token: Option<Secret>,
    /// `client_assertion`: who asks; the same as who acts.
    pub client_assertion: Option<Secret>,
    /// `client_id`, which must be the one that authenticates itself.
    pub client_id: Option<String>,
    /// `requested_token_type`: an access token if it is not said.
    pub requested: TokenType,
    /// `resource` and `audience`, each any number of times.
    pub targets: BTreeSet<String>,
    /// `scope`.
    pub scope: Option<Scope>,
    /// `authorization_details`.
    pub details: Option<Details>,
    /// `deed_may_act`: key of the agent that may be handed the token.
    pub may_act: Option<String>,
    /// `deed_hops`: how often the token may be handed on, if less than would be allowed.
    pub hops: Option<u8>,
    /// `deed_expires_in`: seconds to live, if less than would be given.
    pub lifetime: Option<i64>,
    /// `deed_task`: what it is for.
    pub task: Option<String>,
    /// `request_context` of a transaction token.
    pub context: Option<Value>,
    /// `request_details` of a transaction token.
    pub transaction: Option<Value>,
}

impl Request {
    /// Reads a form.
    ///
    /// # Errors
    /// A parameter is missing, malformed or there twice, or another grant is asked for. Parameters that
    /// are unknown or empty do not count (RFC 6749, section 3.2).
    pub fn parse(form: &str) -> Result<Self, ExchangeError> {
        let mut form = Parameters::parse(form)?;
        match form.take("grant_type").as_deref() {
            Some(TOKEN_EXCHANGE) => {}
            Some(_) => return Err(ExchangeError::GrantType),
            None => return Err(ExchangeError::Parameter("grant_type")),
        }
        let token_type = |name, uri: Option<String>| {
            let kind = uri.map(|uri| TokenType::from_uri(&uri).ok_or(ExchangeError::Parameter(name)));
            kind.transpose()
        };
        let subject = form.take("subject_token").ok_or(ExchangeError::Parameter("subject_token"))?;
        let subject_type = token_type("subject_token_type", form.take("subject_token_type"))?;
        let (actor_token, actor_type) = (form.take("actor_token"), form.take("actor_token_type"));
        // Both or neither (RFC 8693, section 2.1); SVIDs and assertions are plain JWTs.
        if actor_token.is_some() != (actor_type.as_deref() == Some(TokenType::Jwt.uri())) {
            return Err(ExchangeError::Parameter("actor_token_type"));
        }
        let (assertion, kind) = (form.take("client_assertion"), form.take("client_assertion_type"));
        let known = matches!(kind.as_deref(), Some(JWT_BEARER_ASSERTION | JWT_SPIFFE_ASSERTION));
        if assertion.is_some() != known || (assertion.is_none() && kind.is_some()) {
            return Err(ExchangeError::Parameter("client_assertion_type"));
        }
        let requested = token_type("requested_token_type", form.take("requested_token_type"))?;
        let requested = match requested.unwrap_or(TokenType::AccessToken) {
            TokenType::AccessToken | TokenType::Jwt => TokenType::AccessToken,
            TokenType::TxnToken => TokenType::TxnToken,
            TokenType::IdToken => return Err(ExchangeError::Parameter("requested_token_type")),
        };
        let scope = form.take("scope").map(|text| Scope::parse(&text).ok_or(ExchangeError::ScopeSyntax));
        let details = form.take("authorization_details").map(|text| Details::parse(&text));
        Ok(Request {
            subject_token: Secret::new(subject),
            subject_token_type: subject_type.ok_or(ExchangeError::Parameter("subject_token_type"))?,
            actor_token: actor_token.map(Secret::new),
            client_assertion: assertion.map(Secret::new),
            client_id: form.name("client_id")?,
            requested,
            scope: scope.transpose()?,
            details: details.transpose()?,
            may_act: form.name("deed_may_act")?,
            hops: form.number("deed_hops", ExchangeError::HOPS)?,
            lifetime: form.number("deed_expires_in", ExchangeError::LIFETIME)?,
            task: form.name("deed_task")?,
            context: form.object("request_context")?,
            transaction: form.object("request_details")?,
            targets: form.targets,
        })
    }
}

struct Parameters {
    single: BTreeMap<String, String>,
    targets: BTreeSet<String>,
}

impl Parameters {
    fn parse(form: &str) -> Result<Self, ExchangeError> {
        if form.len() > LARGEST_REQUEST {
            return Err(ExchangeError::TooLarge);
        }
        let mut parameters = Parameters { single: BTreeMap::new(), targets: BTreeSet::new() };
        for (name, value) in form::pairs(form).ok_or(ExchangeError::Form)? {
            let fits = match name.as_str() {
                _ if value.is_empty() => true,
                "resource" => is_resource(&value) && parameters.targets.insert(value),
                "audience" => is_name(&value) && parameters.targets.insert(value),
                // INVARIANT D13: no parameter twice (RFC 6749, section 3.2).
                _ => parameters.single.insert(name.clone(), value).is_none(),
            };
            match (fits, name.as_str()) {
                (true, _) => {}
                (false, "resource" | "audience") => return Err(ExchangeError::TargetSyntax),
                (false, _) => return Err(ExchangeError::Twice),
            }
        }
        if parameters.targets.len() > MOST_TARGETS {
            return Err(ExchangeError::TargetSyntax);
        }
        Ok(parameters)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.single.remove(name)
    }

    fn name(&mut self, name: &'static str) -> Result<Option<String>, ExchangeError> {
        let fits = |text: String| is_name(&text).then_some(text).ok_or(ExchangeError::Parameter(name));
        self.take(name).map(fits).transpose()
    }

    fn number<N: std::str::FromStr>(
        &mut self,
        name: &str,
        wrong: ExchangeError,
    ) -> Result<Option<N>, ExchangeError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let digits = |text: &String| text.bytes().all(|b| b.is_ascii_digit());
        let number = Some(text).filter(digits).and_then(|text| text.parse().ok());
        number.map(Some).ok_or(wrong)
    }

    /// An object as JSON or, as earlier drafts of transaction tokens have it, in base64url.
    fn object(&mut self, name: &'static str) -> Result<Option<Value>, ExchangeError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let bytes = if text.starts_with('{') { Some(text.into_bytes()) } else { from_base64url(&text) };
        let object = bytes.and_then(|bytes| json::object(&bytes).ok());
        object.map(|object| Some(Value::Object(object))).ok_or(ExchangeError::Parameter(name))
    }
}

/// RFC 8707, section 2: an absolute URI without fragment.
fn is_resource(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(fits)
        && !rest.is_empty()
        && is_name(text)
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}
