//! The functions a query may use, with those that make much out of little under guard.
//!
//! The memory pool watches operators, not expressions: `s || s`, a few dozen times over, would fill the
//! machine within one batch of rows. So whatever grows its arguments says beforehand how large the
//! result can be, and is refused if that is too large. Functions that count up to a number are left out.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{Array, AsArray, Int64Array},
    compute::{cast, kernels::length::length, max},
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{DFSchema, Result, ScalarValue, config::ConfigOptions, exec_err, tree_node::Transformed},
    execution::SessionStateDefaults,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction, expr_rewriter::FunctionRewrite,
    },
};

/// Most bytes that one expression may make out of one batch of rows.
const LARGEST: u64 = 64 << 20;

/// Not to be had: they make rows or items out of a number.
const ABSENT: &[&str] = &["generate_series", "range", "array_repeat", "array_resize"];

/// How large the result of a function can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// All arguments together.
    Sum,
    /// The first argument as often as the second says.
    Times,
    /// In each row as many characters as the second argument says.
    Width,
    /// The first argument, with the longest of the other texts for each of its bytes.
    Replaced,
}

fn growth(name: &str) -> Option<Growth> {
    Some(match name {
        "concat" | "concat_ws" | "overlay" | "make_array" | "struct" | "named_struct" | "map"
        | "array_concat" | "array_append" | "array_prepend" | "array_union" | "array_insert" => Growth::Sum,
        "repeat" => Growth::Times,
        "lpad" | "rpad" => Growth::Width,
        "replace" | "regexp_replace" | "array_to_string" | "array_replace" | "array_replace_n"
        | "array_replace_all" => Growth::Replaced,
        _ => return None,
    })
}

/// The functions a query may name.
pub(crate) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let all = SessionStateDefaults::default_scalar_functions().into_iter();
    all.filter(|function| !ABSENT.contains(&function.name())).collect()
}

/// Puts what grows under guard, wherever the planner put it.
#[derive(Debug)]
pub(crate) struct Guard;

impl FunctionRewrite for Guard {
    fn name(&self) -> &str {
        "guard"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::ScalarFunction(ScalarFunction { func, args }) => match growth(func.name()) {
                Some(growth) if !is::<Guarded>(&func) => {
                    let func = Arc::new(ScalarUDF::from(Guarded { inner: func, growth }));
                    Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
                }
                _ => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
            },
            // `||` is an operator: its two sides are watched instead.
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right })
                if !(is_watched(&left) && is_watched(&right)) =>
            {
                Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                    left: watched(*left),
                    op: Operator::StringConcat,
                    right: watched(*right),
                }))
            }
            other => Transformed::no(other),
        })
    }
}

fn is<T: ScalarUDFImpl>(function: &ScalarUDF) -> bool {
    (function.inner().as_ref() as &dyn Any).is::<T>()
}

fn is_watched(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if is::<Watched>(&function.func))
}

fn watched(expr: Expr) -> Box<Expr> {
    let func = Arc::new(ScalarUDF::from(Watched { signature: Signature::any(1, Volatility::Immutable) }));
    Box::new(if is_watched(&expr) {
        expr
    } else {
        Expr::ScalarFunction(ScalarFunction { func, args: vec![expr] })
    })
}

/// A function that looks before it grows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows as u64;
        let all = || args.args.iter().map(|arg| bytes(arg, rows)).sum::<u64>();
        let number = || args.args.get(1).map_or(0, greatest);
        let text = |arg: Option<&ColumnarValue>| arg.map_or(0, |arg| bytes(arg, rows));
        let size = match self.growth {
            Growth::Sum => all(),
            Growth::Times => text(args.args.first()).saturating_mul(number()),
            Growth::Width => rows.saturating_mul(number()).saturating_mul(4),
            Growth::Replaced => {
                let longest = args.args.iter().skip(1).map(longest).max().unwrap_or_default();
                (text(args.args.first()) + rows).saturating_mul(longest + 1)
            }
        };
        check(self.name(), size)?;
        self.inner.invoke_with_args(args)
    }
}

/// Passes its argument on if it is not too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Watched {
    signature: Signature,
}

impl ScalarUDFImpl for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(args
            .arg_fields
            .first()
            .cloned()
            .unwrap_or_else(|| Arc::new(Field::new("watched", DataType::Null, true))))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let size = args.args.first().map_or(0, |arg| bytes(arg, args.number_rows as u64));
        check("||", size.saturating_mul(2))?;
        Ok(args.args.pop().unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}

fn check(name: &str, size: u64) -> Result<()> {
    if size > LARGEST {
        return exec_err!(
            "`{name}` would make {} MiB out of one batch of rows; {} MiB is the most",
            size >> 20,
            LARGEST >> 20
        );
    }
    Ok(())
}

/// Bytes of a value for each of `rows`.
fn bytes(value: &ColumnarValue, rows: u64) -> u64 {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
        ) => (text.len() as u64).saturating_mul(rows),
        ColumnarValue::Scalar(scalar) => (scalar.size() as u64).saturating_mul(rows),
        ColumnarValue::Array(array) => match lengths(array) {
            Some(lengths) => lengths.iter().flatten().map(i64::unsigned_abs).sum(),
            None => array.get_array_memory_size() as u64,
        },
    }
}

/// Bytes of the longest text.
fn longest(value: &ColumnarValue) -> u64 {
    match value {
        ColumnarValue::Scalar(_) => bytes(value, 1),
        ColumnarValue::Array(array) => {
            lengths(array).and_then(|lengths| max(&lengths)).map_or(8, i64::unsigned_abs)
        }
    }
}

/// The length of each text in bytes; `None` for what is no text.
fn lengths(array: &dyn Array) -> Option<Int64Array> {
    let text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let lengths = text.then(|| length(array).ok()).flatten()?;
    Some(cast(&lengths, &DataType::Int64).ok()?.as_primitive::<Int64Type>().clone())
}

/// The greatest number; without one it is as if there were none at all.
fn greatest(value: &ColumnarValue) -> u64 {
    let array = match value {
        ColumnarValue::Scalar(scalar) => scalar.to_array().ok(),
        ColumnarValue::Array(array) => Some(array.clone()),
    };
    let numbers = array.and_then(|array| cast(&array, &DataType::Int64).ok());
    numbers
        .and_then(|numbers| max(numbers.as_primitive::<Int64Type>()))
        .map_or(0, |number| number.max(0).unsigned_abs())
}
