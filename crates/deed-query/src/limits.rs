//! How large a query may be. The planner cannot be stopped from outside, and nests its calls as deep as a query
//! is nested; so it gets nothing that would keep it for long, or take it deeper than its stack is.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, GroupingSet, LogicalPlan, expr::InList},
    sql::sqlparser::{
        ast::{Query, Visit, Visitor, visit_relations},
        dialect::GenericDialect,
        keywords::Keyword,
        tokenizer::{Token, Tokenizer},
    },
};

use crate::{QueryError, allowance::CONSTANT, functions::shares, weight};

/// Longest query text in bytes.
const LONGEST: usize = 128 << 10;

/// Words and signs of a query, apart from values, commas and parentheses. `1 + 1 + 1 …` is nested as deep as it
/// has signs, and parentheses are counted by the parser.
const WORDS: usize = 2000;

/// Stack of a thread that plans and runs queries: enough for so many words. Only what is used is taken.
pub(crate) const STACK: usize = 256 << 20;

/// Columns of a `CUBE`, which groups by each selection of them.
const CUBE: usize = 8;

/// Steps of a plan; what is named twice counts twice.
const STEPS: usize = 1000;

/// Tables that are read.
const TABLES: usize = 100;

/// Calculations.
const OPERATIONS: usize = 2000;

/// Whether the planner may have a look at `query`.
pub(crate) fn check_text(query: &str) -> Result<(), QueryError> {
    let refused = |what: String| Err(QueryError::Refused(what));
    if query.len() > LONGEST {
        return refused(format!("the query is {} bytes long; {LONGEST} is the most", query.len()));
    }
    // What is no token is refused by the parser, with the place.
    let tokens = Tokenizer::new(&GenericDialect, query).tokenize().unwrap_or_default();
    let (mut words, mut groupings) = (0, 0);
    for token in &tokens {
        match token {
            Token::Whitespace(_)
            | Token::Comma
            | Token::LParen
            | Token::RParen
            | Token::Number(..)
            | Token::SingleQuotedString(_) => {}
            Token::Word(word) => {
                words += 1;
                groupings +=
                    usize::from(matches!(word.keyword, Keyword::CUBE | Keyword::ROLLUP | Keyword::SETS));
            }
            _ => words += 1,
        }
    }
    if words > WORDS {
        return refused(format!("the query has {words} words and signs; {WORDS} is the most, values apart"));
    }
    if groupings > 1 {
        // Each multiplies what the others group by.
        return refused("a query has one `CUBE`, `ROLLUP` or `GROUPING SETS` at most".into());
    }
    Ok(())
}

/// Whether a query names no more tables than the planner may get: its time grows with their square. Each use of a name of
/// `WITH` is planned anew, so that names used twice by names used twice double it every time.
pub(crate) fn check_names(query: &Query) -> Result<(), QueryError> {
    struct Withs(usize);
    impl Visitor for Withs {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.0 += usize::from(query.with.is_some());
            ControlFlow::Continue(())
        }
    }
    let mut withs = Withs(0);
    let _never_breaks = query.visit(&mut withs);
    if withs.0 > usize::from(query.with.is_some()) {
        let what = "`WITH` stands at the beginning of a query, and nowhere else";
        return Err(QueryError::Refused(what.into()));
    }
    let mut known: HashMap<String, Named> = HashMap::new();
    let count = |query: &Query, known: &HashMap<String, Named>| {
        let mut all = Named::default();
        let _never_breaks = visit_relations(query, |name| {
            let name = name.0.last().and_then(|last| last.as_ident()).map(|last| last.value.to_lowercase());
            let stands_for = name.and_then(|name| known.get(&name).copied());
            let Named { names, tables } = stands_for.unwrap_or(Named { names: 1, tables: 1 });
            all.names = all.names.saturating_add(names);
            all.tables = all.tables.saturating_add(tables);
            ControlFlow::<()>::Continue(())
        });
        all
    };
    let few = |tables: usize| Size { tables, ..Size::default() }.check();
    for named in query.with.iter().flat_map(|with| &with.cte_tables) {
        let all = count(&named.query, &known);
        // It is planned, used or not.
        few(all.tables)?;
        let stands_for = known.entry(named.alias.name.value.to_lowercase()).or_default();
        stands_for.names = stands_for.names.max(all.names).max(1);
        stands_for.tables = stands_for.tables.max(all.tables);
    }
    if count(query, &known).names > STEPS {
        let what = format!(
            "the names in `WITH` stand for more than {STEPS} tables; a name that is used twice counts twice"
        );
        return Err(QueryError::Refused(what));
    }
    let body = Query { with: None, ..query.clone() };
    few(count(&body, &known).tables)
}

