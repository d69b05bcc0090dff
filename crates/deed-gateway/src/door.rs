//! Who stands at a door, and what of a message matters to the record.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use deed_ledger::fresh_id;
use deed_record::{PrincipalType, RecordId, SpanId, Text, TraceId};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    allowance::Allowance,
    http::params::{Mirrored, mirrored},
    intent::{Intent, Listed, Place, Refused, Who},
    message,
    method::{PROMPT_GET, RESOURCE_READ, TOOL_CALL},
    onward::Onward,
    recorder::Unavailable,
    tasks::Tasks,
    term::Term,
    trace::{self, Claimed},
};

/// Who comes to a door, as a credential or the command line says. What nobody says is not known.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// For whom something is done.
    pub initiator: Option<Who>,
    /// Who does it; without one, what the client calls itself.
    pub executor: Option<Who>,
    /// Who stands between them, from the initiator on.
    pub chain: Vec<Who>,
    /// The credential that was shown, as records have it.
    pub credential: Option<Box<RawValue>>,
    /// The record of the grant that the credential stands for.
    pub grant: Option<RecordId>,
    /// Names of all credentials that the shown one was derived from.
    pub lineage: Vec<String>,
    /// What the credential was given for.
    pub task: Option<String>,
    /// What it allows beside its scope.
    pub allowance: Allowance,
    /// What the server behind is shown for it.
    pub onward: Onward,
    /// How long the credential holds.
    pub term: Term,
    /// Whether a token says who it is, so that callers are told apart.
    pub by_token: bool,
    /// The tenant whose records tell of it.
    pub tenant: String,
}

/// Who somebody is, apart from what they do and from a credential that may be renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Party {
    tenant: String,
    initiator: Option<String>,
    executor: Option<String>,
    by_token: bool,
}

impl Caller {
    pub(crate) fn party(&self) -> Party {
        let key = |who: &Option<Who>| who.as_ref().and_then(|who| who.key.clone());
        Party {
            tenant: self.tenant.clone(),
            initiator: key(&self.initiator),
            executor: key(&self.executor),
            by_token: self.by_token,
        }
    }

    /// Whether both are the same somebody.
    pub(crate) fn is_like(&self, other: &Caller) -> bool {
        self.party() == other.party()
    }
}

/// Where one caller speaks to a server. Doors of one connection share what they have learned.
#[derive(Clone)]
pub struct Door {
    server: Arc<str>,
    /// For what comes without a trace of its own: one connection is one trace.
    trace: TraceId,
    session: Option<Arc<str>>,
    caller: Caller,
    /// The trace that the connection itself is in, for messages that say nothing of theirs.
    ambient: Option<Claimed>,
    /// What the client says of itself.
    client: Arc<Mutex<Client>>,
    learned: Learned,
}

/// What a client says of itself.
#[derive(Clone, Default)]
struct Client {
    /// Who it is.
    who: Option<Who>,
    /// Whether it can show its user a URL, and ask whether to go on.
    shows_urls: bool,
}

/// What doors to one server have learned together.
#[derive(Clone, Default)]
pub(crate) struct Learned {
    /// The tools' definitions, as far as they were listed or looked up.
    definitions: Arc<Mutex<HashMap<String, Definition>>>,
    /// The tasks that calls have become.
    tasks: Arc<Tasks>,
}

/// What is known of a tool.
pub(crate) struct Definition {
    /// Digest of what was listed; `None` where it was looked up in the log alone.
    digest: Option<String>,
    /// Arguments that headers repeat.
    mirrored: Arc<[Mirrored]>,
}

