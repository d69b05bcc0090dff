//! A decision of Deed's that gives the right to act by itself.

use deed_record::{Basis, Kind, RecordId};

use crate::{
    approvals::{Answered, Worth},
    authority::Rights,
    case::Case,
    credential::Lineage,
    decided::Decided,
    who::People,
    words::{Edge, beside},
};

/// What Deed decided when it was in the path, and to whom.
pub(crate) struct Warrant {
    pub(crate) kind: WarrantKind,
    /// Why it gives the right.
    pub(crate) reason: String,
    /// Why what was done is within it.
    pub(crate) within: String,
}

/// By what a decision gives a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WarrantKind {
    /// A human approved this very action.
    Human,
    /// Policy allowed it, with a token that Deed issued.
    Token,
    /// Policy allowed it, to somebody whose credential Deed verified.
    Verified,
}

impl WarrantKind {
    /// What it amounts to.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            WarrantKind::Human => "approved beforehand by somebody else, and within what was given",
            WarrantKind::Token => "policy allowed it, with a right that Deed had given and that was in force",
            WarrantKind::Verified => "policy allowed it, to somebody whose credential Deed had verified",
        }
    }
}

impl Warrant {
    /// The warrant that the decision on the action of `case` is; else what is lacking for one, which is
    /// empty where nothing was decided that could be one.
    ///
    /// Whether the credential had ended is judged apart, and goes before it.
    pub(crate) fn of(
        case: &Case<'_>,
        decided: &Decided<'_>,
        lineage: &Lineage<'_>,
        people: &People<'_>,
        rights: &Rights<'_>,
    ) -> Result<Self, Vec<String>> {
        // Deed bound this answer to these very arguments (D8): no grant is needed beside it.
        let of_this = |answer: &&Answered<'_>| answer.worth == Worth::Counts && approves_this(case, answer);
        if rights.answers.iter().any(|answer| of_this(&answer)) {
            return Ok(Warrant {
                kind: WarrantKind::Human,
                reason:
                    "approved before it was done, for this very action, by somebody who neither asked nor acted"
                        .to_owned(),
                within: "the approval is for this very action, with its arguments".to_owned(),
            });
        }
        if not_asked(case, decided) {
            return Err(vec!["policy is not asked about it: it is recorded, and passes".to_owned()]);
        }
        if let Some(refusal) = decided.refusal() {
            let answers = rights.answers.iter().filter(|_| decided.asked_a_human());
            let why = answers.filter_map(|answer| match answer.worth {
                Worth::Refused => Some(format!("a human refused it: record {}", answer.claim.rec.is.id)),
                worth => worth.why().map(|why| format!("an approval does not count: {why}")),
            });
            return Err(std::iter::once(refusal).chain(why).collect());
        }
        if let Some(why) = decided.why_no_right(people.executor.edge) {
            return Err(vec![why]);
        }
        // Whoever asked may have approved it, where policy lets them: that is no right of its own.
        let own = rights.answers.iter().any(|answer| relied_on(case, answer.claim.rec.is.id));
        let Some(allowing) = decided.allowing().filter(|_| !own && !decided.asked_a_human()) else {
            return Err(Vec::new());
        };
        let moment = case.time();
        let until = lineage.expires().map(|end| format!(", in force to {}", beside(end, moment)));
        let until = until.unwrap_or_default();
        match &rights.grant {
            Some(grant) if grant.is_token() && !grant.belongs => {
                Err(vec!["the token that it relies on is not the one that was shown".to_owned()])
            }
            Some(grant) if grant.is_token() => Ok(Warrant {
                kind: WarrantKind::Token,
                reason: format!(
                    "{allowing}, with a token that Deed issued {}{until}",
                    beside(grant.claim.time(), moment)
                ),
                within: format!("{allowing}, for a token with these scopes"),
            }),
            _ => Ok(Warrant {
                kind: WarrantKind::Verified,
                reason: format!("{allowing}, to whom a credential names that Deed verified{until}"),
                within: allowing,
            }),
        }
    }
}

/// Whether the gateway let it pass as a part of the protocol, which no policy decides.
pub(crate) fn not_asked(case: &Case<'_>, decided: &Decided<'_>) -> bool {
    let head = &case.head().is;
    head.kind == Kind::Intent && head.basis == Basis::Enforced && decided.first.is_none()
}

/// Whether Deed says that the answer is for this action, or for the same call made before.
fn approves_this(case: &Case<'_>, answer: &Answered<'_>) -> bool {
    let rec = &answer.claim.rec.is;
    let own = |id: RecordId| case.family.contains(&id);
    answer.edge == Edge::Proven && (rec.action.is_some_and(own) || relied_on(case, rec.id))
}

/// Whether Deed itself let the action through on approval `id`, which it had bound to the same call.
fn relied_on(case: &Case<'_>, id: RecordId) -> bool {
    let head = &case.head().is;
    head.basis == Basis::Enforced && head.approvals.iter().flatten().any(|named| *named == id)
}
