//! Whether the action stayed within what was held and what was granted.

use std::ops::Deref;

use deed_record::{Resource, Skeleton, Text};

use crate::{authority::Given, case::Case, credential::Lineage, explanation::Part, words::Scope};

/// The scope part of a verdict, and what was overrun.
pub(crate) struct Reach {
    pub(crate) part: Part<Scope>,
    /// It was outside what the credential holds: a system should have refused it.
    pub(crate) beyond_credential: bool,
    /// It was outside what was granted.
    pub(crate) beyond_grant: bool,
}

impl Reach {
    /// Compares what was used with what the credential held and what was granted.
    ///
    /// Where that tells nothing, `warrant` does: the decision that by itself gave the right to do this.
    pub(crate) fn of(
        case: &Case<'_>,
        lineage: &Lineage<'_>,
        grant: Option<&Given<'_>>,
        warrant: Option<&str>,
    ) -> Self {
        let mut reach = Reach {
            part: Part { value: Scope::Unverified, reasons: Vec::new() },
            beyond_credential: false,
            beyond_grant: false,
        };
        let held = lineage
            .scopes()
            .map(|(rec, scopes)| ("the credential holds", scopes, format!(" ({})", rec.said_by())));
        // A token's scopes are those of the credential, and its door checked where it may be shown.
        let grant = grant.filter(|grant| !grant.is_token());
        let terms = grant.and_then(|grant| grant.claim.terms.map(|terms| (grant, terms)));
        let granted = terms.map(|(grant, terms)| {
            let scopes =
                if grant.standing.scopes.is_empty() { &terms.scopes[..] } else { grant.standing.scopes };
            ("the grant gives", scopes, String::new())
        });
        let granted = granted.filter(|(_, scopes, _)| !scopes.is_empty());

        let mut compared = Vec::new();
        if let Some((what, scopes, said_by)) = &held {
            let side = reach.compare(case, what, scopes, said_by);
            reach.beyond_credential = side == Scope::Out;
            compared.push(side);
        }
        if let Some((what, scopes, said_by)) = &granted {
            let side = reach.compare(case, what, scopes, said_by);
            reach.beyond_grant = side == Scope::Out;
            compared.push(side);
        }
        if compared.is_empty() && warrant.is_none() {
            reach
                .part
                .reasons
                .push("no record says which scopes the credential held or which were granted".to_owned());
        }
        // A bound can only narrow: being within it is no right by itself.
        if let Some(bound) = grant.and_then(|grant| grant.claim.resource) {
            let side = reach.within(case, bound);
            reach.beyond_grant |= side == Scope::Out;
            if side != Scope::In {
                compared.push(side);
            }
        }
        if let Some(warrant) = warrant
            && !compared.contains(&Scope::Out)
            && !compared.contains(&Scope::In)
        {
            compared = vec![Scope::In];
            reach.part.reasons = vec![warrant.to_owned()];
        }
        reach.part.value = if compared.contains(&Scope::Out) {
            Scope::Out
        } else if compared.contains(&Scope::Unverified) || compared.is_empty() {
            Scope::Unverified
        } else {
            Scope::In
        };
        reach
    }

    /// Whether what was used is among `scopes`.
    fn compare(&mut self, case: &Case<'_>, what: &str, scopes: &[Text<'_>], said_by: &str) -> Scope {
        let held = list(scopes);
        let covers = |used: &str| scopes.iter().find(|scope| matches(scope, used));
        let permission = case.of_action().find_map(|rec| rec.is.permission.as_ref());
        let operation = case.of_action().find_map(|rec| rec.is.operation.as_ref());
        let (side, reason) = match (permission, operation) {
            (Some(used), _) => match covers(used) {
                Some(scope) if **scope == **used => (Scope::In, format!("{what} `{used}`")),
                Some(scope) => (Scope::In, format!("{what} `{scope}`, which covers `{used}`")),
                None => (Scope::Out, format!("{what} {held}, which does not cover `{used}`")),
            },
            // An operation need not be named as scopes are: only a match tells anything.
            (None, Some(used)) => match covers(used) {
                Some(scope) => (Scope::In, format!("{what} `{scope}`, which covers `{used}`")),
                None => {
                    (Scope::Unverified, format!("{what} {held}; which of them `{used}` used is not recorded"))
                }
            },
            (None, None) => (Scope::Unverified, format!("{what} {held}; what was used is not recorded")),
        };
        self.part.reasons.push(reason + said_by);
        side
    }

    /// Whether what was acted upon is within the grant's bound.
    fn within(&mut self, case: &Case<'_>, bound: &Resource<'_>) -> Scope {
        let bound = &*bound.uri;
        let (side, reason) = match case.of_action().find_map(|rec| rec.is.resource.as_ref()) {
            None => (
                Scope::Unverified,
                format!("the grant is bound to `{bound}`; what was acted upon is not recorded"),
            ),
            Some(used) if matches(bound, &used.uri) => {
                (Scope::In, format!("the grant is bound to `{bound}`, which covers `{}`", used.uri))
            }
            Some(used) => {
                (Scope::Out, format!("the grant is bound to `{bound}`, which does not cover `{}`", used.uri))
            }
        };
        self.part.reasons.push(reason);
        side
    }
}

