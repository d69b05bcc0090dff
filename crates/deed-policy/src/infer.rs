//! What a policy takes the arguments for, from how it uses them.
//!
//! Arguments are any JSON, while Cedar wants to know types. A policy shows them: what is compared with a text is
//! a text, what is added is a number. Each policy is looked at alone, so that none changes what another means.

use std::collections::BTreeMap;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Template, UnaryOp, Var};

use crate::{
    types::{Fields, Ty},
    vocabulary::type_of_path,
};

/// The arguments that a policy mentions, with their types.
///
/// `declared` is what an author's schema says; it wins.
///
/// # Errors
/// What cannot be told, one sentence each.
pub(crate) fn arguments(policy: &Template, declared: &Fields) -> Result<Fields, Vec<String>> {
    let mut inference = Inference::default();
    inference.root.declare(declared);
    // What is compared with another argument has its type, which may be learned later.
    for _ in 0..MOST_PASSES {
        inference.changed = false;
        for clause in policy.clauses() {
            let (Clause::When(body) | Clause::Unless(body)) = clause;
            inference.visit(body, Some(&Ty::Bool));
        }
        if !inference.changed {
            break;
        }
    }
    let mut wrong = Vec::new();
    let fields = inference.root.fields("", &mut wrong);
    if inference.whole {
        wrong.push("`context.arguments` as a whole says nothing: use single arguments".to_owned());
    }
    if inference.root.depth() > MOST_NAMES {
        wrong.push(format!("an argument is more than {MOST_NAMES} names away from `context.arguments`"));
    }
    if wrong.is_empty() { Ok(fields) } else { Err(wrong) }
}

/// How many comparisons of arguments with each other one type may come through.
const MOST_PASSES: usize = 16;

/// How deep an argument may be: holding policies against records in records takes more than linear time.
const MOST_NAMES: usize = 12;

#[derive(Default)]
struct Inference {
    root: Node,
    /// All arguments are used as one value.
    whole: bool,
    changed: bool,
}

/// One argument, or a record of them.
#[derive(Default)]
struct Node {
    /// From the author's schema.
    declared: Option<Ty>,
    /// From use.
    used_as: Option<Ty>,
    /// A second type, from another use.
    also_used_as: Option<Ty>,
    mentioned: bool,
    /// Its value is used, not only whether it is there.
    value: bool,
    fields: BTreeMap<String, Node>,
}

impl Node {
    fn declare(&mut self, fields: &Fields) {
        for (name, ty) in fields {
            let node = self.fields.entry(name.clone()).or_default();
            node.declared = Some(ty.clone());
            if let Ty::Record(fields) = ty {
                node.declare(fields);
            }
        }
    }

    fn depth(&self) -> usize {
        self.fields.values().map(|node| node.depth() + 1).max().unwrap_or(0)
    }

    fn ty(&self) -> Option<&Ty> {
        self.declared.as_ref().or(self.used_as.as_ref())
    }

    /// What is mentioned, as the fields of a record.
    fn fields(&self, path: &str, wrong: &mut Vec<String>) -> Fields {
        let mentioned = self.fields.iter().filter(|(_, node)| node.mentioned);
        mentioned.map(|(name, node)| (name.clone(), node.to_ty(&format!("{path}.{name}"), wrong))).collect()
    }

    fn to_ty(&self, path: &str, wrong: &mut Vec<String>) -> Ty {
        let inner = self.fields(path, wrong);
        match (&self.declared, &self.used_as) {
            (Some(Ty::Record(_)), _) if !inner.is_empty() && !self.value => Ty::Record(inner),
            (Some(ty), _) => ty.clone(),
            (None, Some(ty)) if inner.is_empty() => {
                if let Some(other) = &self.also_used_as {
                    wrong.push(format!("`context.arguments{path}` is used as {ty} and as {other}"));
                }
                ty.clone()
            }
            (None, Some(ty)) => {
                wrong.push(format!("`context.arguments{path}` is used as {ty} and as an object"));
                Ty::Conflict
            }
            (None, None) if self.value => {
                wrong.push(format!("the type of `context.arguments{path}` does not follow from its use"));
                Ty::Conflict
            }
            (None, None) if inner.is_empty() => Ty::Presence,
            (None, None) => Ty::Record(inner),
        }
    }
}

