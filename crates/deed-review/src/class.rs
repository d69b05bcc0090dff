//! One word for attribution, authority and scope: the decision table of `docs/explain.md`.

use deed_record::Ruling;

use crate::{
    approvals::Worth,
    rules::GRANT_WITHOUT_APPROVAL,
    verdict::Links,
    warrant::not_asked,
    words::{Attribution, Authority, Class, Edge, Scope},
};

impl Links<'_> {
    /// The word, and why.
    pub(crate) fn class(
        &self,
        attribution: Attribution,
        authority: Authority,
        scope: Scope,
    ) -> (Class, &'static str) {
        let ended = matches!(authority, Authority::Revoked | Authority::Expired);
        if ended || scope == Scope::Out {
            return match self.took_effect() {
                Some(false) => (Class::Unverified, "it had no right to happen, and it did not"),
                None => (Class::Unverified, "it had no right to happen; whether it did is not known"),
                Some(true) if authority == Authority::Revoked && self.revoked().is_empty() => {
                    (Class::ControlFailure, "whoever did it was suspended, and it still worked")
                }
                Some(true) if authority == Authority::Revoked => {
                    (Class::ControlFailure, "the right had been taken away, and it still worked")
                }
                Some(true) if ended => (Class::ControlFailure, "the right had ended, and it still worked"),
                Some(true) if self.reach.beyond_credential => {
                    (Class::ControlFailure, "the credential does not hold what was used, and it still worked")
                }
                Some(true) => {
                    (Class::Abuse, "a right was given, and more was done with it than it was given for")
                }
            };
        }
        if let Some(held) = self.held() {
            return held;
        }
        if matches!(authority, Authority::Bypassed | Authority::Unapproved) {
            return self.never_given(authority);
        }
        if not_asked(self.case, &self.decided) && authority == Authority::Unverified {
            return (Class::Unverified, "policy is not asked about it: it was recorded, and passed");
        }
        let allowed = self.decided.enforced().is_some_and(|decision| decision.effect == Ruling::Allow);
        if allowed && authority == Authority::Unverified && self.rights.answers.is_empty() {
            return match self.decided.allows() {
                false => (
                    Class::Unverified,
                    "it was let through and recorded, with no published policy to say by what right",
                ),
                true if self.people.executor.edge != Edge::Proven => {
                    (Class::Unverified, "policy allowed it, but who acted is only a claim")
                }
                true => {
                    (Class::Unverified, "policy allowed it, but not by a right that is shown well enough")
                }
            };
        }
        let approved = match &self.warrant {
            Ok(warrant) => warrant.kind.words(),
            Err(_) => "approved beforehand by somebody else, and within what was given",
        };
        match (authority, scope, attribution) {
            (Authority::Approved, Scope::In, Attribution::None) => {
                (Class::Unverified, "approved and in scope, but nobody is known to have asked or acted")
            }
            (Authority::Approved, Scope::In, _) => (Class::Authorised, approved),
            (Authority::Approved, ..) => {
                (Class::Unverified, "approved, but whether it stayed in scope is not known")
            }
            (_, Scope::In, _) if self.rights.answers.iter().any(|answer| answer.worth == Worth::Counts) => {
                (Class::Unverified, "in scope and said to be approved, but not shown well enough to rely on")
            }
            (_, Scope::In, _) => {
                (Class::Unverified, "in scope, but nobody is known to have approved it beforehand")
            }
            _ => {
                (Class::Unverified, "the records show neither that it was approved nor that it was in scope")
            }
        }
    }

    /// What comes of it that no right was given, or that the gateway was not asked.
    fn never_given(&self, authority: Authority) -> (Class, &'static str) {
        match (self.took_effect(), authority) {
            (Some(true), Authority::Bypassed) => {
                (Class::ControlFailure, "it was to go through Deed, and it worked without")
            }
            (Some(true), _) if self.is_given() => (
                Class::ControlFailure,
                "the right to it was given without an approval that counts, and it worked",
            ),
            (Some(true), _) => (Class::ControlFailure, "nobody had given the right to it, and it worked"),
            (Some(false), _) if self.is_given() => (
                Class::Unverified,
                "the right to it was given without an approval that counts; it was not done",
            ),
            (Some(false), _) => (Class::Unverified, "it had no right to happen, and it did not"),
            (None, _) => (Class::Unverified, "it had no right to happen; whether it did is not known"),
        }
    }

    /// Whether what is lacking is the approval of a right, and not the right.
    fn is_given(&self) -> bool {
        self.unapproved().is_some_and(|(rule, _)| rule == GRANT_WITHOUT_APPROVAL)
    }

    /// What comes of it that a decision was not to let it through; `None` where it was.
    fn held(&self) -> Option<(Class, &'static str)> {
        self.refused()?;
        let waits = self.decided.effect() == Some(Ruling::StepUp);
        Some(match (self.took_effect(), waits) {
            (Some(true), false) => (Class::ControlFailure, "it was denied, and it was done all the same"),
            (Some(true), true) => {
                (Class::ControlFailure, "it was to wait for a human, and was done without an approval")
            }
            (Some(false), false) => (Class::Unverified, "it was denied, and it was not done"),
            (Some(false), true)
                if self.rights.answers.iter().any(|answer| answer.worth == Worth::Refused) =>
            {
                (Class::Unverified, "a human refused it, and it was not done")
            }
            (Some(false), true) => (Class::Unverified, "no human approved it, and it was not done"),
            (None, false) => {
                (Class::Unverified, "it was denied; whether it was done all the same is not known")
            }
            (None, true) => (Class::Unverified, "a human is to answer first, and nothing says how it ended"),
        })
    }
}
