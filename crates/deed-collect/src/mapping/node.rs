//! Looks into TOML that say where they found something else than was expected.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::member::one_of;

/// What is wrong, and where in the text.
pub(super) type Wrong = (Range<usize>, String);
pub(super) type Key<'i> = Spanned<Cow<'i, str>>;
pub(super) type Node<'i> = Spanned<DeValue<'i>>;

pub(super) fn known(key: &Key<'_>, names: &[&str]) -> Result<(), Wrong> {
    if names.contains(&&**key.get_ref()) {
        return Ok(());
    }
    Err((key.span(), format!("unknown key `{}`, {}", key.get_ref().escape_debug(), one_of(names))))
}

pub(super) fn table<'n, 'i>(node: &'n Node<'i>) -> Result<&'n DeTable<'i>, Wrong> {
    node.get_ref().as_table().ok_or_else(|| expected(node, "a table"))
}

pub(super) fn tables<'n, 'i>(node: &'n Node<'i>, called: &str) -> Result<Vec<&'n Node<'i>>, Wrong> {
    match node.get_ref() {
        DeValue::Array(items) => Ok(items.iter().collect()),
        _ => Err(expected(node, called)),
    }
}

pub(super) fn text_of<'n, 'i>(
    table: &'n DeTable<'i>,
    name: &str,
) -> Result<Option<Spanned<Cow<'n, str>>>, Wrong> {
    let Some(node) = table.get(name) else { return Ok(None) };
    match node.get_ref() {
        DeValue::String(text) => Ok(Some(Spanned::new(node.span(), Cow::Borrowed(&**text)))),
        _ => Err(expected(node, "a string")),
    }
}

pub(super) fn texts(node: &Node<'_>) -> Result<Vec<String>, Wrong> {
    match node.get_ref() {
        DeValue::Array(items) => items.iter().map(plain).collect(),
        _ => Err(expected(node, "a list of strings")),
    }
}

/// A string; numbers and booleans as they are written.
pub(super) fn plain(node: &Node<'_>) -> Result<String, Wrong> {
    match node.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        _ => Err(expected(node, "a string")),
    }
}

pub(super) fn whole(node: &Node<'_>) -> Option<u32> {
    let number = node.get_ref().as_integer()?;
    u32::from_str_radix(number.as_str(), number.radix()).ok()
}

fn expected(node: &Node<'_>, what: &str) -> Wrong {
    (node.span(), format!("expected {what}, found a value of type {}", node.get_ref().type_str()))
}