impl Inference {
    /// Looks at an expression that should have the type `expected`, where that is known.
    fn visit(&mut self, expr: &Expr, expected: Option<&Ty>) {
        if let Some(path) = argument(expr) {
            if path.is_empty() {
                self.whole = true;
            } else {
                self.value_of(&path, expected);
            }
            return;
        }
        match expr {
            Expr::UnaryOp { op, expr } => self.visit(expr, operand(*op).as_ref()),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right),
            Expr::GetAttr { expr, .. } => self.visit(expr, None),
            Expr::HasAttr { expr, attrs } => {
                let names = attrs.iter().map(|name| name.as_str());
                match (argument(expr), &**expr) {
                    (Some(mut path), _) => {
                        path.extend(names);
                        self.node(&path);
                    }
                    (None, Expr::Var(Var::Context)) if attrs.head == "arguments" => {
                        let path: Vec<&str> = names.skip(1).collect();
                        self.node(&path);
                    }
                    _ => self.visit(expr, None),
                }
            }
            Expr::Like { expr, .. } => self.visit(expr, Some(&Ty::String)),
            Expr::Is { expr, in_expr, .. } => {
                self.visit(expr, None);
                in_expr.iter().for_each(|expr| self.visit(expr, None));
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let either = self.type_of(then_expr).or_else(|| self.type_of(else_expr));
                let expected = expected.or(either.as_ref());
                self.visit(cond, Some(&Ty::Bool));
                self.visit(then_expr, expected);
                self.visit(else_expr, expected);
            }
            Expr::Set(elements) => {
                let known = match expected {
                    Some(Ty::Set(element)) => Some((**element).clone()),
                    _ => elements.iter().find_map(|element| self.type_of(element)),
                };
                elements.iter().for_each(|element| self.visit(element, known.as_ref()));
            }
            Expr::Record(members) => members.values().for_each(|member| self.visit(member, None)),
            _ => {}
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) {
        use BinaryOp as Op;
        let known = |this: &Self| this.type_of(left).or_else(|| this.type_of(right));
        let (of_left, of_right) = match op {
            Op::Less | Op::LessEq | Op::Greater | Op::GreaterEq => {
                let ty = known(self).or(Some(Ty::Long));
                (ty.clone(), ty)
            }
            Op::Eq | Op::NotEq | Op::ContainsAll | Op::ContainsAny => (known(self), known(self)),
            Op::And | Op::Or => (Some(Ty::Bool), Some(Ty::Bool)),
            Op::Add | Op::Sub | Op::Mul => (Some(Ty::Long), Some(Ty::Long)),
            Op::Contains => match (self.type_of(left), self.type_of(right)) {
                (Some(Ty::Set(element)), _) => (Some(Ty::Set(element.clone())), Some(*element)),
                (_, Some(element)) => (Some(Ty::Set(Box::new(element.clone()))), Some(element)),
                _ => (None, None),
            },
            Op::GetTag | Op::HasTag => (None, Some(Ty::String)),
            Op::IsInRange => (Some(Ty::Ip), Some(Ty::Ip)),
            Op::Offset => (Some(Ty::Datetime), None),
            Op::DurationSince => (Some(Ty::Datetime), Some(Ty::Datetime)),
            Op::DecimalLessThan | Op::DecimalLessEq | Op::DecimalGreater | Op::DecimalGreaterEq => {
                (Some(Ty::Decimal), Some(Ty::Decimal))
            }
            _ => (None, None),
        };
        self.visit(left, of_left.as_ref());
        self.visit(right, of_right.as_ref());
    }

