//! The built-in schema, what an author's adds to it, and the schema that one policy is held against.

use std::collections::HashMap;

use cedar_policy::{Schema, SchemaFragment, Validator};
use serde_json::{Value, json};

use crate::{
    facts::ACTION,
    nesting,
    problem::{Place, Problem},
    set::Actions,
    types::{Fields, fields_from_json, fields_to_json, join_fields},
};

/// The name of an author's schema in a policy folder.
pub(crate) const FILE: &str = "schema.cedarschema";

/// The built-in schema: what policies may speak of. A human reads it, and so does Cedar.
pub fn schema() -> &'static str {
    include_str!("schema.cedarschema")
}

/// What stands in the built-in schema for the arguments, which are not known there.
const ARGUMENTS: &str = "type Arguments = {};";

/// The names that policies of one set may use.
pub(crate) struct Names {
    /// The built-in schema and the author's, without arguments.
    fragments: Vec<SchemaFragment>,
    /// The arguments that the author declares.
    pub(crate) declared: Fields,
    /// Each action with what it is `in`, from both schemas.
    pub(crate) actions: Actions,
    /// Validators by the arguments they know: many policies have none or the same.
    validators: HashMap<String, Validator>,
}

impl Names {
    /// The built-in names, and those of the author's schema.
    pub(crate) fn new(author: Option<&str>) -> Result<Names, Vec<Problem>> {
        // Not the author's fault, should it ever happen; a test reads the schema.
        let own = |error: &dyn std::fmt::Display| {
            let place = Place { file: FILE, text: "" };
            vec![place.problem(0, None, format!("failed to read the built-in schema: {error}"))]
        };
        let mut names = Names {
            fragments: vec![read(&schema().replace(ARGUMENTS, "")).map_err(|error| own(&error))?],
            declared: Fields::new(),
            actions: Actions::new(),
            validators: HashMap::new(),
        };
        if let Some(text) = author {
            names.add(Place { file: FILE, text })?;
        }
        let place = Place { file: FILE, text: author.unwrap_or_default() };
        let schema = names.schema(&Fields::new()).map_err(|error| vec![place.found(&*error, 0, None)])?;
        let entities = schema.action_entities().map_err(|error| own(&error))?;
        for action in entities.iter() {
            let uid = action.uid();
            let groups = entities.ancestors(&uid).into_iter().flatten();
            if uid.type_name().to_string() == ACTION {
                names.actions.insert(uid.id().unescaped().to_owned(), groups.cloned().collect());
            }
        }
        Ok(names)
    }

    /// What holds policies that mention these arguments against the schema.
    pub(crate) fn validator(
        &mut self,
        arguments: &Fields,
    ) -> Result<&Validator, Box<cedar_policy::SchemaError>> {
        let key = fields_to_json(arguments).to_string();
        if !self.validators.contains_key(&key) {
            let validator = Validator::new(self.schema(arguments)?);
            self.validators.insert(key.clone(), validator);
        }
        Ok(&self.validators[&key])
    }

    fn schema(&self, arguments: &Fields) -> Result<Schema, Box<cedar_policy::SchemaError>> {
        let mut all = self.declared.clone();
        // What is declared wins, and is what inference started from.
        let more = arguments.iter().filter(|(name, _)| !self.declared.contains_key(*name));
        join_fields(&mut all, more.map(|(name, ty)| (name.clone(), ty.clone())).collect());
        let record = json!({"type": "Record", "attributes": fields_to_json(&all)});
        let arguments = namespace(json!({"Arguments": record}));
        let arguments = SchemaFragment::from_json_value(arguments)?;
        Ok(Schema::from_schema_fragments(self.fragments.iter().cloned().chain([arguments]))?)
    }

    fn add(&mut self, place: Place<'_>) -> Result<(), Vec<Problem>> {
        if let Some(problem) = nesting::of_schema(place) {
            return Err(vec![problem]);
        }
        let fragment = read(place.text).map_err(|error| vec![place.found(&*error, 0, None)])?;
        let mut json = match fragment.clone().to_json_value() {
            Ok(json) => json,
            Err(error) => return Err(vec![place.found(&error, 0, None)]),
        };
        let arguments = json
            .get_mut("Deed")
            .and_then(|deed| deed.get_mut("commonTypes"))
            .and_then(Value::as_object_mut)
            .and_then(|types| types.remove("Arguments"));
        let mut problems = Vec::new();
        for (name, action) in json.pointer("/Deed/actions").and_then(Value::as_object).into_iter().flatten() {
            if !has_our_context(action) {
                let message = format!("the action `{name}` must have `context: Context`: all actions have");
                problems.push(place.problem(find(place.text, name), None, message));
            }
        }
        if let Some(arguments) = arguments {
            match fields_from_json(&arguments) {
                Ok(fields) => self.declared = fields,
                Err(what) => {
                    let known =
                        "there are String, Long, Bool, decimal, datetime, ipaddr, sets of these, and records";
                    let problem =
                        place.problem(find(place.text, "Arguments"), None, format!("arguments: {what}"));
                    problems.push(problem.with_help(known));
                }
            }
            // Its own text is kept where it can be, for the places in Cedar's errors.
            match SchemaFragment::from_json_value(json) {
                Ok(fragment) => self.fragments.push(fragment),
                Err(error) => problems.push(place.found(&error, 0, None)),
            }
        } else {
            self.fragments.push(fragment);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn read(text: &str) -> Result<SchemaFragment, Box<cedar_policy::CedarSchemaError>> {
    // Warnings are about names that hide Cedar's own; they take nothing away.
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text)?;
    Ok(fragment)
}

fn namespace(types: Value) -> Value {
    json!({"Deed": {"commonTypes": types, "entityTypes": {}, "actions": {}}})
}

/// Whether an action is decided with the context that Deed gives; a group of actions is never decided.
fn has_our_context(action: &Value) -> bool {
    let Some(applies) = action.get("appliesTo") else { return true };
    let none = |types: &str| applies.get(types).and_then(Value::as_array).is_none_or(Vec::is_empty);
    if none("principalTypes") || none("resourceTypes") {
        return true;
    }
    let context = applies.get("context");
    let names = ["name", "type"].map(|member| context.and_then(|context| context.get(member)?.as_str()));
    names.into_iter().flatten().any(|name| name == "Context" || name == "Deed::Context")
}

/// Where a name stands first.
fn find(text: &str, name: &str) -> usize {
    text.find(name).unwrap_or(0)
}
