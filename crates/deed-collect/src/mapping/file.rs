//! The text of a mapping file, read strictly.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Mapping, MappingError, When,
    member::{self, Said, Sort, one_of},
    node::{Key, Node, Wrong, known, plain, table, tables, text_of, texts, whole},
    rows::Form,
    test::{Holds, Test},
    time::{self, TimeForm},
    value::{Field, Origin},
};

pub(super) fn read(text: &str) -> Result<Mapping, MappingError> {
    let placed = |(span, message): Wrong| {
        let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
        MappingError { line, message }
    };
    let file = DeTable::parse(text)
        .map_err(|error| placed((error.span().unwrap_or_default(), error.message().to_owned())))?;
    mapping(file.get_ref()).map_err(placed)
}

fn mapping(file: &DeTable<'_>) -> Result<Mapping, Wrong> {
    const KNOWN: &[&str] =
        &["name", "version", "system", "format", "delimiter", "columns", "at", "record", "when"];
    for key in file.keys() {
        known(key, KNOWN)?;
    }
    let name = text_of(file, "name")?.ok_or_else(|| absent("name"))?;
    if !deed_record::is_label(name.get_ref()) {
        let form = "expected 1 to 64 letters, digits, `-`, `_` or `.`, the first no `.`";
        return Err((name.span(), form.to_owned()));
    }
    let version = match file.get("version") {
        None => 1,
        Some(node) => whole(node)
            .filter(|version| *version > 0)
            .ok_or_else(|| (node.span(), "expected a whole number above 0".to_owned()))?,
    };
    let system = text_of(file, "system")?.ok_or_else(|| absent("system"))?;
    if system.get_ref().is_empty() {
        return Err((system.span(), "expected the system's name, such as `jira:acme`".to_owned()));
    }
    let record = match file.get("record") {
        Some(node) => said(node, member::of_record)?,
        None => return Err(absent("record")),
    };
    for needed in ["event_id", "time"] {
        if !record.iter().any(|said| said.member == needed) {
            return Err(absent(&format!("record.{needed}")));
        }
    }
    let when = match file.get("when") {
        None => Vec::new(),
        Some(node) => tables(node, "[[when]]")?.iter().map(|node| when(node)).collect::<Result<_, _>>()?,
    };
    Ok(Mapping {
        system: system.get_ref().to_string(),
        collector: format!("{}/{version}", name.get_ref()),
        form: form(file)?,
        record,
        when,
    })
}

fn absent(what: &str) -> Wrong {
    (0..0, format!("`{what}` is missing"))
}

// === The form of the files ===

