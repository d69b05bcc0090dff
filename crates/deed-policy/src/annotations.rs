//! What authors say about a policy beside it: `@id`, `@effect`, `@approver`, `@mask`, `@capture`, `@tier`.

use std::collections::BTreeSet;

use cedar_policy::{Effect, Policy};

use crate::{
    decided::{Approver, Capture, Tier},
    problem::{Place, Problem},
};

/// What the annotations of a policy say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// A permit, with its obligations.
    Permit { mask: BTreeSet<String>, capture: Option<Capture>, tier: Option<Tier> },
    /// A forbid that nobody lifts.
    Forbid,
    /// A forbid that a human may lift.
    StepUp(Approver),
}

/// Reads the id, or says that there is none to be used.
pub(crate) fn id(policy: &Policy, place: Place<'_>, start: usize) -> Result<String, Problem> {
    let help = "write `@id(\"…\")` before it: records name policies by it";
    let Some(id) = policy.annotation("id") else {
        return Err(place.problem(start, None, "the policy has no `@id`").with_help(help));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 128 || !id.chars().all(plain) {
        let found = id.escape_debug();
        let message = format!("expected an id of 1 to 128 letters, digits, `-`, `_` or `.`, found `{found}`");
        return Err(place.problem(annotation_at(place, start, "id"), None, message));
    }
    Ok(id.to_owned())
}

/// Reads the other annotations of the policy `id`, which starts at `start`.
pub(crate) fn meaning(
    policy: &Policy,
    id: &str,
    place: Place<'_>,
    start: usize,
    problems: &mut Vec<Problem>,
) -> Meaning {
    let mut refuse = |name: &str, message: String| {
        problems.push(place.problem(annotation_at(place, start, name), Some(id), message));
    };
    let forbids = policy.effect() == Effect::Forbid;
    let (mut step_up, mut approver) = (false, None);
    let (mut mask, mut capture, mut tier) = (BTreeSet::new(), None, None);
    for (name, value) in policy.annotations() {
        let found = value.escape_debug();
        match name {
            "id" => {}
            "effect" | "approver" if !forbids => {
                refuse(name, format!("`@{name}` belongs on a `forbid`: a human lifts it"));
            }
            "mask" | "capture" if forbids => {
                refuse(name, format!("`@{name}` belongs on a `permit`: what is forbidden has no result"));
            }
            "tier" if forbids => {
                refuse(name, "`@tier` belongs on a `permit`: what is forbidden is not done".to_owned());
            }
            "effect" if value == "step_up" => step_up = true,
            "effect" => refuse(name, format!("expected `@effect(\"step_up\")`, found `{found}`")),
            "approver" if value == "self" => approver = Some(Approver::SelfApproval),
            "approver" if is_group(value) => approver = Some(Approver::Group(value.to_owned())),
            "approver" => refuse(name, format!("expected `self` or the name of one group, found `{found}`")),
            "mask" => {
                for path in value.split(',').map(str::trim) {
                    if is_path(path) {
                        mask.insert(path.to_owned());
                    } else {
                        let found = path.escape_debug();
                        refuse(
                            name,
                            format!("expected a path such as `result.owner.phone`, found `{found}`"),
                        );
                    }
                }
            }
            "capture" if value == "full" => capture = Some(Capture::Full),
            "capture" if value == "summary" => capture = Some(Capture::Summary),
            "capture" => refuse(name, format!("expected `full` or `summary`, found `{found}`")),
            "tier" if value == "low" => tier = Some(Tier::Low),
            "tier" => refuse(name, format!("expected `@tier(\"low\")`, found `{found}`")),
            _ => {
                let known = "`@id`, `@effect`, `@approver`, `@mask`, `@capture` and `@tier`";
                refuse(name, format!("`@{name}` is not an annotation of Deed; there are {known}"));
            }
        }
    }
    if approver.is_some() && !step_up {
        refuse("approver", "`@approver` without `@effect(\"step_up\")`: nobody is asked".to_owned());
    }
    if tier.is_some() && !mask.is_empty() {
        refuse(
            "tier",
            "`@tier(\"low\")` beside `@mask`: what holds something back is no low risk".to_owned(),
        );
    }
    match (forbids, step_up) {
        (false, _) => Meaning::Permit { mask, capture, tier },
        (true, false) => Meaning::Forbid,
        (true, true) => Meaning::StepUp(approver.unwrap_or(Approver::Anybody)),
    }
}

fn is_group(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '@');
    !text.is_empty() && text.len() <= 128 && text.chars().all(plain)
}

/// `result`, or names behind it, with points between them.
fn is_path(text: &str) -> bool {
    let mut names = text.split('.');
    let plain = |name: &str| !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    names.next() == Some("result") && names.all(plain)
}

/// Where the annotation stands; where the policy starts, if that cannot be told.
fn annotation_at(place: Place<'_>, start: usize, name: &str) -> usize {
    let policy = place.text.get(start..).unwrap_or_default();
    policy.find(&format!("@{name}")).map_or(start, |at| start + at)
}
