//! The functions a query may use, and what each of them can cost.
//!
//! The memory pool watches operators, not expressions: `s || s`, a few dozen times over, would fill the
//! machine within one batch of rows. So whatever makes texts or lists looks before it does, takes a batch
//! in parts where that helps, and is refused where it does not. A function that is not listed here is not
//! to be had: so are those that count up to a number, and whatever comes new with the engine.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{DFSchema, Result, config::ConfigOptions, plan_err, tree_node::Transformed},
    execution::SessionStateDefaults,
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Like, Operator, ScalarUDF,
        expr::{Cast, ScalarFunction, TryCast},
        expr_rewriter::FunctionRewrite,
    },
};

use crate::{
    guarded::{Cost, Guarded},
    operated::{Operated, Same},
    weight::is_little,
};

/// What gives a number, a truth value, a time or a few letters, in steps that are few for each letter; or a
/// part of its argument as it is.
const LITTLE: &str = "
    abs acos acosh array_avg array_dims array_distance array_has array_length array_ndims
    array_position array_product array_sum arrow_typeof ascii asin asinh atan atan2 atanh bit_length
    cardinality cbrt ceil character_length chr contains cos cosh cosine_distance cot current_date
    current_time date_bin date_part date_trunc degrees empty ends_with exp factorial find_in_set
    floor from_unixtime gcd get_field inner_product isnan iszero lcm ln log log10 log2 make_date
    make_time nanvl now octet_length pi power radians random round signum sin sinh sqrt starts_with
    strpos tan tanh to_date to_hex to_local_time to_time to_timestamp to_timestamp_micros
    to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime trunc uuid version";

/// What the planner turns into `CASE`.
const CHOOSING: &str = "coalesce nvl nvl2";

/// What each other function can cost.
const COSTS: &[(Cost, &str)] = &[
    (
        Cost::Sum,
        "
         array_add array_any_value array_append array_compact array_concat array_distinct
         array_element array_except array_intersect array_max array_min array_normalize
         array_pop_back array_pop_front array_positions array_prepend array_remove array_remove_all
         array_remove_n array_reverse array_scale array_slice array_sort array_subtract array_union
         btrim concat flatten greatest initcap least left lower ltrim make_array map map_entries
         map_extract map_keys map_values named_struct nullif overlay reverse right rtrim split_part
         struct substr substr_index upper",
    ),
    (Cost::Joined, "concat_ws"),
    (Cost::Zipped, "arrays_zip"),
    (Cost::Times, "repeat"),
    (Cost::Width, "lpad rpad"),
    (Cost::Split, "string_to_array"),
    (Cost::Formatted, "to_char"),
    (
        Cost::Replaced,
        "
         array_replace array_replace_all array_replace_n array_to_string replace",
    ),
    (Cost::Product, "array_has_all array_has_any levenshtein translate"),
    (Cost::Matched(0), "regexp_count regexp_instr regexp_like regexp_match regexp_replace"),
];

/// Wildcards of a pattern for `LIKE` that is matched as it is.
const WILDCARDS: usize = 8;

/// Most KiB of a pattern that was made ready to match.
const PATTERN: usize = 256;

/// The functions a query may name.
pub(crate) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let known = |name: &str| is_in(LITTLE, name) || is_in(CHOOSING, name) || cost(name).is_some();
    let all = SessionStateDefaults::default_scalar_functions().into_iter();
    all.filter(|function| known(function.name())).collect()
}

fn is_in(names: &str, name: &str) -> bool {
    names.split_whitespace().any(|known| known == name)
}

fn cost(name: &str) -> Option<Cost> {
    COSTS.iter().find(|(_, names)| is_in(names, name)).map(|(cost, _)| *cost)
}

/// Whether an expression is one of those that divide a query's room.
pub(crate) fn shares(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => !is_in(LITTLE, function.func.name()),
        Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            !is_little(field.data_type())
        }
        Expr::Case(_) | Expr::ScalarSubquery(_) => true,
        _ => false,
    }
}

/// Puts what grows under guard, wherever the planner put it.
#[derive(Debug)]
pub(crate) struct Guard;

