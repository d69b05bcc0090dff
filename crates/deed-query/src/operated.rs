//! Operators as functions, so that they can be guarded like functions; and the function that does nothing.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, FieldRef, Schema},
};
use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{
        ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility, type_coercion::binary::BinaryTypeCoercer,
    },
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, Literal, like},
    },
};

/// An operator with two sides.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operated {
    op: Operator,
    name: String,
    signature: Signature,
}

impl Operated {
    pub(crate) fn function(op: Operator) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Operated { op, name: op.to_string(), signature }))
    }
}

impl ScalarUDFImpl for Operated {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("{} {} {}", left.schema_name(), self.op, right.schema_name())),
            _ => plan_err!("`{}` has two sides", self.op),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = types else { return plan_err!("`{}` has two sides", self.op) };
        let (left, right) = BinaryTypeCoercer::new(left, &self.op, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = types else { return plan_err!("`{}` has two sides", self.op) };
        BinaryTypeCoercer::new(left, &self.op, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        let sides = args.args.into_iter().zip(args.arg_fields).map(|(value, field)| match value {
            ColumnarValue::Scalar(value) => Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>,
            ColumnarValue::Array(array) => {
                fields.push(field.as_ref().clone().with_nullable(true));
                columns.push(array);
                Arc::new(Column::new(field.name(), columns.len() - 1))
            }
        });
        let sides: Vec<_> = sides.collect();
        let [left, right] =
            <[_; 2]>::try_from(sides).or_else(|_| plan_err!("`{}` has two sides", self.op))?;
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        let matches = |negated, any_case| like(negated, any_case, left.clone(), right.clone(), &schema);
        let operation = match self.op {
            Operator::LikeMatch => matches(false, false)?,
            Operator::ILikeMatch => matches(false, true)?,
            Operator::NotLikeMatch => matches(true, false)?,
            Operator::NotILikeMatch => matches(true, true)?,
            op => Arc::new(BinaryExpr::new(left, op, right)),
        };
        operation.evaluate(&batch)
    }
}

/// Gives its argument as it is. Two of different numbers are different functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Same {
    number: usize,
    signature: Signature,
}

impl Same {
    pub(crate) fn function(number: usize) -> Arc<ScalarUDF> {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Same { number, signature }))
    }
}

impl ScalarUDFImpl for Same {
    fn name(&self) -> &str {
        "same"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        args.arg_fields.first().cloned().map_or_else(|| plan_err!("`same` has one argument"), Ok)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.into_iter().next().unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}

/// Whether a function is of a kind.
pub(crate) fn is<T: ScalarUDFImpl>(function: &ScalarUDF) -> bool {
    (function.inner().as_ref() as &dyn Any).is::<T>()
}
