//! The listings of a table: consecutive rows with the same `listing_id` are one listing; a row without an id is a
//! listing of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Fault, Plan};
use crate::domain::check_field;
use crate::photo::Sha256;
use crate::reindex::{Bounds, Columns, Location, ReindexError, Shape, Stores, rows};
use crate::screening::Listing;

/// The greatest length of a text in bytes.
const MAX_TEXT: usize = 256;

const SHAPE: Shape = Shape {
    known: &["path", "url", "listing_id", "seller_id", "brand", "category"],
    required: None,
    expected: "path or url, and at most listing_id, seller_id, brand, category",
};

/// A listing whose photos are not read yet.
pub(super) struct Listed {
    /// Number of its first row.
    pub(super) line: usize,
    /// Beginning of a SHA-256 of its row number and contents, in hex.
    pub(super) row: String,
    pub(super) listing: Listing,
    pub(super) photos: Vec<(String, Location)>,
    /// The first fault of its rows.
    pub(super) fault: Option<Fault>,
}

/// A row's listing and photo, or the error.
type Read = Result<(Listing, String), String>;

/// Reads every listing; `tell` returns `false` to stop.
pub(super) fn list(plan: &Plan, stores: &Stores, tell: &mut dyn FnMut(Listed) -> bool) -> Result<(), ReindexError> {
    let bounds = Bounds::of(&plan.manifest, &plan.allowed, stores)?;
    let mut open: Option<(usize, Vec<Read>)> = None;
    let mut goes_on = true;
    rows(&plan.manifest, &SHAPE, stores, &mut |number, columns| {
        let row = read(columns, &bounds);
        match &mut open {
            Some((_, rows)) if rows.len() <= plan.max_photos && same_listing(rows, &row) => rows.push(row),
            _ => {
                let next = (number, vec![row]);
                if let Some((line, rows)) = open.replace(next) {
                    goes_on = tell(listed(line, rows, &bounds, plan.max_photos));
                }
            }
        }
        goes_on
    })?;
    if let Some((line, rows)) = open.filter(|_| goes_on) {
        tell(listed(line, rows, &bounds, plan.max_photos));
    }
    Ok(())
}

/// The number of listings; `None` if counting was stopped or failed.
pub(super) fn count(plan: &Plan, stores: &Stores, stop: &AtomicBool) -> Option<u64> {
    let (mut count, mut last) = (0_u64, None);
    let counted = rows(&plan.manifest, &SHAPE, stores, &mut |_, columns| {
        let id = columns.ok().and_then(|mut columns| columns.remove("listing_id")).filter(|id| !id.is_empty());
        count += u64::from(id.is_none() || id != last);
        last = id;
        !stop.load(Ordering::Acquire)
    });
    counted.ok().map(|()| count)
}

fn same_listing(rows: &[Read], row: &Read) -> bool {
    let id = |row: &Read| row.as_ref().ok().and_then(|(listing, _)| listing.listing_id.clone());
    let id_of = rows.first().and_then(id);
    id_of.is_some() && id(row) == id_of
}

fn read(columns: Result<Columns, String>, bounds: &Bounds<'_>) -> Read {
    let mut columns = columns?;
    if let Some(fault) = SHAPE.fault(&columns) {
        return Err(fault);
    }
    let mut take = |name: &'static str| -> Result<Option<String>, String> {
        let Some(text) = columns.remove(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        if text.len() > MAX_TEXT && !matches!(name, "path" | "url") {
            return Err(format!("{name} is longer than {MAX_TEXT} bytes"));
        }
        check_field(name, &text).map_err(|fault| fault.to_string())?;
        Ok(Some(text))
    };
    let listing = Listing {
        listing_id: take("listing_id")?,
        seller_id: take("seller_id")?,
        brand: take("brand")?,
        category: take("category")?,
    };
    match (take("path")?, take("url")?) {
        (Some(source), None) | (None, Some(source)) => Ok((listing, bounds.absolute(&source))),
        _ => Err("expected either path or url".to_owned()),
    }
}

fn listed(line: usize, rows: Vec<Read>, bounds: &Bounds<'_>, max_photos: usize) -> Listed {
    let (mut listing, mut photos, mut fault, mut said) = (None::<Listing>, Vec::new(), None, format!("{line}"));
    for row in rows {
        match row {
            Ok((of, source)) => {
                let Listing { listing_id, seller_id, brand, category } = &of;
                said = format!("{said}\n{source} {listing_id:?} {seller_id:?} {brand:?} {category:?}");
                match &listing {
                    Some(first) if *first != of => {
                        let detail = "its rows name different sellers, brands or categories";
                        fault = fault.or(Some(wrong("manifest-row-invalid", line, detail)));
                    }
                    Some(_) => {}
                    None => listing = Some(of),
                }
                photos.push(source);
            }
            Err(detail) => {
                said.push_str(&detail);
                fault = fault.or(Some(wrong("manifest-row-invalid", line, &detail)));
            }
        }
    }
    if photos.len() > max_photos {
        let detail = format!("the listing has more than {max_photos} photos, expected at most that many");
        fault = Some(wrong("too-many-photos", line, &detail));
    }
    let placed = |source: String| {
        let place = bounds.place(&source);
        (source, place)
    };
    Listed {
        line,
        row: Sha256::of(said.as_bytes()).to_string()[..16].to_owned(),
        listing: listing.unwrap_or_default(),
        photos: photos.into_iter().map(placed).collect(),
        fault,
    }
}

fn wrong(code: &str, line: usize, detail: &str) -> Fault {
    Fault { code: code.to_owned(), detail: format!("row {line}: {detail}"), photo: None }
}
