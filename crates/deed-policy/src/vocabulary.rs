//! The names of the built-in schema: their types, and which of them a policy mentions.

use cedar_policy::pst::{Clause, Expr, Template, Var};
use deed_record::PrincipalType;

use crate::types::Ty;

/// The type that policies know somebody by.
pub(crate) const fn entity_type(kind: PrincipalType) -> &'static str {
    match kind {
        PrincipalType::Human => "Deed::Human",
        PrincipalType::Agent => "Deed::Agent",
        PrincipalType::Workload => "Deed::Workload",
        PrincipalType::ServiceAccount => "Deed::ServiceAccount",
        PrincipalType::ThirdParty => "Deed::ThirdParty",
        PrincipalType::Unknown => "Deed::Unknown",
    }
}

/// The type of what a path of the built-in schema leads to, where an argument may have the same.
pub(crate) fn type_of_path(path: &[&str]) -> Option<Ty> {
    let texts = || Ty::Set(Box::new(Ty::String));
    Some(match path {
        ["principal", attr] | ["context", "initiator", attr] | ["context", "approval", "by", attr] => {
            match *attr {
                "type" | "name" | "owner" | "sponsor" | "vendor" => Ty::String,
                "environments" => texts(),
                _ => return None,
            }
        }
        ["resource", attr] => match *attr {
            "server" | "name" | "version" | "uri" | "type" | "classification" => Ty::String,
            "restricted_fields" => texts(),
            _ => return None,
        },
        ["context", "classification" | "environment" | "tenant" | "task"]
        | ["context", "clock", "date" | "weekday"] => Ty::String,
        ["context", "chain_depth"] | ["context", "clock", _] | ["context", "credential", "age_seconds"] => {
            Ty::Long
        }
        ["context", "time"] | ["context", "approval", "time"] | ["context", "credential", "expires"] => {
            Ty::Datetime
        }
        ["context", "credential", "scopes"] => texts(),
        ["context", "credential", "delegated"] => Ty::Bool,
        _ => return None,
    })
}

/// Which parts of a request a policy looks at, besides its scope. What none looks at need not be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mentions(u32);

/// The members of the context, in the order of their bits.
const MEMBERS: [&str; 11] = [
    "initiator",
    "chain_depth",
    "arguments",
    "classification",
    "environment",
    "tenant",
    "time",
    "clock",
    "task",
    "credential",
    "approval",
];
const PRINCIPAL: u32 = 1 << MEMBERS.len();
const RESOURCE: u32 = PRINCIPAL << 1;

impl Mentions {
    /// What a policy mentions.
    pub(crate) fn of(policy: &Template) -> Self {
        let mut mentions = Mentions::default();
        for clause in policy.clauses() {
            let (Clause::When(body) | Clause::Unless(body)) = clause;
            mentions.visit(body);
        }
        mentions
    }

    pub(crate) fn join(self, other: Mentions) -> Self {
        Mentions(self.0 | other.0)
    }

    pub(crate) fn member(self, name: &str) -> bool {
        MEMBERS.iter().position(|member| *member == name).is_none_or(|at| self.0 & 1 << at != 0)
    }

    pub(crate) fn principal(self) -> bool {
        self.0 & PRINCIPAL != 0
    }

    pub(crate) fn resource(self) -> bool {
        self.0 & RESOURCE != 0
    }

    fn context(&mut self, name: &str) {
        match MEMBERS.iter().position(|member| *member == name) {
            Some(at) => self.0 |= 1 << at,
            None => self.0 |= PRINCIPAL - 1,
        }
    }

    fn visit(&mut self, expr: &Expr) {
        match expr {
            Expr::GetAttr { expr, attr } if **expr == Expr::Var(Var::Context) => self.context(attr),
            Expr::HasAttr { expr, attrs } if **expr == Expr::Var(Var::Context) => self.context(&attrs.head),
            // As a whole: all of it.
            Expr::Var(Var::Context) => self.0 |= PRINCIPAL - 1,
            Expr::Var(Var::Principal) => self.0 |= PRINCIPAL,
            Expr::Var(Var::Resource) => self.0 |= RESOURCE,
            Expr::Var(Var::Action) | Expr::Literal(_) => {}
            Expr::UnaryOp { expr, .. }
            | Expr::GetAttr { expr, .. }
            | Expr::HasAttr { expr, .. }
            | Expr::Like { expr, .. } => self.visit(expr),
            Expr::BinaryOp { left, right, .. } => {
                self.visit(left);
                self.visit(right);
            }
            Expr::Is { expr, in_expr, .. } => {
                self.visit(expr);
                in_expr.iter().for_each(|expr| self.visit(expr));
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|expr| self.visit(expr));
            }
            Expr::Set(elements) => elements.iter().for_each(|element| self.visit(element)),
            Expr::Record(members) => members.values().for_each(|member| self.visit(member)),
            // Whatever a later Cedar brings.
            _ => self.0 = u32::MAX,
        }
    }
}
