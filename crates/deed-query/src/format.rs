//! Answers as text for people and in formats for programs.

use std::{fmt, io, str::FromStr, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray},
    csv,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    json,
    util::display::{ArrayFormatter, FormatOptions},
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

mod table;

use table::Table;

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Columns for people; rows below each other where the terminal is too narrow.
    #[default]
    Table,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a line of names; lists and structures as JSON.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// Every format.
    pub const ALL: &[Format] = &[Format::Table, Format::Json, Format::Ndjson, Format::Csv, Format::Parquet];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Table => "text/plain; charset=utf-8",
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Format::ALL.iter().map(|format| format!("`{format}`")).collect::<Vec<_>>().join(", ");
        Format::ALL
            .iter()
            .find(|format| format.as_str() == text)
            .copied()
            .ok_or_else(|| format!("expected one of {}, found `{text}`", names()))
    }
}

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Whatever it is written to failed.
    #[error("failed to write the answer: {0}")]
    Io(#[from] io::Error),
    /// A value cannot be written in this format.
    #[error("failed to write the answer as {format}: {what}")]
    Value {
        /// The format.
        format: Format,
        /// What the trouble is.
        what: String,
    },
}

/// Writes batches of one answer, as they come, to `W`.
pub struct Formatter<W: io::Write + Send> {
    format: Format,
    schema: SchemaRef,
    to: To<W>,
}

enum To<W: io::Write + Send> {
    Table(Table<W>),
    Json(json::ArrayWriter<W>),
    Ndjson(json::LineDelimitedWriter<W>),
    Csv(Box<csv::Writer<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

impl<W: io::Write + Send> Formatter<W> {
    /// Begins an answer with the columns of `schema`. A table is made to fit `width` characters, if given.
    ///
    /// # Errors
    /// Nothing can be written, or a column cannot be written in this format.
    pub fn new(format: Format, schema: &SchemaRef, to: W, width: Option<usize>) -> Result<Self, FormatError> {
        let schema = distinct(schema);
        let nulls = json::WriterBuilder::new().with_explicit_nulls(true);
        let to = match format {
            Format::Table => To::Table(Table::new(&schema, to, width)),
            Format::Json => To::Json(nulls.build::<_, json::writer::JsonArray>(to)),
            Format::Ndjson => To::Ndjson(nulls.build::<_, json::writer::LineDelimited>(to)),
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new()
                    .with_header(true)
                    .with_timestamp_tz_format(TIME.into())
                    .build(to);
                // Names come with the first batch, even if no row does.
                let empty =
                    flat(&RecordBatch::new_empty(schema.clone())).and_then(|batch| writer.write(&batch));
                empty.map_err(|error| value_error(format, error))?;
                To::Csv(Box::new(writer))
            }
            Format::Parquet => {
                let zstd = ZstdLevel::try_new(1)
                    .map(Compression::ZSTD)
                    .map_err(|error| value_error(format, error.into()))?;
                let properties = WriterProperties::builder().set_compression(zstd).build();
                let options =
                    ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(to, schema.clone(), options);
                To::Parquet(Box::new(writer.map_err(|error| value_error(format, error.into()))?))
            }
        };
        Ok(Formatter { format, schema, to })
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        let format = self.format;
        let failed = |error| value_error(format, error);
        // Not `with_schema`: that finds columns by name, and two of one name are told apart here.
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &rows).map_err(failed)?;
        match &mut self.to {
            To::Table(table) => table.write(&batch),
            To::Json(writer) => writer.write(&batch).map_err(failed),
            To::Ndjson(writer) => writer.write(&batch).map_err(failed),
            To::Csv(writer) => flat(&batch).and_then(|batch| writer.write(&batch)).map_err(failed),
            To::Parquet(writer) => writer.write(&batch).map_err(|error| failed(error.into())),
        }
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// The rest cannot be written.
    pub fn finish(self) -> Result<W, FormatError> {
        let format = self.format;
        let failed = |error| value_error(format, error);
        match self.to {
            To::Table(table) => table.finish(),
            To::Json(mut writer) => {
                writer.finish().map_err(failed)?;
                Ok(writer.into_inner())
            }
            To::Ndjson(mut writer) => {
                writer.finish().map_err(failed)?;
                Ok(writer.into_inner())
            }
            To::Csv(writer) => Ok(writer.into_inner()),
            To::Parquet(writer) => writer.into_inner().map_err(|error| failed(error.into())),
        }
    }
}

fn value_error(format: Format, error: ArrowError) -> FormatError {
    match error {
        ArrowError::IoError(_, error) => FormatError::Io(error),
        error => FormatError::Value { format, what: error.to_string() },
    }
}

/// The schema with every name once: two columns of one name would be one member of an object.
fn distinct(schema: &SchemaRef) -> SchemaRef {
    let mut names: Vec<String> = Vec::new();
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut more = 2;
        while names.contains(&name) {
            name = format!("{}_{more}", field.name());
            more += 1;
        }
        names.push(name);
    }
    let fields = schema.fields().iter().zip(names);
    Arc::new(Schema::new(
        fields
            .map(|(field, name)| Field::clone(field).with_name(name).with_nullable(true))
            .collect::<Vec<_>>(),
    ))
}

/// The batch with lists and structures as JSON, which CSV can hold.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(schema.fields().len());
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(as_json(column)?);
        } else {
            fields.push(Field::clone(field));
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Each value as JSON text.
fn as_json(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", column.data_type().clone(), true)]));
    let mut writer = json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, json::writer::LineDelimited>(Vec::new());
    writer.write(&RecordBatch::try_new(schema, vec![column.clone()])?)?;
    writer.finish()?;
    let text =
        String::from_utf8(writer.into_inner()).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    // `{"v":…}` a line; a newline within a string is escaped.
    let values = text.lines().map(|line| line.strip_prefix(r#"{"v":"#)?.strip_suffix('}'));
    let values = values.enumerate().map(|(row, value)| value.filter(|_| !column.is_null(row)));
    Ok(Arc::new(values.collect::<StringArray>()))
}

/// Writes single values as text.
fn text_of(column: &dyn Array) -> Result<ArrayFormatter<'_>, ArrowError> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new()
        .with_timestamp_tz_format(Some(TIME))
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.6f"));
    ArrayFormatter::try_new(column, &OPTIONS)
}
