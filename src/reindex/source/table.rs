//! Tables: CSV, JSON Lines and Parquet, row by row.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read};

use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use super::Stores;
use super::store::Whole;
use crate::reindex::ReindexError;
use crate::telemetry::caught;

/// The greatest length of a line in bytes.
const MAX_LINE: u64 = 1 << 20;

/// A row's columns by name, without empty and null ones.
pub(crate) type Columns = BTreeMap<String, String>;

/// The columns that a table may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// All allowed columns; a table has `path` or `url` or both.
    pub(crate) known: &'static [&'static str],
    /// A column that the table must have.
    pub(crate) required: Option<&'static str>,
    /// The expected columns, for messages.
    pub(crate) expected: &'static str,
}

impl Shape {
    /// The error for an unknown column of a row: in JSON Lines each row has its own columns.
    pub(crate) fn fault(&self, columns: &Columns) -> Option<String> {
        let unknown = columns.keys().find(|name| !self.known.contains(&name.as_str()));
        unknown.map(|name| format!("{name} is not a known column, expected {}", self.expected))
    }
}

/// Receives each row's number and its columns or error; returns `false` to end the reading.
pub(crate) type Row<'a> = &'a mut dyn FnMut(usize, Result<Columns, String>) -> bool;

/// Reads every row of a table. An unreadable row is passed on as an error; a header with the wrong columns ends the
/// reading.
///
/// # Errors
/// When the table cannot be read, or its header is wrong.
pub(crate) fn rows(path: &str, shape: &Shape, stores: &Stores, row: Row<'_>) -> Result<(), ReindexError> {
    let spot = stores.spot(path)?;
    match path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("csv") => csv(stores.reader(&spot, path)?, path, shape, row),
        Some("jsonl" | "ndjson") => json_lines(stores.reader(&spot, path)?, path, row),
        Some("parquet") => match stores.whole(&spot, path)? {
            Whole::File(file) => unharmed(path, || parquet(file, path, shape, row)),
            Whole::Bytes(bytes) => unharmed(path, || parquet(bytes, path, shape, row)),
        },
        _ => Err(ReindexError::source(path, &"the manifest's name ends in neither .csv, .jsonl nor .parquet")),
    }
}

/// Turns a panic into an error: the crate `parquet` panics on some damaged files.
fn unharmed(path: &str, read: impl FnOnce() -> Result<(), ReindexError>) -> Result<(), ReindexError> {
    caught(read)
        .unwrap_or_else(|| Err(ReindexError::source(path, &"the file is damaged: it cannot be read as Parquet")))
}

fn csv(reader: Box<dyn Read + Send>, path: &str, shape: &Shape, row: Row<'_>) -> Result<(), ReindexError> {
    let mut records = Records::new(text(reader, path)?, path);
    let parsed = |record: &[u8]| {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).buffer_capacity(record.len().max(1)).from_reader(record);
        let mut fields = csv::ByteRecord::new();
        let read = reader.read_byte_record(&mut fields).map_err(|error| error.to_string());
        let mut fields = read.and_then(|_| {
            csv::StringRecord::from_byte_record(fields)
                .map_err(|_| "it is not UTF-8 text; save the manifest as UTF-8".to_owned())
        })?;
        fields.trim();
        Ok(fields)
    };
    let header = records.next()?.map(|(_, record)| parsed(&record)).transpose();
    let header = header.map_err(|error: String| ReindexError::source(path, &error))?.unwrap_or_default();
    checked_header(&header.iter(), shape, path)?;
    while let Some((number, record)) = records.next()? {
        let columns = parsed(&record).and_then(|fields| {
            if fields.len() == header.len() {
                Ok(header.iter().map(str::to_owned).zip(fields.iter().map(str::to_owned)).collect())
            } else {
                let (got, expected) = (fields.len(), header.len());
                Err(format!(
                    "it has {got} fields, expected {expected} as in the header; put fields with commas in quotes"
                ))
            }
        });
        if !row(number, columns) {
            return Ok(());
        }
    }
    Ok(())
}

/// The records of a CSV file, each with the number of its first line. A quoted field may contain line breaks. An
/// unclosed quote would swallow the records after it, so it ends the reading.
struct Records<'a> {
    reader: BufReader<Box<dyn Read + Send>>,
    path: &'a str,
    line: usize,
}

/// The parser's position in a record.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted field. It ends the field, or is the first half of an escaped quote.
    Closed,
}

impl<'a> Records<'a> {
    fn new(reader: BufReader<Box<dyn Read + Send>>, path: &'a str) -> Self {
        Self { reader, path, line: 1 }
    }