impl FunctionRewrite for Guard {
    fn name(&self) -> &str {
        "guard"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(function) => call(function),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => operation(*left, op, *right),
            Expr::SimilarTo(like) => {
                let op = match (like.negated, like.case_insensitive) {
                    (false, false) => Operator::RegexMatch,
                    (false, true) => Operator::RegexIMatch,
                    (true, false) => Operator::RegexNotMatch,
                    (true, true) => Operator::RegexNotIMatch,
                };
                operation(*like.expr, op, *like.pattern)
            }
            Expr::Like(like) if is_simple(&like.pattern) => Ok(Transformed::no(Expr::Like(like))),
            Expr::Like(Like { escape_char: Some(_), .. }) => {
                plan_err!(
                    "`LIKE` with `ESCAPE` needs a pattern in quotes, with {WILDCARDS} wildcards at most"
                )
            }
            Expr::Like(like) => {
                let op = match (like.negated, like.case_insensitive) {
                    (false, false) => Operator::LikeMatch,
                    (false, true) => Operator::ILikeMatch,
                    (true, false) => Operator::NotLikeMatch,
                    (true, true) => Operator::NotILikeMatch,
                };
                operation(*like.expr, op, *like.pattern)
            }
            Expr::Cast(Cast { ref field, .. }) | Expr::TryCast(TryCast { ref field, .. }) => {
                let to = field.data_type().clone();
                cast(expr, &to)
            }
            Expr::Case(_) | Expr::ScalarSubquery(_) => {
                let little = expr.get_type(schema).is_ok_and(|made| is_little(&made));
                Ok(if little { Transformed::no(expr) } else { Transformed::yes(watched(expr)) })
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn call(function: ScalarFunction) -> Result<Transformed<Expr>> {
    let ScalarFunction { func, args } = function;
    if is_in(CHOOSING, func.name()) {
        return Ok(Transformed::yes(watched(Expr::ScalarFunction(ScalarFunction { func, args }))));
    }
    // Planned once before: what was watched then has been watched again on the way here.
    if Guarded::is_watch(&func)
        && matches!(&args[..], [Expr::ScalarFunction(inner)] if Guarded::is_watch(&inner.func))
    {
        return Ok(Transformed::yes(args.into_iter().next().unwrap_or_default()));
    }
    let guarded = match cost(func.name()) {
        Some(_) if Guarded::is(&func) => None,
        Some(Cost::Matched(_)) => Some(Cost::Matched(pattern(func.name(), args.get(1))?)),
        cost => cost,
    };
    Ok(match guarded {
        Some(cost) => Transformed::yes(Guarded::call(func, cost, args)),
        None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
    })
}

fn operation(left: Expr, op: Operator, right: Expr) -> Result<Transformed<Expr>> {
    let cost = match op {
        Operator::StringConcat => Cost::Sum,
        Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
            Cost::Matched(pattern(&op.to_string(), Some(&right))?)
        }
        Operator::LikeMatch | Operator::ILikeMatch | Operator::NotLikeMatch | Operator::NotILikeMatch => {
            Cost::Product
        }
        op => {
            let (left, right) = (Box::new(left), Box::new(right));
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
        }
    };
    Ok(Transformed::yes(Guarded::call(Operated::function(op), cost, vec![left, right])))
}

fn cast(expr: Expr, to: &DataType) -> Result<Transformed<Expr>> {
    if is_padded(to) {
        // A null would be as large as the type says.
        return plan_err!("a list or text of a fixed length cannot be made here; leave the length out");
    }
    Ok(if is_little(to) { Transformed::no(expr) } else { Transformed::yes(watched(expr)) })
}

fn is_padded(data_type: &DataType) -> bool {
    match data_type {
        DataType::FixedSizeList(..) | DataType::FixedSizeBinary(_) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            is_padded(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| is_padded(field.data_type())),
        _ => false,
    }
}

/// `expr`, with a look at what it makes.
fn watched(expr: Expr) -> Expr {
    Guarded::call(Same::function(0), Cost::Made, vec![expr])
}

fn is_simple(pattern: &Expr) -> bool {
    text(pattern).is_some_and(|text| text.matches(['%', '_']).count() <= WILDCARDS)
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// KiB of a pattern when it is ready to match. Made ready for each row of a batch, patterns would take much
/// more than what they match.
fn pattern(name: &str, expr: Option<&Expr>) -> Result<usize> {
    if matches!(expr, Some(Expr::Literal(value, _)) if value.is_null()) {
        return Ok(1);
    }
    let Some(text) = expr.and_then(text) else {
        return plan_err!("the pattern of `{name}` is to be a text in quotes, the same for every row");
    };
    let mut kib = 16;
    while kib <= PATTERN {
        match regex::RegexBuilder::new(text).size_limit(kib << 10).build() {
            Err(regex::Error::CompiledTooBig(_)) => kib *= 2,
            // What is no pattern is refused where it is used.
            _ => return Ok(kib),
        }
    }
    plan_err!("the pattern of `{name}` is too large; fewer or smaller repetitions make it smaller")
}
