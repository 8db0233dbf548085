use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};

use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use super::spelling::Names;
use super::store::Whole;
use super::{Item, Place, Refusal, Spot, Stores, Tell, unfit};
use crate::gallery::{Details, Kind, Polarity};
use crate::reindex::ReindexError;
use crate::telemetry::caught;

/// Bytes of one line at most.
const MAX_LINE: u64 = 1 << 20;

/// A row's columns by name; empty and null ones are left out.
type Columns = BTreeMap<String, String>;

/// What the manifest may point to.
struct Bounds<'a> {
    stores: &'a Stores,
    /// The manifest's own folder, as text.
    base: String,
    allowed: Vec<Spot>,
    names: Names,
}

/// Every row of a manifest. A row that cannot be used is an item nowhere.
pub(super) fn list(path: &str, allowed: &[String], stores: &Stores, tell: Tell<'_>) -> Result<(), ReindexError> {
    let base = folder(path);
    let places = std::iter::once(&base).chain(allowed).map(|place| stores.spot(place));
    let bounds = Bounds { stores, allowed: places.collect::<Result<_, _>>()?, base, names: Names::default() };
    let spot = stores.spot(path)?;
    let mut rows = Rows::default();
    let mut row = |number: usize, columns| tell(rows.once(bounds.item(path, number, columns), path, number));
    match path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("csv") => csv(stores.reader(&spot, path)?, path, &mut row),
        Some("jsonl" | "ndjson") => json_lines(stores.reader(&spot, path)?, path, &mut row),
        Some("parquet") => match stores.whole(&spot, path)? {
            Whole::File(file) => unharmed(path, || parquet(file, path, &mut row)),
            Whole::Bytes(bytes) => unharmed(path, || parquet(bytes, path, &mut row)),
        },
        _ => Err(ReindexError::source(path, &"the manifest's name ends in neither .csv, .jsonl nor .parquet")),
    }
}

/// The crate `parquet` panics on some damaged files.
fn unharmed(path: &str, read: impl FnOnce() -> Result<(), ReindexError>) -> Result<(), ReindexError> {
    caught(read)
        .unwrap_or_else(|| Err(ReindexError::source(path, &"the file is damaged: it cannot be read as Parquet")))
}

fn folder(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder.to_owned(),
        Some(_) => "/".to_owned(),
        None => ".".to_owned(),
    }
}

type Row<'a> = &'a mut dyn FnMut(usize, Result<Columns, String>) -> bool;

fn csv(reader: Box<dyn Read + Send>, path: &str, row: Row<'_>) -> Result<(), ReindexError> {
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
    checked_header(&header.iter(), path)?;
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

/// The records of a CSV file, each with the number of its first line. A quoted field may contain line breaks. An unclosed
/// quote would swallow the records after it, so it ends the reading.
struct Records<'a> {
    reader: BufReader<Box<dyn Read + Send>>,
    path: &'a str,
    line: usize,
}

/// The state of the parser within a record.
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
                // Between two quotes that are no pair lie rows of which one has forgotten its own.
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
            "line {line}: a quoted text goes on over the line's end and is not closed; close its quote, and write a quote inside it twice"
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

/// The reader of a text file, past its byte order mark if it has one.
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
        serde_json::from_slice(line).map_err(|error| format!("{error}; expected one JSON object a line"))?;
    let mut columns = Columns::new();
    for (name, value) in fields {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Number(number) if !matches!(name.as_str(), "path" | "url") => number.to_string(),
            other => return Err(format!("{name} is {other}, expected a text")),
        };
        if columns.insert(name.clone(), text).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(columns)
}

/// A JSON object with every field, also one that comes twice.
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

fn parquet(file: impl ChunkReader + 'static, path: &str, row: Row<'_>) -> Result<(), ReindexError> {
    let failed = |error: parquet::errors::ParquetError| ReindexError::source(path, &error);
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema().clone();
    checked_header(&schema.get_fields().iter().map(|field| field.name()), path)?;
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

fn known(name: &str) -> bool {
    matches!(name, "path" | "url" | "polarity" | "product" | "notes" | "rights_basis" | "kind")
}

/// A misspelt column would be lost without a word.
fn checked_header<'a>(names: &(impl Iterator<Item = &'a str> + Clone), path: &str) -> Result<(), ReindexError> {
    let has = |wanted: &str| names.clone().any(|name| name == wanted);
    let unknown: Vec<&str> = names.clone().filter(|name| !known(name)).collect();
    let mut seen = HashSet::new();
    let twice = names.clone().find(|name| !seen.insert(*name));
    let wrong = if let Some(twice) = twice {
        format!("it has the column {twice} twice")
    } else if !unknown.is_empty() {
        format!("it has the columns {}", unknown.join(", "))
    } else if !has("path") && !has("url") {
        "it has neither a column path nor url".to_owned()
    } else if !has("polarity") {
        "it has no column polarity".to_owned()
    } else {
        return Ok(());
    };
    Err(ReindexError::source(
        path,
        &format!("{wrong}; expected path or url, polarity, and at most product, notes, rights_basis, kind"),
    ))
}