fn form(file: &DeTable<'_>) -> Result<Form, Wrong> {
    let format = text_of(file, "format")?.ok_or_else(|| absent("format"))?;
    let only_of = |name: &str, of: &str| match file.get(name) {
        Some(node) => Err((node.span(), format!("`{name}` is of format `{of}` only"))),
        None => Ok(()),
    };
    match &**format.get_ref() {
        "csv" => {
            only_of("at", "json")?;
            let delimiter = match text_of(file, "delimiter")? {
                None => b',',
                Some(text) => match text.get_ref().as_bytes() {
                    [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => *one,
                    _ => {
                        return Err((
                            text.span(),
                            "expected one ASCII character that is no quote".to_owned(),
                        ));
                    }
                },
            };
            let columns = file.get("columns").map(texts).transpose()?;
            if let (Some(columns), Some(node)) = (&columns, file.get("columns"))
                && (columns.is_empty()
                    || columns.iter().enumerate().any(|(at, name)| columns[..at].contains(name)))
            {
                return Err((node.span(), "expected names of columns, each once".to_owned()));
            }
            Ok(Form::Csv { delimiter, columns })
        }
        "json" => {
            only_of("delimiter", "csv")?;
            only_of("columns", "csv")?;
            Ok(Form::Json { at: text_of(file, "at")?.map(|text| text.get_ref().to_string()) })
        }
        _ => Err((format.span(), one_of(&["csv", "json"]))),
    }
}

// === What is said ===

fn when(node: &Node<'_>) -> Result<When, Wrong> {
    let table = table(node)?;
    for key in table.keys() {
        known(key, &["match", "record", "effect"])?;
    }
    let tests = match table.get("match") {
        None => Vec::new(),
        Some(node) => {
            self::table(node)?.iter().map(|(key, node)| test(key, node)).collect::<Result<_, _>>()?
        }
    };
    let record = table.get("record").map(|node| said(node, member::of_record)).transpose()?;
    let effects = match table.get("effect") {
        None => Vec::new(),
        Some(node) => {
            tables(node, "[[when.effect]]")?.iter().map(|node| effect(node)).collect::<Result<_, _>>()?
        }
    };
    if record.is_none() && effects.is_empty() {
        return Err((node.span(), "says nothing: neither `record` nor `[[when.effect]]`".to_owned()));
    }
    Ok(When { tests, record: record.unwrap_or_default(), effects })
}

fn effect(node: &Node<'_>) -> Result<Vec<Said>, Wrong> {
    let said = said(node, member::of_effect)?;
    if said.iter().any(|said| said.member == "kind" && matches!(said.from, Origin::Constant(_))) {
        return Ok(said);
    }
    Err((node.span(), "`kind` of the effect is missing; expected one word".to_owned()))
}

fn test(key: &Key<'_>, node: &Node<'_>) -> Result<Test, Wrong> {
    let field = key.get_ref().to_string();
    let holds = match node.get_ref() {
        DeValue::Table(table) => {
            let [(test, value)] = &table.iter().collect::<Vec<_>>()[..] else {
                return Err((node.span(), "expected one of `one_of`, `prefix` and `present`".to_owned()));
            };
            match &**test.get_ref() {
                "one_of" => Holds::OneOf(texts(value)?),
                "prefix" => Holds::Prefix(plain(value)?),
                "present" => match value.get_ref() {
                    DeValue::Boolean(present) => Holds::Present(*present),
                    _ => return Err((value.span(), "expected `true` or `false`".to_owned())),
                },
                _ => {
                    let expected = one_of(&["one_of", "prefix", "present"]);
                    let hint = "a path of several names stands in quotes";
                    return Err((test.span(), format!("{expected}; {hint}")));
                }
            }
        }
        _ => Holds::OneOf(vec![plain(node)?]),
    };
    Ok(Test { field, holds })
}

/// The members that a table speaks of, at any depth.
fn said(node: &Node<'_>, sort_of: fn(&str) -> Option<Sort>) -> Result<Vec<Said>, Wrong> {
    let mut all = Vec::new();
    gather("", table(node)?, sort_of, &mut all)?;
    Ok(all)
}

fn gather(
    path: &str,
    table: &DeTable<'_>,
    sort_of: fn(&str) -> Option<Sort>,
    all: &mut Vec<Said>,
) -> Result<(), Wrong> {
    for (key, node) in table {
        let member = match path {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        match (sort_of(&member), node.get_ref()) {
            (Some(sort), _) => all.push(Said { from: from(node, sort)?, member, sort }),
            (None, DeValue::Table(inner)) if is_group(&member) => gather(&member, inner, sort_of, all)?,
            (None, _) => {
                let message =
                    format!("a record has no member `{}` that can be mapped", member.escape_debug());
                return Err((key.span(), message));
            }
        }
    }
    Ok(())
}

/// Members that hold others.
fn is_group(member: &str) -> bool {
    matches!(
        member,
        "executor"
            | "initiator"
            | "subject"
            | "by"
            | "resource"
            | "credential"
            | "tool"
            | "artifact"
            | "outcome"
            | "decision"
            | "personal"
            | "disclose"
    )
}

fn from(node: &Node<'_>, sort: Sort) -> Result<Origin, Wrong> {
    let found = match node.get_ref() {
        DeValue::Table(_) => Origin::Field(field(node, sort)?),
        DeValue::Array(_) if matches!(sort, Sort::List) => Origin::Constant(texts(node)?),
        _ => Origin::Constant(vec![plain(node)?]),
    };
    // What is always the same is held to its form here, and not once for each event.
    let always: Vec<&String> = match &found {
        Origin::Constant(all) => all.iter().collect(),
        Origin::Field(field) if field.prefix.is_empty() => {
            field.values.values().chain(&field.otherwise).chain(&field.default).collect()
        }
        Origin::Field(_) => Vec::new(),
    };
    if let Sort::Word(words) = sort
        && always.iter().any(|word| !words().contains(&word.as_str()))
    {
        return Err((node.span(), one_of(&words())));
    }
    if let (Sort::Time | Sort::Request, Origin::Constant(_)) = (sort, &found) {
        return Err((node.span(), "expected `{ field = … }`: it is another one for each event".to_owned()));
    }
    Ok(found)
}

fn field(node: &Node<'_>, sort: Sort) -> Result<Field, Wrong> {
    let table = table(node)?;
    for key in table.keys() {
        known(key, &["field", "prefix", "values", "else", "default", "split", "format", "zone", "system"])?;
    }
    let only_of = |name: &str, fits: bool, of: &str| match table.get(name) {
        Some(value) if !fits => Err((value.span(), format!("`{name}` is for {of} only"))),
        _ => Ok(()),
    };
    only_of("split", matches!(sort, Sort::List), "lists")?;
    only_of("format", matches!(sort, Sort::Time), "times")?;
    only_of("zone", matches!(sort, Sort::Time), "times")?;
    only_of("system", matches!(sort, Sort::Request), "`request`")?;
    let names = match table.get("field") {
        None => return Err((node.span(), "`field` is missing".to_owned())),
        Some(value) if matches!(value.get_ref(), DeValue::Array(_)) => texts(value)?,
        Some(value) => vec![plain(value)?],
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err((node.span(), "`field` names none".to_owned()));
    }
    let optional = |name: &str| table.get(name).map(plain).transpose();
    let values = match table.get("values") {
        None => BTreeMap::new(),
        Some(value) => self::table(value)?
            .iter()
            .map(|(key, value)| Ok((key.get_ref().to_string(), plain(value)?)))
            .collect::<Result<_, Wrong>>()?,
    };
    if let (true, Some(otherwise)) = (values.is_empty(), table.get("else")) {
        return Err((otherwise.span(), "`else` is for what `values` does not list".to_owned()));
    }
    Ok(Field {
        names,
        prefix: optional("prefix")?.unwrap_or_default(),
        values,
        otherwise: optional("else")?,
        default: optional("default")?,
        split: optional("split")?.filter(|split| !split.is_empty()),
        time: time_form(table)?,
        system: optional("system")?,
    })
}

fn time_form(table: &DeTable<'_>) -> Result<TimeForm, Wrong> {
    let zone = match table.get("zone") {
        None => None,
        Some(node) => {
            let wrong = || (node.span(), "expected a distance from UTC such as `+02:00`".to_owned());
            Some(time::zone(&plain(node)?).ok_or_else(wrong)?)
        }
    };
    let form = match table.get("format") {
        None => TimeForm::Usual,
        Some(node) => match &*plain(node)? {
            "rfc3339" => TimeForm::Usual,
            "unix" => TimeForm::Unix,
            "unix_ms" => TimeForm::UnixMillis,
            pattern if pattern.contains('%') => {
                TimeForm::Pattern { pattern: pattern.to_owned(), east: zone.unwrap_or(0) }
            }
            _ => {
                let expected =
                    "expected `rfc3339`, `unix`, `unix_ms` or a pattern such as `%d.%m.%Y %H:%M:%S`";
                return Err((node.span(), expected.to_owned()));
            }
        },
    };
    match (zone, &form, table.get("zone")) {
        (Some(_), TimeForm::Pattern { .. }, _) | (None, ..) => Ok(form),
        (_, _, node) => Err((
            node.map_or(0..0, Spanned::span),
            "`zone` is for a `format` with a pattern; the other forms have one".to_owned(),
        )),
    }
}