impl Door {
    /// A door to `server` for a connection of `caller`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(server: &str, caller: Caller) -> Result<Self, Unavailable> {
        let id = fresh_id()?;
        let session = Some(format!("mcp:{server}/{id}").into());
        Ok(Door { session, ..Door::passing(server.into(), caller, Learned::default())? })
    }

    /// A door for a single request: nothing holds it together with others.
    pub(crate) fn passing(server: Arc<str>, caller: Caller, learned: Learned) -> Result<Self, Unavailable> {
        let trace = TraceId(fresh_id()?.0);
        Ok(Door { server, trace, session: None, caller, ambient: None, client: Arc::default(), learned })
    }

    /// The same door, for messages that come with `traceparent` beside them.
    pub(crate) fn within(self, traceparent: Option<&str>) -> Self {
        Door { ambient: traceparent.and_then(trace::parse), ..self }
    }

    /// The same door as `caller` comes to it.
    pub(crate) fn of(&self, caller: Caller) -> Self {
        Door { caller, ..self.clone() }
    }

    /// The same door, of a connection that holds together from now on.
    pub(crate) fn lasting(&self) -> Result<Self, Unavailable> {
        let session = Some(format!("mcp:{}/{}", self.server, fresh_id()?).into());
        Ok(Door { session, ..self.clone() })
    }

    /// The connection, as records name it.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether the client can show its user a URL.
    pub(crate) fn shows_urls(&self) -> bool {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).shows_urls
    }

    /// Who comes to it.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The server's name.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The connection's own trace.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// What a request of the client asks to be done.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn intent(&self, method: &str, params: Option<&RawValue>) -> Result<Intent, Unavailable> {
        self.learn_client(method, params);
        let named: Named<'_> =
            params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
        let arguments = match method {
            TOOL_CALL | PROMPT_GET => named.arguments,
            RESOURCE_READ => None,
            _ => params,
        };
        let name = message::text_of(named.name).filter(|_| matches!(method, TOOL_CALL | PROMPT_GET));
        let definition =
            name.as_deref().filter(|_| method == TOOL_CALL).and_then(|name| self.definition(name));
        let uri = message::text_of(named.uri).filter(|_| method.starts_with("resources/"));
        let withheld = self.caller.onward.withheld().cloned();
        let refused =
            withheld.or_else(|| self.caller.allowance.refuses(method, name.as_deref().or(uri.as_deref())));
        Ok(Intent {
            name: name.map(|name| name.to_string()),
            uri: uri.map(|uri| uri.to_string()),
            arguments: arguments.map(ToOwned::to_owned),
            definition,
            task: self.caller.task.clone(),
            credential: self.caller.credential.clone(),
            grant: self.caller.grant,
            lineage: self.caller.lineage.clone(),
            upstream: self.caller.onward.id().map(str::to_owned),
            refused,
            ..Intent::bare(fresh_id()?, &self.server, method, self.place(params)?)
        })
    }

    /// What cannot be read, or must not be done, as a record of it.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn refusal(&self, method: &str, code: &str, why: &str) -> Result<Intent, Unavailable> {
        Ok(Intent {
            refused: Some(Refused { code: code.to_owned(), why: why.to_owned() }),
            ..self.intent(method, None)?
        })
    }

    /// What the server asks of the client.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn server_intent(
        &self,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Intent, Unavailable> {
        let mut intent = Intent { upstream: None, ..self.intent(method, params)? };
        intent.place.executor = Who {
            kind: PrincipalType::Workload,
            key: Some(format!("mcp:{}", self.server)),
            name: None,
            instance: None,
        };
        Ok(intent)
    }

    /// A request of the server that is not passed on: it is the server that asks, and nobody who called it.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn server_refusal(&self, method: &str, code: &str, why: &str) -> Result<Intent, Unavailable> {
        let refused = Some(Refused { code: code.to_owned(), why: why.to_owned() });
        Ok(Intent { refused, ..self.server_intent(method, None)? })
    }

    /// The tasks that calls to the server have become.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.learned.tasks
    }

    /// Notes what the definitions of tools in one list are. Of one that stands there in two ways, nobody can say which it is.
    pub(crate) fn learn_definitions(&self, tools: &[Listed]) {
        let mut first = HashMap::<&str, &str>::new();
        let mut unclear = HashSet::new();
        for tool in tools {
            if *first.entry(&*tool.name).or_insert(&*tool.digest) != tool.digest {
                unclear.insert(&*tool.name);
            }
        }
        let mut definitions = self.definitions();
        for tool in tools {
            let digest = (!unclear.contains(&*tool.name)).then(|| tool.digest.clone());
            let known = Definition { digest, mirrored: mirrored(&tool.definition).into() };
            definitions.insert(tool.name.clone(), known);
        }
    }

    /// Notes which arguments of a tool headers repeat, where nobody has listed it yet.
    pub(crate) fn learn_mirrored(&self, name: &str, definition: &RawValue) -> Arc<[Mirrored]> {
        let known = Definition { digest: None, mirrored: mirrored(definition).into() };
        self.definitions().entry(name.to_owned()).or_insert(known).mirrored.clone()
    }

    /// The arguments of a tool that headers repeat; `None` where nobody knows.
    pub(crate) fn mirrored(&self, name: &str) -> Option<Arc<[Mirrored]>> {
        self.definitions().get(name).map(|known| known.mirrored.clone())
    }

    fn definition(&self, name: &str) -> Option<String> {
        self.definitions().get(name)?.digest.clone()
    }

    fn definitions(&self) -> MutexGuard<'_, HashMap<String, Definition>> {
        self.learned.definitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, params: Option<&RawValue>) -> Result<Place, Unavailable> {
        let claimed = trace::claimed(params).or(self.ambient);
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).who.clone();
        Ok(Place {
            trace_id: claimed.map_or(self.trace, |claimed| claimed.trace),
            span_id: SpanId(random()?),
            parent_span_id: claimed.map(|claimed| claimed.span),
            session: self.session.as_deref().map(ToOwned::to_owned),
            initiator: self.caller.initiator.clone(),
            executor: self.caller.executor.clone().or(client).unwrap_or_else(Who::unknown),
            chain: self.caller.chain.clone(),
        })
    }

    /// Remembers what the client can, and what it calls itself. That is a claim; it names the executor only where nothing
    /// better does.
    fn learn_client(&self, method: &str, params: Option<&RawValue>) {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, default, rename = "clientInfo")]
            legacy: Option<Info<'a>>,
            #[serde(default)]
            capabilities: Option<Capabilities>,
            #[serde(borrow, default, rename = "_meta")]
            meta: Option<Meta<'a>>,
        }
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
            modern: Option<Info<'a>>,
            #[serde(default, rename = "io.modelcontextprotocol/clientCapabilities")]
            capabilities: Option<Capabilities>,
        }
        #[derive(Deserialize)]
        struct Capabilities {
            #[serde(default)]
            elicitation: Option<Elicitation>,
        }
        #[derive(Deserialize)]
        struct Elicitation {
            #[serde(default)]
            url: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Info<'a> {
            #[serde(borrow)]
            name: Text<'a>,
            #[serde(borrow, default)]
            title: Option<Text<'a>>,
        }
        let Some(params) = params.and_then(|params| serde_json::from_str::<Params<'_>>(params.get()).ok())
        else {
            return;
        };
        let (modern, capabilities) =
            params.meta.map_or((None, None), |meta| (meta.modern, meta.capabilities));
        let (legacy, capabilities) = match method {
            "initialize" => (params.legacy, params.capabilities.or(capabilities)),
            _ => (None, capabilities),
        };
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(capabilities) = capabilities {
            client.shows_urls = capabilities.elicitation.is_some_and(|elicitation| elicitation.url.is_some());
        }
        let Some(info) = legacy.or(modern) else { return };
        client.who = Some(Who {
            kind: PrincipalType::Agent,
            key: Some(format!("mcp-client:{}", &*info.name)).filter(|_| !info.name.is_empty()),
            name: info.title.map(|title| title.to_string()),
            instance: None,
        });
    }
}

/// What the parameters of a request name.
#[derive(Deserialize, Default)]
struct Named<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Unavailable> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Unavailable::new("the system gives no random bytes"))?;
    Ok(bytes)
}