/// The images that rows have named. A million of them is eight megabytes.
#[derive(Default)]
struct Rows {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Rows {
    /// Which of two rows about the same image counts must not depend on which is read first.
    fn once(&mut self, item: Item, manifest: &str, number: usize) -> Item {
        let is_image = matches!(item.place, Place::Spot(_));
        if !is_image || self.hashes.insert(self.hasher.hash_one((&item.source, item.polarity))) {
            return item;
        }
        let detail = format!("a row before it names {} as {} already; that one counts", item.source, item.polarity);
        let place = Place::Nowhere(Refusal { code: "manifest-row-repeated", detail });
        Item { source: format!("{manifest}:{number}"), place, ..item }
    }
}

impl Bounds<'_> {
    fn item(&self, manifest: &str, number: usize, columns: Result<Columns, String>) -> Item {
        let nowhere = |about: Option<String>, polarity: Option<Polarity>, detail: String| Item {
            source: format!("{manifest}:{number}"),
            about,
            polarity: polarity.unwrap_or(Polarity::Authentic),
            details: Details::default(),
            place: Place::Nowhere(Refusal { code: "manifest-row-invalid", detail }),
        };
        let mut columns = match columns {
            Ok(columns) => columns,
            Err(detail) => return nowhere(None, None, detail),
        };
        let mut take = |name: &str| columns.remove(name).filter(|text| !text.is_empty());
        let (path, url, polarity) = (take("path"), take("url"), take("polarity"));
        let details = Details {
            product: take("product"),
            source: None,
            notes: take("notes"),
            rights_basis: take("rights_basis"),
            kind: None,
        };
        let kind = take("kind");
        let (Some(source), true) = (path.clone().or(url.clone()), path.is_none() || url.is_none()) else {
            return nowhere(None, None, "expected either path or url, and one of them".to_owned());
        };
        let source = self.absolute(&source);
        let details = Details { source: Some(source.clone()), ..details };
        let about = Some(source.clone());
        let polarity: Polarity = match polarity.as_deref().map(str::parse) {
            Some(Ok(polarity)) => polarity,
            Some(Err(error)) => return nowhere(about, None, format!("{error}")),
            None => return nowhere(about, None, "polarity is missing, expected authentic or fake".to_owned()),
        };
        let kind: Option<Kind> = match kind.as_deref().map(str::parse).transpose() {
            Ok(kind) => kind,
            Err(error) => return nowhere(about, Some(polarity), format!("{error}")),
        };
        let details = Details { kind, ..details };
        if let Some(name) = columns.keys().find(|name| !known(name)) {
            let detail =
                format!("{name} is no column, expected path or url, polarity, product, notes, rights_basis, kind");
            return nowhere(about, Some(polarity), detail);
        }
        if let Some(refusal) = unfit(&details) {
            return nowhere(about, Some(polarity), refusal.detail);
        }
        let place = self.place(&source);
        Item { source, about, polarity, details, place }
    }

    fn place(&self, source: &str) -> Place {
        let spot = match self.stores.spot(source).map(|spot| self.as_on_disk(spot)) {
            Ok(Err(detail)) => return Place::Nowhere(Refusal { code: "name-ambiguous", detail }),
            Ok(Ok(spot)) => Ok(spot),
            Err(error) => Err(error),
        };
        match spot {
            Ok(spot) if self.admits(&spot) => Place::Spot(spot),
            Ok(_) => Place::Nowhere(Refusal {
                code: "place-not-allowed",
                detail: format!(
                    "it lies outside of {}; name its folder with --allow if the manifest may point there",
                    self.base
                ),
            }),
            Err(error) => Place::Nowhere(Refusal { code: "file-unreadable", detail: error.to_string() }),
        }
    }

    /// Names come in NFC or NFD, whichever system wrote them down; a disk may have the other.
    fn as_on_disk(&self, spot: Spot) -> Result<Spot, String> {
        let Some(path) = spot.disk() else { return Ok(spot) };
        let found = self.names.on_disk(&path)?;
        match found.to_str().filter(|_| found != path).map(|found| self.stores.spot(found)) {
            Some(Ok(found)) => Ok(found),
            _ => Ok(spot),
        }
    }

    fn absolute(&self, text: &str) -> String {
        if text.contains("://") || text.starts_with('/') { text.to_owned() } else { super::joined(&self.base, text) }
    }

    /// Where the spot truly lies counts: a link may lead out of its folder.
    fn admits(&self, spot: &Spot) -> bool {
        let same_store = |place: &&Spot| std::sync::Arc::ptr_eq(&place.store, &spot.store);
        let truly = spot.resolved();
        self.allowed.iter().filter(same_store).any(|place| truly.prefix_matches(&place.resolved()))
    }
}
