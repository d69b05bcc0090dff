//! `deed findings --rules`: the catalogue.

use deed_review::{Rule, every_rule};

use super::WIDTH;
use crate::{
    exit::Outcome,
    output::{Output, fold},
};

/// The tables of rules are kept once, where people read them.
const CATALOGUE: &str = include_str!("../../../../../docs/findings.md");

/// Every rule: what it means, the evidence that it needs, how severe it is, what to do, and the controls it bears on.
pub(super) fn print(output: Output) -> Outcome {
    let rules = every_rule().filter_map(|rule| Some((rule, Row::of(rule)?)));
    if output.json {
        return rules.into_iter().try_for_each(|(rule, Row { evidence, severity })| {
            output.line(&serde_json::json!({
                "rule": rule.name, "means": rule.means, "evidence": evidence, "severity": severity,
                "remedy": rule.remedy, "controls": rule.controls,
            }))
        });
    }
    let mut text = String::new();
    for (rule, Row { evidence, severity }) in rules {
        text.push_str(&format!("{}   {severity}\n", output.strong(rule.name)));
        let controls = rule.controls.join(", ");
        for (label, line) in
            [("", rule.means), ("needs", evidence), ("do", rule.remedy), ("controls", &*controls)]
        {
            let line = if label.is_empty() { line.to_owned() } else { format!("{label:<9} {line}") };
            text.push_str(&format!("  {}\n", fold(&line, WIDTH - 2).replace('\n', "\n       ")));
        }
        text.push('\n');
    }
    output.print(&text)
}

/// What the catalogue alone has of a rule.
struct Row {
    evidence: &'static str,
    severity: &'static str,
}

impl Row {
    fn of(rule: &Rule) -> Option<Row> {
        let row = CATALOGUE.lines().find_map(|line| line.strip_prefix(&format!("| `{}` | ", rule.name)))?;
        let mut cells = row.split(" | ").skip(1);
        Some(Row { evidence: cells.next()?, severity: cells.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_says_what_each_rule_needs_and_how_severe_it_is() {
        for rule in every_rule() {
            let row = Row::of(rule);
            let is_whole = row.is_some_and(|row| {
                !row.evidence.is_empty()
                    && ["low", "medium", "high"].iter().any(|word| row.severity.starts_with(word))
            });
            assert!(is_whole, "{}", rule.name);
        }
    }
}
