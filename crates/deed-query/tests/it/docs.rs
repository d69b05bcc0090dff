//! `docs/sql.md` lists the columns that there are. `DEED_BLESS=1` writes the list anew.

use std::{fmt::Write as _, fs, path::Path};

use arrow::datatypes::DataType;
use deed_query::COLUMNS;

const HEADING: &str = "## Columns of `records` and `actions`\n\n";

#[test]
fn every_column_is_documented() {
    let mut table = "| column | type | says |\n|---|---|---|\n".to_owned();
    for column in COLUMNS.iter() {
        let kind = match &column.data_type {
            DataType::Int64 => "integer",
            DataType::Timestamp(..) => "time",
            DataType::List(item) if matches!(item.data_type(), DataType::Struct(_)) => "list of structs",
            DataType::List(_) => "list of texts",
            _ => "text",
        };
        writeln!(table, "| `{}` | {kind} | {} |", column.name, column.meaning).expect("memory");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let text = fs::read_to_string(&path).expect("the document");
    let (before, listed) = text.split_once(HEADING).expect("the heading");
    if std::env::var_os("DEED_BLESS").is_some() {
        fs::write(&path, format!("{before}{HEADING}{table}")).expect("written");
        return;
    }
    assert_eq!(listed, table);
}
