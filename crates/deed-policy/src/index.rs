//! Policies by what their scope asks for, so that a decision evaluates those only that may apply.
//!
//! Cedar's answer is made of parts: a forbid that is satisfied denies, else a permit that is satisfied allows,
//! and each policy is satisfied, or fails, by itself. So the set can be split and the answers be joined. A policy
//! is left out only where its scope does not match the request, and then Cedar neither satisfies nor evaluates
//! it further. Nobody but actions has ancestors here, so that `in` is `==` for principals and resources.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint,
};

use crate::{
    annotations::Meaning,
    facts::ACTION,
    set::{Actions, Known},
    types::{Fields, join_fields},
    vocabulary::Mentions,
};

/// All policies of a set.
#[derive(Default)]
pub(crate) struct Index {
    any_action: Group,
    by_action: HashMap<String, Group>,
}

/// Policies that ask for the same action.
#[derive(Default)]
struct Group(HashMap<Slot, Vec<Bucket>>);

/// Policies whose scopes are the same, and that all look at arguments or none of them.
pub(crate) struct Bucket {
    principal: Slot,
    /// Permits, and forbids that nobody lifts.
    pub(crate) plain: PolicySet,
    /// Forbids that a human may lift.
    pub(crate) step_up: PolicySet,
    pub(crate) mentions: Mentions,
    pub(crate) arguments: Fields,
    /// Whether any of them permits.
    pub(crate) permits: bool,
}

/// What the scope asks of a principal or a resource.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Slot {
    Any,
    Type(String),
    One(String, String),
}

impl Index {
    /// Sorts policies into their places.
    pub(crate) fn new(
        policies: impl IntoIterator<Item = Policy>,
        known: &HashMap<String, Known>,
        actions: &Actions,
    ) -> Result<Index, String> {
        let mut index = Index::default();
        for policy in policies {
            let about = known.get(policy.id().as_ref() as &str).ok_or("a policy has no id")?;
            match asked_actions(policy.action_constraint(), actions) {
                None => index.any_action.add(&policy, about)?,
                Some(names) => {
                    for name in names {
                        index.by_action.entry(name).or_default().add(&policy, about)?;
                    }
                }
            }
        }
        Ok(index)
    }

    /// The policies that may apply. No policy is in two of them.
    pub(crate) fn candidates(
        &self,
        principal: (&str, &str),
        action: &str,
        resource: (&str, &str),
    ) -> Vec<&Bucket> {
        let groups = [Some(&self.any_action), self.by_action.get(action)];
        let resources = [
            Slot::Any,
            Slot::Type(resource.0.to_owned()),
            Slot::One(resource.0.to_owned(), resource.1.to_owned()),
        ];
        let buckets = groups
            .into_iter()
            .flatten()
            .filter(|group| !group.0.is_empty())
            .flat_map(|group| resources.iter().filter_map(|slot| group.0.get(slot)).flatten());
        buckets.filter(|bucket| bucket.principal.matches(principal)).collect()
    }
}

impl Group {
    fn add(&mut self, policy: &Policy, known: &Known) -> Result<(), String> {
        let buckets = self.0.entry(of_resource(policy.resource_constraint())).or_default();
        let principal = of_principal(policy.principal_constraint());
        let looks = !known.arguments.is_empty();
        let is_its = |bucket: &Bucket| bucket.principal == principal && bucket.looks_at_arguments() == looks;
        let at = match buckets.iter().position(is_its) {
            Some(at) => at,
            None => {
                buckets.push(Bucket::new(principal));
                buckets.len() - 1
            }
        };
        buckets[at].add(policy, known)
    }
}

impl Bucket {
    fn new(principal: Slot) -> Self {
        Bucket {
            principal,
            plain: PolicySet::new(),
            step_up: PolicySet::new(),
            mentions: Mentions::default(),
            arguments: Fields::new(),
            permits: false,
        }
    }

    pub(crate) fn looks_at_arguments(&self) -> bool {
        !self.arguments.is_empty()
    }

    fn add(&mut self, policy: &Policy, known: &Known) -> Result<(), String> {
        let set = match known.meaning {
            Meaning::StepUp(_) => &mut self.step_up,
            Meaning::Permit { .. } | Meaning::Forbid => &mut self.plain,
        };
        set.add(policy.clone()).map_err(|error| error.to_string())?;
        self.permits |= matches!(known.meaning, Meaning::Permit { .. });
        self.mentions = self.mentions.join(known.mentions);
        join_fields(&mut self.arguments, known.arguments.clone());
        Ok(())
    }
}

impl Slot {
    fn matches(&self, (kind, id): (&str, &str)) -> bool {
        match self {
            Slot::Any => true,
            Slot::Type(asked) => asked == kind,
            Slot::One(asked_kind, asked_id) => asked_id == id && asked_kind == kind,
        }
    }

    fn one(uid: &EntityUid) -> Slot {
        Slot::One(uid.type_name().to_string(), uid.id().unescaped().to_owned())
    }

    fn kind(kind: &EntityTypeName) -> Slot {
        Slot::Type(kind.to_string())
    }
}

/// The names of all actions that satisfy the scope; `None` for any.
fn asked_actions(constraint: ActionConstraint, actions: &Actions) -> Option<BTreeSet<String>> {
    let asked = match constraint {
        ActionConstraint::Any => return None,
        ActionConstraint::Eq(action) => return Some(ours(&action).into_iter().collect()),
        ActionConstraint::In(asked) => asked,
    };
    let members = actions.iter().filter(|(_, groups)| groups.iter().any(|group| asked.contains(group)));
    Some(members.map(|(name, _)| name.clone()).chain(asked.iter().filter_map(ours)).collect())
}

/// The name of an action that requests can have.
fn ours(action: &EntityUid) -> Option<String> {
    (action.type_name().to_string() == ACTION).then(|| action.id().unescaped().to_owned())
}

fn of_principal(constraint: PrincipalConstraint) -> Slot {
    match constraint {
        PrincipalConstraint::Any => Slot::Any,
        PrincipalConstraint::Is(kind) => Slot::kind(&kind),
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
            Slot::one(&uid)
        }
    }
}

fn of_resource(constraint: ResourceConstraint) -> Slot {
    match constraint {
        ResourceConstraint::Any => Slot::Any,
        ResourceConstraint::Is(kind) => Slot::kind(&kind),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            Slot::one(&uid)
        }
    }
}

#[cfg(test)]
mod tests;
