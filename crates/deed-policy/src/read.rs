//! Policy files, read and held against the schema: every problem at once.

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicyId, PolicySet, ValidationMode, ValidationWarning, pst};

use crate::{
    annotations::{self, Meaning},
    infer, nesting,
    problem::{Place, Problem},
    schema::{FILE, Names},
    types::Fields,
    vocabulary::Mentions,
};

/// What a policy file is called.
pub(crate) const EXTENSION: &str = ".cedar";

/// A policy that can be evaluated, with what is known about it.
pub(crate) struct Authored {
    /// Named by its `@id`.
    pub(crate) policy: Policy,
    pub(crate) meaning: Meaning,
    /// The arguments it mentions.
    pub(crate) arguments: Fields,
    pub(crate) mentions: Mentions,
}

/// Reads all policies of a folder, in the order of files and of policies in them.
pub(crate) fn policies(files: &BTreeMap<String, String>) -> Result<(Vec<Authored>, Names), Vec<Problem>> {
    let mut names = Names::new(files.get(FILE).map(String::as_str))?;
    let mut problems = Vec::new();
    let mut found: Vec<Authored> = Vec::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in files.iter().filter(|(name, _)| name.ends_with(EXTENSION)) {
        let place = Place { file, text };
        if let Some(problem) = nesting::of_policies(place) {
            problems.push(problem);
            continue;
        }
        let set: PolicySet = match text.parse() {
            Ok(set) => set,
            Err(errors) => {
                problems.extend(errors.iter().map(|error| place.found(error, 0, None)));
                continue;
            }
        };
        for template in set.templates() {
            let message = "policies with `?principal` or `?resource` are templates, which Deed does not link";
            problems.push(place.problem(0, template.annotation("id"), message));
        }
        for (start, policy) in in_order(&set, text) {
            let id = match annotations::id(policy, place, start) {
                Ok(id) => id,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let here = place.problem(start, Some(&id), format!("the id `{id}` is taken"));
            if let Some(there) = places.get(&id) {
                problems
                    .push(Problem { message: format!("{} by the policy at {there}", here.message), ..here });
                continue;
            }
            places.insert(id.clone(), format!("{file}:{}:{}", here.line, here.column));
            let before = problems.len();
            let meaning = annotations::meaning(policy, &id, place, start, &mut problems);
            // INVARIANT D13: Cedar names policies by position; records must name them as their authors do.
            let policy = policy.new_id(PolicyId::new(&id));
            match validated(policy, meaning, &id, &mut names, place, start) {
                Ok(authored) if problems.len() == before => found.push(authored),
                Ok(_) => {}
                Err(more) => problems.extend(more),
            }
        }
    }
    if found.is_empty() && problems.is_empty() {
        let place = Place { file: "*.cedar", text: "" };
        let problem = place.problem(0, None, "there is no policy: nothing would be allowed");
        problems
            .push(problem.with_help("write at least one `permit` into a file whose name ends in `.cedar`"));
    }
    problems.sort();
    if problems.is_empty() { Ok((found, names)) } else { Err(problems) }
}

/// Reads the policies of a file that was read before; a copy that shares nothing with the first.
pub(crate) fn again(text: &str) -> Option<Vec<Policy>> {
    let set: PolicySet = text.parse().ok()?;
    let named = |policy: &Policy| Some(policy.new_id(PolicyId::new(policy.annotation("id")?)));
    set.policies().map(named).collect()
}

fn validated(
    policy: Policy,
    meaning: Meaning,
    id: &str,
    names: &mut Names,
    place: Place<'_>,
    start: usize,
) -> Result<Authored, Vec<Problem>> {
    let of_policy = |message: String| place.problem(start, Some(id), message);
    let tree = policy.to_pst().map_err(|error| vec![of_policy(error.to_string())])?;
    let body: &pst::Template = tree.body();
    let arguments = infer::arguments(body, &names.declared).map_err(|wrong| {
        let declare = "declare it in `schema.cedarschema`, as a member of `type Arguments`";
        wrong.into_iter().map(|message| of_policy(message).with_help(declare)).collect::<Vec<_>>()
    })?;
    let mentions = Mentions::of(body);
    let alone =
        PolicySet::from_policies([policy.clone()]).map_err(|error| vec![of_policy(error.to_string())])?;
    let validator = names.validator(&arguments).map_err(|error| vec![of_policy(error.to_string())])?;
    let result = validator.validate(&alone, ValidationMode::Strict);
    let found = result.validation_errors().map(|error| place.found(error, start, Some(id)));
    let mut problems: Vec<Problem> = found.collect();
    if problems.is_empty() {
        // A policy that can never apply, or that is not what it looks like, is a mistake too. Names in scripts
        // that others may be mistaken for are not: they may be what somebody's tools are called.
        use ValidationWarning as Warning;
        let mistake = |warning: &&Warning| {
            !matches!(
                warning,
                Warning::MixedScriptString(_)
                    | Warning::MixedScriptIdentifier(_)
                    | Warning::ConfusableIdentifier(_)
            )
        };
        let found = result.validation_warnings().filter(mistake);
        let found = found.map(|warning| place.found(warning, start, Some(id)));
        problems.extend(found);
    }
    // Cedar says it for each kind of request that the policy is about; once is enough for one place.
    problems.sort();
    problems.dedup_by_key(|problem| (problem.line, problem.column));
    if problems.is_empty() { Ok(Authored { policy, meaning, arguments, mentions }) } else { Err(problems) }
}

/// The policies of a file as they stand in it, each with the byte where it starts.
fn in_order<'a>(set: &'a PolicySet, text: &str) -> Vec<(usize, &'a Policy)> {
    let mut policies: Vec<&Policy> = set.policies().collect();
    // Cedar calls them `policy0`, `policy1` and so on.
    let position = |policy: &Policy| {
        let digits = policy.id().as_ref() as &str;
        digits.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(usize::MAX)
    };
    policies.sort_by_key(|policy| position(policy));
    let mut from = 0;
    let place = |policy: &'a Policy| {
        let source = policy.to_cedar().unwrap_or_default();
        let start = text[from..].find(&source).map_or(from, |at| from + at);
        from = (start + source.len()).min(text.len());
        (start, policy)
    };
    policies.into_iter().map(place).collect()
}