/// How a right bears on what was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bearing {
    Covers,
    /// It is for something else.
    Apart,
    /// The two cannot be compared.
    Unknown,
}

/// How a right with these scopes, within `bound`, bears on what `rec` tells of.
pub(crate) fn bearing<S: Deref<Target = str>>(
    scopes: &[S],
    bound: Option<&str>,
    rec: &Skeleton<'_>,
) -> Bearing {
    let permission = rec.permission.as_deref();
    let used = permission.or(rec.operation.as_deref());
    let scoped = used.is_some_and(|used| scopes.iter().any(|scope| matches(scope, used)));
    let place = rec.resource.as_ref().map(|resource| &*resource.uri);
    let placed = bound.zip(place).map(|(bound, used)| matches(bound, used));
    // An operation need not be named as scopes are.
    let other = |used: &str| !scopes.is_empty() && scopes.iter().all(|scope| is_alike(scope, used));
    match placed {
        Some(true) if scopes.is_empty() => Bearing::Covers,
        Some(false) if scoped => Bearing::Apart,
        _ if scoped => Bearing::Covers,
        // What a role allows is not known, and where it does.
        _ if scopes.is_empty() && bound.zip(place).is_some_and(|(bound, used)| is_elsewhere(bound, used)) => {
            Bearing::Apart
        }
        _ if permission.is_some_and(other) => Bearing::Apart,
        _ => Bearing::Unknown,
    }
}

/// Whether `used` is not among all that is in something, as `bound` says: `kubernetes:namespaces/pay/*`.
fn is_elsewhere(bound: &str, used: &str) -> bool {
    bound.strip_suffix("/*").is_some_and(|whole| whole != used && !matches(bound, used))
}

/// What stands before the name of a policy that is its holder's own: `inline:backup`.
const INLINE: &str = "inline:";

/// Whether both are written alike, with the same signs between words, so that one may be held against the other: the
/// name of a policy or a role says nothing of the permissions in it.
fn is_alike(scope: &str, used: &str) -> bool {
    if scope.starts_with(INLINE) {
        return false;
    }
    let signs =
        |text: &str| text.chars().filter(|c| !c.is_alphanumeric() && !"-_".contains(*c)).collect::<String>();
    let (beginning, used) = (scope.strip_suffix('*').unwrap_or(scope), signs(used));
    let own = signs(beginning);
    let same = if beginning == scope { own == used } else { used.starts_with(&own) };
    !own.is_empty() && !own.contains('*') && same
}

/// Whether `scope` covers `used`: the same text, or a text that ends in `*` and begins the same.
/// Case matters; nothing else is a wildcard.
pub(crate) fn matches(scope: &str, used: &str) -> bool {
    match scope.strip_suffix('*') {
        Some(beginning) => used.starts_with(beginning),
        None => scope == used,
    }
}

fn list(scopes: &[Text<'_>]) -> String {
    const SHOWN: usize = 5;
    let mut words: Vec<String> = scopes.iter().take(SHOWN).map(|scope| format!("`{scope}`")).collect();
    if scopes.len() > SHOWN {
        words.push(format!("{} more", scopes.len() - SHOWN));
    }
    words.join(", ")
}
