//! Cedar, asked about one request.

use std::collections::HashMap;

use cedar_policy::{AuthorizationError, Authorizer, Decision, Entities, EvaluationError, Policy, PolicySet};

use crate::{
    arguments::{self, Mapped},
    facts::{RESOURCE, TOOL, Types},
    index::{Bucket, Index},
    request::{Request, Target},
    set::{Actions, Known},
    types::{Fields, join_fields},
    vocabulary::{Mentions, entity_type},
};

/// Parsed policies. What it holds is shared with no other engine: Cedar counts references wherever it goes, and
/// two threads that count the same ones are no faster than one.
pub(crate) struct Engine {
    authorizer: Authorizer,
    index: Index,
    types: Types,
    /// The groups of actions that have any.
    groups: Actions,
}

/// What the policies that may apply say.
#[derive(Default)]
pub(crate) struct Opinion {
    /// The permits that are satisfied; all of them where no forbid is.
    pub(crate) permits: Vec<String>,
    /// The forbids that are satisfied and that nobody lifts.
    pub(crate) forbids: Vec<String>,
    /// The forbids that are satisfied and that a human may lift.
    pub(crate) step_ups: Vec<String>,
    /// What went wrong.
    pub(crate) errors: Vec<String>,
    /// The arguments that are mentioned, as JSON.
    pub(crate) arguments: String,
    /// Those that could not be mapped.
    pub(crate) refused: Vec<String>,
}

impl Engine {
    pub(crate) fn new(
        policies: Vec<Policy>,
        known: &HashMap<String, Known>,
        actions: &Actions,
    ) -> Result<Engine, String> {
        let index = Index::new(policies, known, actions)?;
        Engine::of(index, actions)
    }

    pub(crate) fn of(index: Index, actions: &Actions) -> Result<Engine, String> {
        let groups = actions.iter().filter(|(_, groups)| !groups.is_empty());
        let groups = groups.map(|(name, groups)| (name.clone(), groups.clone())).collect();
        Ok(Engine { authorizer: Authorizer::new(), index, types: Types::new()?, groups })
    }

    /// Asks all policies that may apply.
    ///
    /// `refused` are arguments that could not be mapped when this was decided first.
    pub(crate) fn ask(&self, request: &Request<'_>, refused: Vec<String>) -> Opinion {
        self.ask_all(&self.candidates(request), request, refused)
    }

    /// Whether some arguments may let the request through: what looks at none decides; of what does, a permit is taken for
    /// satisfied and a forbid is not.
    pub(crate) fn may_allow(&self, request: &Request<'_>) -> bool {
        let (looking, others): (Vec<&Bucket>, Vec<&Bucket>) =
            self.candidates(request).into_iter().partition(|bucket| bucket.looks_at_arguments());
        let opinion = self.ask_all(&others, request, Vec::new());
        let is_permitted = !opinion.permits.is_empty() || looking.iter().any(|bucket| bucket.permits);
        !opinion.errors.is_empty() || opinion.forbids.is_empty() && is_permitted
    }

    fn candidates(&self, request: &Request<'_>) -> Vec<&Bucket> {
        let principal = (entity_type(request.principal.kind), request.principal.id);
        self.index.candidates(principal, request.action, (kind(&request.resource), &request.resource.id()))
    }

    fn ask_all(&self, buckets: &[&Bucket], request: &Request<'_>, refused: Vec<String>) -> Opinion {
        let mentions = buckets.iter().fold(Mentions::default(), |all, bucket| all.join(bucket.mentions));
        let joined;
        let wanted = match with_arguments(buckets).as_slice() {
            [] => &Fields::new(),
            [one] => &one.arguments,
            several => {
                let mut fields = Fields::new();
                several.iter().for_each(|bucket| join_fields(&mut fields, bucket.arguments.clone()));
                joined = fields;
                &joined
            }
        };
        let Mapped { members, text, errors } = arguments::map(request.context.arguments, wanted);
        let mut opinion = Opinion { arguments: text, refused, ..Opinion::default() };
        opinion.refused.extend(errors);
        // INVARIANT D13: what cannot be mapped is not decided on.
        if !opinion.refused.is_empty() {
            opinion.errors.clone_from(&opinion.refused);
            return opinion;
        }
        let groups = self.groups.get(request.action).map_or(&[][..], Vec::as_slice);
        match self.types.build(request, &request.resource.id(), groups, members, mentions) {
            Ok((request, entities)) => {
                for bucket in buckets {
                    self.ask_bucket(bucket, &request, &entities, &mut opinion);
                }
            }
            Err(error) => opinion.errors.push(error),
        }
        for list in [&mut opinion.permits, &mut opinion.forbids, &mut opinion.step_ups, &mut opinion.errors] {
            list.sort();
        }
        opinion
    }

    fn ask_bucket(
        &self,
        bucket: &Bucket,
        request: &cedar_policy::Request,
        entities: &Entities,
        opinion: &mut Opinion,
    ) {
        let mut ask = |policies: &PolicySet, forbids: &mut Vec<String>| {
            if policies.is_empty() {
                return;
            }
            let response = self.authorizer.is_authorized(request, policies, entities);
            let reasons = response.diagnostics().reason().map(|id| (id.as_ref() as &str).to_owned());
            match response.decision() {
                Decision::Allow => opinion.permits.extend(reasons),
                Decision::Deny => forbids.extend(reasons),
            }
            opinion.errors.extend(response.diagnostics().errors().map(describe));
        };
        ask(&bucket.plain, &mut opinion.forbids);
        ask(&bucket.step_up, &mut opinion.step_ups);
    }
}

fn kind(target: &Target<'_>) -> &'static str {
    match target {
        Target::Tool { .. } => TOOL,
        Target::Resource { .. } => RESOURCE,
    }
}

fn with_arguments<'b>(buckets: &[&'b Bucket]) -> Vec<&'b Bucket> {
    buckets.iter().copied().filter(|bucket| bucket.looks_at_arguments()).collect()
}

/// What went wrong, in our words: Cedar's may quote values (D9).
fn describe(error: &AuthorizationError) -> String {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    let what = match error.inner() {
        EvaluationError::EntityDoesNotExist(_) => "it reads an attribute of an entity that is not known",
        EvaluationError::EntityAttrDoesNotExist(_) => "it reads an attribute that the entity does not have",
        EvaluationError::RecordAttrDoesNotExist(_) => "it reads a member that is not there",
        EvaluationError::TypeError(_) => "a value has not the type that it expects",
        EvaluationError::IntegerOverflow(_) => "a number becomes too large for 64 bits",
        EvaluationError::FailedExtensionFunctionExecution(_) => {
            "a function does not take the value it is given"
        }
        EvaluationError::RecursionLimit(_) => "it is nested too deeply",
        _ => "Cedar cannot evaluate it",
    };
    format!("policy `{}` could not be evaluated: {what}", error.policy_id())
}
