//! Functions that look before they do.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray},
    compute::{cast, concat, max},
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        expr::ScalarFunction,
    },
};

use crate::{
    allowance::{Allowance, CONSTANT},
    operated::{Same, is},
    weight,
};

/// What a function can cost at worst: the bytes it makes, or the steps it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cost {
    /// What it makes is there already.
    Made,
    /// All arguments together.
    Sum,
    /// All arguments together, with the first between any two.
    Joined,
    /// All arguments, each as long as the longest.
    Zipped,
    /// The first argument as often as the second says.
    Times,
    /// In each row as many characters as the second argument says.
    Width,
    /// An item for each byte.
    Split,
    /// In each row what the letters of the second argument stand for.
    Formatted,
    /// The first argument, with the longest of the others for each of its bytes.
    Replaced,
    /// A step for each byte of one with each of the other.
    Product,
    /// A step for each byte and each KiB of a pattern.
    Matched(usize),
}

/// A step takes as long as making so many bytes.
const STEP: u64 = 8;

impl Cost {
    fn worst(self, args: &[ColumnarValue], rows: u64) -> u64 {
        let all = || args.iter().map(|arg| bytes(arg, rows)).sum::<u64>();
        let first = || args.first().map_or(0, |arg| bytes(arg, rows));
        let number = || args.get(1).map_or(0, greatest);
        let other = || args.iter().skip(1).map(longest).max().unwrap_or_default();
        match self {
            Cost::Made => 0,
            Cost::Sum => all(),
            Cost::Joined => all().saturating_add(first().saturating_mul(args.len() as u64)),
            Cost::Zipped => all().saturating_mul(args.len() as u64),
            Cost::Times => first().saturating_mul(number()),
            Cost::Width => rows.saturating_mul(number()).saturating_mul(4),
            Cost::Split => first().saturating_mul(18),
            Cost::Formatted => rows.saturating_mul(other() + 1).saturating_mul(24),
            Cost::Replaced => (first() + rows).saturating_mul(other() + 1),
            Cost::Product => (first() + rows).saturating_mul(other() + 1).saturating_mul(STEP),
            Cost::Matched(kib) => {
                let steps = first().saturating_mul(kib as u64).saturating_mul(STEP);
                steps.max(Cost::Replaced.worst(args, rows))
            }
        }
    }
}

/// A function that looks before it does.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guarded {
    inner: Arc<ScalarUDF>,
    cost: Cost,
}

impl Guarded {
    /// A call of `inner` under guard.
    pub(crate) fn call(inner: Arc<ScalarUDF>, cost: Cost, args: Vec<Expr>) -> Expr {
        let func = Arc::new(ScalarUDF::from(Guarded { inner, cost }));
        Expr::ScalarFunction(ScalarFunction { func, args })
    }

    /// Whether `function` is one.
    pub(crate) fn is(function: &ScalarUDF) -> bool {
        is::<Guarded>(function)
    }

    /// Whether `function` only looks.
    pub(crate) fn is_watch(function: &ScalarUDF) -> bool {
        let guarded = (function.inner().as_ref() as &dyn std::any::Any).downcast_ref::<Guarded>();
        guarded.is_some_and(|guarded| is::<Same>(&guarded.inner))
    }

    /// Calls the function; in parts, where the whole could be too much.
    fn in_parts(&self, args: ScalarFunctionArgs, allowance: &Allowance) -> Result<ColumnarValue> {
        allowance.check_time()?;
        let rows = if args.args.iter().all(is_scalar) { 1 } else { args.number_rows };
        let worst = self.cost.worst(&args.args, rows as u64);
        if worst <= allowance.share() {
            return self.inner.invoke_with_args(args);
        }
        if rows <= 1 {
            return too_much(self.name(), worst, allowance.share());
        }
        let half = |from: usize, rows: usize| {
            let half = self.in_parts(slice(&args, from, rows), allowance)?.into_array(rows)?;
            Ok::<_, datafusion::common::DataFusionError>((weight::of_all(&half), half))
        };
        let (first, second) = (half(0, rows / 2)?, half(rows / 2, rows - rows / 2)?);
        if first.0 + second.0 > allowance.share() {
            return too_much(self.name(), first.0 + second.0, allowance.share());
        }
        Ok(ColumnarValue::Array(concat(&[&*first.1, &*second.1])?))
    }
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
        let allowance = Allowance::of(&args.config_options);
        let made = self.in_parts(args, &allowance)?;
        let (size, most) = match &made {
            ColumnarValue::Array(array) => (weight::of_all(array), allowance.share()),
            ColumnarValue::Scalar(_) => (bytes(&made, 1), CONSTANT),
        };
        if size > most { too_much(self.name(), size, most) } else { Ok(made) }
    }
}

fn too_much<T>(name: &str, size: u64, most: u64) -> Result<T> {
    let name = if name == "same" { "an expression" } else { name };
    if most <= CONSTANT {
        let (size, most) = (size.div_ceil(1 << 10), most >> 10);
        return exec_err!("`{name}` would make {size} KiB for every row; {most} KiB is the most");
    }
    let (size, most) = (size.div_ceil(1 << 20), most >> 20);
    exec_err!("`{name}` would take {size} MiB for some rows; {most} MiB is the most in this query")
}

fn is_scalar(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(_))
}

fn slice(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let part = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        scalar => scalar.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(part).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: args.return_field.clone(),
        config_options: args.config_options.clone(),
    }
}

/// Bytes of a value for each of `rows`.
fn bytes(value: &ColumnarValue, rows: u64) -> u64 {
    match value {
        ColumnarValue::Array(array) => weight::of_all(array),
        ColumnarValue::Scalar(scalar) => {
            let one = scalar.to_array().map_or(u64::MAX, |array| weight::of_all(&array));
            one.saturating_mul(rows)
        }
    }
}

/// Bytes of the longest value.
fn longest(value: &ColumnarValue) -> u64 {
    match value {
        ColumnarValue::Array(array) => weight::of_values(array).into_iter().max().unwrap_or_default(),
        scalar => bytes(scalar, 1),
    }
}

/// The greatest number; without one it is as if there were none at all.
fn greatest(value: &ColumnarValue) -> u64 {
    let array = value.clone().into_array(1).ok();
    let numbers = array.and_then(|array| cast(&array, &DataType::Int64).ok());
    numbers
        .and_then(|numbers| max(numbers.as_primitive::<Int64Type>()))
        .map_or(0, |number| number.max(0).unsigned_abs())
}
