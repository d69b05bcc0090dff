//! A hundred policies, as folders have them: most ask for a tool or for a principal, few for neither.

use std::{collections::BTreeMap, fmt::Write};

use deed_policy::{Facts, LoadError, PolicySet, Request, Target, Who};
use deed_record::PrincipalType;
use serde_json::value::RawValue;

/// How many there are.
const COUNT: usize = 100;
/// Who acts in every call.
pub(super) const AGENT: &str = "bench";
/// What the server is called.
pub(super) const SERVER: &str = "tools";

/// Their text.
pub(super) fn text() -> String {
    let mut text = String::from("@id(\"agents\") permit (principal is Deed::Agent, action, resource);\n");
    for at in 1..COUNT {
        let written = match at % 5 {
            0 => writeln!(
                text,
                "@id(\"p{at}\") forbid (principal == Deed::Agent::\"bot-{at}\", action, resource) \
                 when {{ resource.classification == \"restricted\" }};"
            ),
            1 if at < 8 => writeln!(
                text,
                "@id(\"p{at}\") forbid (principal, action == Deed::Action::\"tools/call\", resource) \
                 when {{ context.arguments has path && context.arguments.path like \"/etc/{at}/*\" }};"
            ),
            _ => writeln!(
                text,
                "@id(\"p{at}\") forbid (principal, action == Deed::Action::\"tools/call\", \
                 resource == Deed::Tool::\"server-{}/tool-{at}\") \
                 when {{ context has environment && context.environment == \"prod\" && context.clock.hour < 9 }};",
                at % 7
            ),
        };
        // INVARIANT: text grows without fail.
        if written.is_err() {
            break;
        }
    }
    text
}

/// All of them, loaded.
pub(super) fn set() -> Result<PolicySet, LoadError> {
    PolicySet::of_files(BTreeMap::from([("a.cedar".to_owned(), text())]))
}

/// What they are asked where nothing but the message is known.
pub(super) fn request<'a>(tool: &'a str, arguments: Option<&'a RawValue>) -> Request<'a> {
    let mut context = Facts::at(deed_ledger::now());
    context.arguments = arguments;
    Request {
        principal: Who::new(PrincipalType::Agent, AGENT),
        action: "tools/call",
        resource: Target::tool(SERVER, tool),
        context,
    }
}
