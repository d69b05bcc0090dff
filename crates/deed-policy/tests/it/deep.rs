//! What is nested without end neither ends the process nor takes forever.

use crate::support::{ALL, request, try_set, with_schema};

/// A policy of the kind, `count` deep.
fn body(kind: &str, count: usize) -> String {
    match kind {
        "brackets" => format!("{}true{}", "(".repeat(count), ")".repeat(count)),
        "sets" => format!("{}1{}.isEmpty()", "[".repeat(count), "]".repeat(count)),
        "records" => format!("{}1{} == 1", "{a: ".repeat(count), "}".repeat(count)),
        "and" => vec!["context.chain_depth > 1"; count].join("&&"),
        "or" => vec!["context.arguments has a"; count].join(" || "),
        "sum" => format!("context.chain_depth {} > 1", "+1".repeat(count)),
        "members" => format!("context.arguments has a && context.arguments{} == 1", ".a".repeat(count)),
        "has" => format!("context.arguments has a{}", ".a".repeat(count)),
        "if" => format!("{}true", "if true then false else\n".repeat(count)),
        _ => "!".repeat(count) + "true",
    }
}

#[test]
fn depth_is_bounded() {
    for kind in ["brackets", "sets", "records", "and", "or", "sum", "members", "has", "if", "not"] {
        for count in [30, 120, 399, 100_000] {
            let text = format!(
                "{ALL}@id(\"x\") forbid (principal, action, resource) when {{ {} }};",
                body(kind, count)
            );
            match try_set(&text) {
                // Whether it is satisfied, or too deep for what is left of this thread's stack.
                Ok(set) => assert!(!set.decide(&request()).reason.is_empty()),
                Err(error) => assert!(
                    count < 100_000 || error.to_string().contains("more than"),
                    "{kind}: {error:.200}"
                ),
            }
        }
    }
}

#[test]
fn what_is_flat_may_be_long() {
    let policies: String =
        (0..60).map(|at| format!("// (((( {{{{ \n@id(\"p{at}\") permit (principal, action, resource) when {{ [\"((((\\\"((\", \"a\"].contains(context.tenant) }};\n")).collect();
    try_set(&policies).unwrap();
    let names: Vec<String> = (0..2000).map(|at| format!("\"{at}\"")).collect();
    let text = format!(
        "@id(\"x\") permit (principal, action, resource) when {{ [{}].contains(context.tenant) }};",
        names.join(", ")
    );
    try_set(&text).unwrap();
}

#[test]
fn depth_of_a_schema_is_bounded() {
    for (open, close) in [("Set<", ">"), ("{a?: ", "}")] {
        let count = 100_000;
        let schema = format!(
            "namespace Deed {{ type Arguments = {{ a?: {}Long{} }}; }}",
            open.repeat(count),
            close.repeat(count)
        );
        let error = with_schema(ALL, &schema).unwrap_err();
        assert!(error.to_string().contains("more than 32 brackets"), "{error:.200}");
    }
}
