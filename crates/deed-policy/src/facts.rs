//! A request in Cedar's terms: only what a policy that may apply looks at is built.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Value,
};
use deed_record::{PrincipalType, Timestamp};

use crate::{
    arguments::datetime,
    request::{Facts, Request, Target, Who},
    vocabulary::{Mentions, entity_type},
};

/// The type of every action that is decided.
pub(crate) const ACTION: &str = "Deed::Action";
/// The type of tools.
pub(crate) const TOOL: &str = "Deed::Tool";
/// The type of all else.
pub(crate) const RESOURCE: &str = "Deed::Resource";

/// The entity types, parsed.
pub(crate) struct Types {
    principals: Vec<(PrincipalType, EntityTypeName)>,
    action: EntityTypeName,
    tool: EntityTypeName,
    resource: EntityTypeName,
}

impl Types {
    pub(crate) fn new() -> Result<Self, String> {
        let parse = |name: &str| name.parse::<EntityTypeName>().map_err(|error| error.to_string());
        let principal = |kind: &PrincipalType| Ok((*kind, parse(entity_type(*kind))?));
        Ok(Types {
            principals: PrincipalType::ALL.iter().map(principal).collect::<Result<_, String>>()?,
            action: parse(ACTION)?,
            tool: parse(TOOL)?,
            resource: parse(RESOURCE)?,
        })
    }