/// What a query names, with what its names of `WITH` stand for.
#[derive(Clone, Copy, Default)]
struct Named {
    /// Tables, and names that stand for none.
    names: usize,
    tables: usize,
}

/// How large a query is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    steps: usize,
    tables: usize,
    operations: usize,
    /// Columns of the largest `CUBE`.
    cube: usize,
    /// Expressions that divide the room of the query.
    pub(crate) sharing: usize,
    /// Bytes of the values in it that may be repeated for each row.
    constants: u64,
}

impl Size {
    /// That of `plan`; of a plan that is too large, more than is allowed.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut size = Size::default();
        plan.apply_with_subqueries(|step| {
            size.steps += 1;
            if matches!(step, LogicalPlan::TableScan(_)) {
                size.tables += 1;
            }
            // The values of `VALUES` are rows, and repeated for none.
            let values = matches!(step, LogicalPlan::Values(_));
            let before = size.constants;
            step.apply_expressions(|expr| size.add(expr))?;
            if values {
                size.constants = before;
            }
            Ok(if size.check().is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(size)
    }

    fn add(&mut self, expr: &Expr) -> Result<TreeNodeRecursion> {
        expr.apply(|expr| {
            if shares(expr) {
                self.sharing += 1;
            }
            match expr {
                Expr::Literal(value, _) => {
                    self.constants += value.to_array().map_or(u64::MAX, |array| weight::of_all(&array));
                }
                Expr::Column(_) | Expr::Alias(_) | Expr::OuterReferenceColumn(..) => {}
                // A list to look into is looked into, and repeated for no row.
                Expr::InList(InList { expr, list, .. })
                    if list.iter().all(|item| matches!(item, Expr::Literal(..))) =>
                {
                    self.operations += 1;
                    self.add(expr)?;
                    return Ok(TreeNodeRecursion::Jump);
                }
                Expr::GroupingSet(GroupingSet::Cube(columns)) => self.cube = self.cube.max(columns.len()),
                _ => self.operations += 1,
            }
            Ok(TreeNodeRecursion::Continue)
        })
    }

    /// Whether a query may be that large.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        let limits = [
            ("steps", self.steps, STEPS),
            ("tables", self.tables, TABLES),
            ("calculations", self.operations, OPERATIONS),
            ("columns in a `CUBE`", self.cube, CUBE),
        ];
        for (what, size, most) in limits {
            if size > most {
                return Err(QueryError::Refused(format!("the query has more than {most} {what}")));
            }
        }
        if self.constants > CONSTANT {
            let most = CONSTANT >> 10;
            return Err(QueryError::Refused(format!(
                "the values in the query are longer than {most} KiB together, those of `IN` and `VALUES` apart"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{ast::Statement, parser::Parser};

    use super::*;

    /// What is said against `query` before it is planned.
    fn refused(query: &str) -> Option<String> {
        let parsed = Parser::parse_sql(&GenericDialect, query).expect("SQL");
        let [Statement::Query(query)] = &parsed[..] else { panic!("no query") };
        check_names(query).err().map(|error| error.to_string())
    }

    fn tables(count: usize) -> String {
        (0..count).map(|number| format!("records r{number}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn tables_are_counted_before_anything_is_planned() {
        let (few, many) = (tables(100), tables(101));
        for good in [
            format!("SELECT 1 FROM {few}"),
            format!("WITH a AS (SELECT 1 FROM {few}) SELECT 1 FROM a"),
            format!("WITH a AS (SELECT 1 AS x) SELECT 1 FROM {}", tables(100).replace("records", "a")),
        ] {
            assert_eq!(refused(&good), None, "{good}");
        }
        for bad in [
            format!("SELECT 1 FROM {many}"),
            format!("SELECT * FROM (SELECT 1 FROM {many}) t"),
            format!("SELECT 1 WHERE EXISTS (SELECT 1 FROM {many})"),
            format!("WITH unused AS (SELECT 1 FROM {many}) SELECT 1"),
            format!("WITH a AS (SELECT 1 FROM {few}) SELECT 1 FROM a UNION ALL SELECT 1 FROM a"),
        ] {
            let said = refused(&bad).unwrap_or_else(|| panic!("{bad}"));
            assert!(said.contains("more than 100 tables"), "{said}");
        }
    }
}
