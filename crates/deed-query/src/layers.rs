//! Keeps projections apart that look alike.
//!
//! The engine (DataFusion 55) takes one of two projections away that follow on each other and are written alike:
//! `SELECT n + 1 AS n FROM (SELECT n + 1 AS n …)` would count once. What a projection calculates on top of
//! another is therefore numbered, so that no two are alike. Mended in later versions (apache/datafusion#24686).

use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan, Projection, expr::ScalarFunction, expr_rewriter::NamePreserver},
    optimizer::AnalyzerRule,
};

use crate::operated::Same;

/// See above.
#[derive(Debug)]
pub(crate) struct Layers;

impl AnalyzerRule for Layers {
    fn name(&self) -> &str {
        "layers"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let apart = plan.transform_up_with_subqueries(|plan| match &plan {
            LogicalPlan::Projection(upper) if calculates(upper) && is_above_another(upper)? => number(plan),
            _ => Ok(Transformed::no(plan)),
        })?;
        Ok(apart.data)
    }
}

fn calculates(projection: &Projection) -> bool {
    projection.expr.iter().any(is_calculated)
}

fn is_calculated(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_calculated(&alias.expr),
        Expr::Column(_) | Expr::Literal(..) => false,
        _ => true,
    }
}

fn is_above_another(projection: &Projection) -> Result<bool> {
    projection.input.exists(|below| Ok(matches!(below, LogicalPlan::Projection(below) if calculates(below))))
}

fn number(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let names = NamePreserver::new(&plan);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    plan.map_expressions(|expr| {
        if !is_calculated(&expr) {
            return Ok(Transformed::no(expr));
        }
        let name = names.save(&expr);
        let same = ScalarFunction { func: Same::function(number), args: vec![expr.unalias_nested().data] };
        Ok(Transformed::yes(name.restore(Expr::ScalarFunction(same))))
    })
}