    /// The request, and what is known of those it names.
    pub(crate) fn build(
        &self,
        request: &Request<'_>,
        resource_id: &str,
        groups: &[EntityUid],
        arguments: Vec<(String, Value)>,
        mentions: Mentions,
    ) -> Result<(cedar_policy::Request, Entities), String> {
        let principal_type = self.principals.iter().find(|(kind, _)| *kind == request.principal.kind);
        let (_, principal_type) = principal_type.ok_or("the type of the principal is not known")?;
        let principal = uid(principal_type, request.principal.id);
        let action = uid(&self.action, request.action);
        let resource = match request.resource {
            Target::Tool { .. } => uid(&self.tool, resource_id),
            Target::Resource { .. } => uid(&self.resource, resource_id),
        };
        let mut entities = Vec::with_capacity(3);
        if mentions.principal() {
            entities.push(entity(principal.clone(), party(&request.principal))?);
        }
        if mentions.resource() {
            entities.push(entity(resource.clone(), target(&request.resource))?);
        }
        if !groups.is_empty() {
            entities.push(Entity::new_no_attrs(action.clone(), groups.iter().cloned().collect()));
        }
        let entities = if entities.is_empty() {
            Entities::empty()
        } else {
            Entities::from_entities(entities, None).map_err(|_| "the principal is also the resource")?
        };
        let context = Context::from_pairs(context(&request.context, arguments, mentions))
            .map_err(|_| "the context has no form that policies know")?;
        // Without a schema: what it asks for was checked when the policies were loaded.
        let request = cedar_policy::Request::new(principal, action, resource, context, None)
            .map_err(|_| "the request has no form that policies know")?;
        Ok((request, entities))
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn entity(uid: EntityUid, attributes: Pairs) -> Result<Entity, String> {
    let attributes: HashMap<String, Value> = attributes.into_iter().collect();
    Entity::new(uid, attributes, HashSet::new())
        .map_err(|_| "an attribute has no form that policies know".into())
}

type Pairs = Vec<(String, Value)>;

fn party(who: &Who<'_>) -> Pairs {
    let mut pairs = Vec::with_capacity(6);
    put(&mut pairs, "type", text(who.kind.as_str()));
    put(&mut pairs, "name", text(who.id));
    put(&mut pairs, "environments", texts(&who.environments));
    for (name, value) in [("owner", who.owner), ("sponsor", who.sponsor), ("vendor", who.vendor)] {
        put_some(&mut pairs, name, value.map(text));
    }
    pairs
}

fn target(target: &Target<'_>) -> Pairs {
    let mut pairs = Vec::with_capacity(5);
    let (classification, restricted_fields) = match target {
        Target::Tool { server, name, version, classification, restricted_fields } => {
            put(&mut pairs, "server", text(server));
            put(&mut pairs, "name", text(name));
            put_some(&mut pairs, "version", version.map(text));
            (classification, restricted_fields)
        }
        Target::Resource { uri, kind, classification, restricted_fields } => {
            put(&mut pairs, "uri", text(uri));
            put_some(&mut pairs, "type", kind.map(text));
            (classification, restricted_fields)
        }
    };
    put(&mut pairs, "classification", text(classification));
    put(&mut pairs, "restricted_fields", texts(restricted_fields));
    pairs
}

fn context(facts: &Facts<'_>, arguments: Pairs, mentions: Mentions) -> Pairs {
    let mut pairs = Vec::with_capacity(11);
    let mut add = |name: &str, value: &dyn Fn() -> Option<Value>| {
        if mentions.member(name) {
            put_some(&mut pairs, name, value());
        }
    };
    add("initiator", &|| facts.initiator.as_ref().and_then(|who| record(party(who))));
    add("chain_depth", &|| Some(Value::new_long(i64::from(facts.chain_depth))));
    add("classification", &|| Some(text(facts.classification)));
    add("environment", &|| facts.environment.map(text));
    add("tenant", &|| Some(text(facts.tenant)));
    add("time", &|| Some(datetime(facts.time)));
    add("clock", &|| record(clock(facts.time)));
    add("task", &|| facts.task.map(text));
    add("credential", &|| {
        let credential = facts.credential.as_ref()?;
        let mut pairs = Vec::with_capacity(4);
        put(&mut pairs, "scopes", texts(&credential.scopes));
        put(&mut pairs, "delegated", Value::new_bool(credential.delegated));
        put_some(&mut pairs, "expires", credential.expires.map(datetime));
        put_some(&mut pairs, "age_seconds", credential.age_seconds.map(Value::new_long));
        record(pairs)
    });
    add("approval", &|| {
        let approval = facts.approval.as_ref()?;
        let mut pairs = Vec::with_capacity(2);
        put_some(&mut pairs, "by", record(party(&approval.by)));
        put(&mut pairs, "time", datetime(approval.time));
        record(pairs)
    });
    if mentions.member("arguments") {
        put_some(&mut pairs, "arguments", record(arguments));
    }
    pairs
}

/// The parts of a time in UTC.
fn clock(time: Timestamp) -> Pairs {
    let written = time.to_text();
    let written = std::str::from_utf8(&written).unwrap_or_default();
    let number =
        |from: usize, to: usize| written.get(from..to).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let (hour, minute) = (number(11, 13), number(14, 16));
    // The epoch was a Thursday.
    let weekday = time.0.div_euclid(86_400_000_000).rem_euclid(7) as usize;
    let mut pairs = Vec::with_capacity(8);
    put(&mut pairs, "date", text(written.get(..10).unwrap_or_default()));
    put(&mut pairs, "weekday", text(WEEKDAYS[weekday]));
    for (name, value) in [
        ("year", number(0, 4)),
        ("month", number(5, 7)),
        ("day", number(8, 10)),
        ("hour", hour),
        ("minute", minute),
        ("minute_of_day", hour * 60 + minute),
    ] {
        put(&mut pairs, name, Value::new_long(value));
    }
    pairs
}

const WEEKDAYS: [&str; 7] = ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];

fn put(pairs: &mut Pairs, name: &str, value: Value) {
    pairs.push((name.to_owned(), value));
}

fn put_some(pairs: &mut Pairs, name: &str, value: Option<Value>) {
    pairs.extend(value.map(|value| (name.to_owned(), value)));
}

/// Our own members never stand twice, which is all that Cedar could refuse.
fn record(pairs: Pairs) -> Option<Value> {
    Value::new_record(pairs).ok()
}

fn text(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

fn texts(texts: &[&str]) -> Value {
    Value::new_set(texts.iter().map(|one| text(one)))
}