    fn next(&mut self) -> Result<Option<(usize, Vec<u8>)>, ReindexError> {
        let (mut record, mut begins) = (Vec::new(), self.line);
        let (mut within, mut quote) = (Within::FieldStart, None);
        loop {
            let Some(byte) = self.byte()? else { break };
            let ends_line = byte == b'\n' || (byte == b'\r' && self.peek()? != Some(b'\n'));
            self.line += usize::from(ends_line);
            if ends_line && within != Within::Quoted {
                if record.iter().all(|byte| *byte == b'\r') {
                    (record, begins) = (Vec::new(), self.line);
                    continue;
                }
                break;
            }
            if record.len() as u64 >= MAX_LINE {
                let detail = format!(
                    "the record that begins on line {begins} is longer than {MAX_LINE} bytes; close its quotes"
                );
                return Err(ReindexError::source(self.path, &detail));
            }
            record.push(byte);
            within = match (within, byte) {
                (Within::FieldStart, b'"') => {
                    quote = Some(self.line);
                    Within::Quoted
                }
                (Within::Quoted, b'"') | (Within::Closed, b' ' | b'\t' | b'\r') => Within::Closed,
                (Within::Closed, b'"') | (Within::Quoted, _) => Within::Quoted,
                (_, b',') => Within::FieldStart,
                // Text between two quotes that do not belong together means that a row above lacks its closing quote.
                (Within::Closed, _) if quote != Some(self.line) => return Err(self.not_closed(quote)),
                _ => Within::Plain,
            };
        }
        if within == Within::Quoted {
            return Err(self.not_closed(quote));
        }
        Ok((!record.is_empty()).then_some((begins, record)))
    }

    fn not_closed(&self, quote: Option<usize>) -> ReindexError {
        let line = quote.unwrap_or(self.line);
        let detail = format!(
            "line {line}: a quoted text continues past the end of the line and is not closed; close it, and double the quotes inside it"
        );
        ReindexError::source(self.path, &detail)
    }

    fn peek(&mut self) -> Result<Option<u8>, ReindexError> {
        let path = self.path;
        let buffer = self.reader.fill_buf().map_err(|error| ReindexError::source(path, &error))?;
        Ok(buffer.first().copied())
    }

    fn byte(&mut self) -> Result<Option<u8>, ReindexError> {
        let byte = self.peek()?;
        self.reader.consume(usize::from(byte.is_some()));
        Ok(byte)
    }
}

/// A reader of a text file after its byte order mark, if it has one.
fn text(reader: Box<dyn Read + Send>, path: &str) -> Result<BufReader<Box<dyn Read + Send>>, ReindexError> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let failed = |error: std::io::Error| ReindexError::source(path, &error);
    let mut reader = reader;
    let mut first = Vec::new();
    reader.by_ref().take(MARK.len() as u64).read_to_end(&mut first).map_err(failed)?;
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        return Err(ReindexError::source(path, &"the manifest is UTF-16; save it as UTF-8"));
    }
    if first == MARK {
        first.clear();
    }
    Ok(BufReader::new(Box::new(std::io::Cursor::new(first).chain(reader))))
}

fn json_lines(reader: Box<dyn Read + Send>, path: &str, row: Row<'_>) -> Result<(), ReindexError> {
    let mut reader = text(reader, path)?;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| ReindexError::source(path, &error))? == 0 {
            return Ok(());
        }
        if line.len() as u64 > MAX_LINE {
            return Err(ReindexError::source(path, &format!("line {number} is longer than {MAX_LINE} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !row(number, json_columns(&line)) {
            return Ok(());
        }
    }
    Ok(())
}

fn json_columns(line: &[u8]) -> Result<Columns, String> {
    let Object(fields) =
        serde_json::from_slice(line).map_err(|error| format!("{error}; expected one JSON object per line"))?;
    let mut columns = Columns::new();
    for (name, value) in fields {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Number(number) if !matches!(name.as_str(), "path" | "url") => number.to_string(),
            other => return Err(format!("{name} is {other}, expected a text")),
        };
        if columns.insert(name.clone(), text).is_some() {
            return Err(format!("{name} occurs twice"));
        }
    }
    Ok(columns)
}

/// The fields of a JSON object in order, including repeated ones.
struct Object(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> serde::de::Visitor<'de> for Fields {
            type Value = Object;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a JSON object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn parquet(file: impl ChunkReader + 'static, path: &str, shape: &Shape, row: Row<'_>) -> Result<(), ReindexError> {
    let failed = |error: parquet::errors::ParquetError| ReindexError::source(path, &error);
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema().clone();
    checked_header(&schema.get_fields().iter().map(|field| field.name()), shape, path)?;
    for (number, record) in reader.get_row_iter(None).map_err(failed)?.enumerate() {
        let record = record.map_err(failed)?;
        let text = |(name, field): (&String, &Field)| match field {
            Field::Null => None,
            Field::Str(text) => Some((name.clone(), text.clone())),
            other => Some((name.clone(), other.to_string())),
        };
        if !row(number + 1, Ok(record.get_column_iter().filter_map(text).collect())) {
            return Ok(());
        }
    }
    Ok(())
}

/// Checks the header, because a misspelt column would be ignored silently.
fn checked_header<'a>(
    names: &(impl Iterator<Item = &'a str> + Clone),
    shape: &Shape,
    path: &str,
) -> Result<(), ReindexError> {
    let has = |wanted: &str| names.clone().any(|name| name == wanted);
    let unknown: Vec<&str> = names.clone().filter(|name| !shape.known.contains(name)).collect();
    let mut seen = HashSet::new();
    let twice = names.clone().find(|name| !seen.insert(*name));
    let wrong = if let Some(twice) = twice {
        format!("it has the column {twice} twice")
    } else if !unknown.is_empty() {
        format!("it has the columns {}", unknown.join(", "))
    } else if !has("path") && !has("url") {
        "it has neither a path column nor a url column".to_owned()
    } else if let Some(missing) = shape.required.filter(|name| !has(name)) {
        format!("it has no column {missing}")
    } else {
        return Ok(());
    };
    Err(ReindexError::source(path, &format!("{wrong}; expected {}", shape.expected)))
}