    /// The type of an expression, as far as it can be seen.
    fn type_of(&self, expr: &Expr) -> Option<Ty> {
        if let Some(path) = argument(expr) {
            let mut node = &self.root;
            for name in path {
                node = node.fields.get(name)?;
            }
            return node.ty().cloned();
        }
        match expr {
            Expr::Literal(Literal::Bool(_)) => Some(Ty::Bool),
            Expr::Literal(Literal::Long(_)) => Some(Ty::Long),
            Expr::Literal(Literal::String(_)) => Some(Ty::String),
            Expr::GetAttr { .. } => type_of_path(&path_of(expr)?),
            Expr::UnaryOp { op, .. } => result(*op),
            Expr::BinaryOp { op, .. } => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => Some(Ty::Long),
                BinaryOp::Offset => Some(Ty::Datetime),
                BinaryOp::DurationSince | BinaryOp::GetTag => None,
                _ => Some(Ty::Bool),
            },
            Expr::HasAttr { .. } | Expr::Like { .. } | Expr::Is { .. } => Some(Ty::Bool),
            Expr::IfThenElse { then_expr, else_expr, .. } => {
                self.type_of(then_expr).or_else(|| self.type_of(else_expr))
            }
            Expr::Set(elements) => {
                let element = elements.iter().find_map(|element| self.type_of(element))?;
                Some(Ty::Set(Box::new(element)))
            }
            _ => None,
        }
    }

    /// The node of a path, which is now mentioned.
    fn node(&mut self, path: &[&str]) -> &mut Node {
        let mut node = &mut self.root;
        for name in path {
            node = node.fields.entry((*name).to_owned()).or_default();
            node.mentioned = true;
        }
        node
    }

    fn value_of(&mut self, path: &[&str], expected: Option<&Ty>) {
        let node = self.node(path);
        node.value = true;
        match (expected, &node.used_as) {
            (Some(ty), None) => {
                node.used_as = Some(ty.clone());
                self.changed = true;
            }
            (Some(ty), Some(known)) if ty != known => node.also_used_as = Some(ty.clone()),
            _ => {}
        }
    }
}

/// The names behind `context.arguments`.
fn argument(expr: &Expr) -> Option<Vec<&str>> {
    let path = path_of(expr)?;
    let names = path.strip_prefix(&["context", "arguments"])?;
    Some(names.to_vec())
}

/// `context.a.b` as its names.
fn path_of(mut expr: &Expr) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    while let Expr::GetAttr { expr: inner, attr } = expr {
        names.push(attr.as_str());
        expr = inner;
    }
    let Expr::Var(var) = expr else { return None };
    names.push(match var {
        Var::Principal => "principal",
        Var::Action => "action",
        Var::Resource => "resource",
        Var::Context => "context",
    });
    names.reverse();
    Some(names)
}

/// What an operator is applied to.
fn operand(op: UnaryOp) -> Option<Ty> {
    match op {
        UnaryOp::Not => Some(Ty::Bool),
        UnaryOp::Neg => Some(Ty::Long),
        UnaryOp::Datetime | UnaryOp::Decimal | UnaryOp::Duration | UnaryOp::Ip => Some(Ty::String),
        UnaryOp::IsIPv4 | UnaryOp::IsIPV6 | UnaryOp::IsLoopback | UnaryOp::IsMulticast => Some(Ty::Ip),
        UnaryOp::ToDate | UnaryOp::ToTime => Some(Ty::Datetime),
        _ => None,
    }
}

/// What comes of it.
fn result(op: UnaryOp) -> Option<Ty> {
    match op {
        UnaryOp::Datetime | UnaryOp::ToDate => Some(Ty::Datetime),
        UnaryOp::Decimal => Some(Ty::Decimal),
        UnaryOp::Ip => Some(Ty::Ip),
        UnaryOp::Duration | UnaryOp::ToTime => None,
        UnaryOp::Neg
        | UnaryOp::ToMilliseconds
        | UnaryOp::ToSeconds
        | UnaryOp::ToMinutes
        | UnaryOp::ToHours
        | UnaryOp::ToDays => Some(Ty::Long),
        _ => Some(Ty::Bool),
    }
}
