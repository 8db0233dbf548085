use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::spelling::Names;
use super::table::{self, Columns, Shape};
use super::{Item, Location, Refusal, Spot, Stores, Tell, unfit};
use crate::domain::{Details, Kind, Polarity};
use crate::reindex::ReindexError;

/// The columns of a brand's manifest.
const SHAPE: Shape = Shape {
    known: &["path", "url", "polarity", "product", "notes", "rights_basis", "kind"],
    required: Some("polarity"),
    expected: "path or url, polarity, and at most product, notes, rights_basis, kind",
};

/// The places that a manifest's rows may point to.
pub(crate) struct Bounds<'a> {
    stores: &'a Stores,
    /// The manifest's own folder, as text.
    base: String,
    allowed: Vec<Spot>,
    names: Names,
}

/// Lists every row of a manifest. An unusable row is an item with [`Location::Unreadable`].
pub(super) fn list(path: &str, allowed: &[String], stores: &Stores, tell: Tell<'_>) -> Result<(), ReindexError> {
    let bounds = Bounds::of(path, allowed, stores)?;
    let mut rows = Rows::default();
    table::rows(path, &SHAPE, stores, &mut |number, columns| {
        tell(rows.once(bounds.item(path, number, columns), path, number))
    })
}

fn folder(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder.to_owned(),
        Some(_) => "/".to_owned(),
        None => ".".to_owned(),
    }
}

/// The photos that rows have named, by hash: a million of them take eight megabytes.
#[derive(Default)]
struct Rows {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Rows {
    /// The first of two rows about the same photo counts, whichever is read first.
    fn once(&mut self, item: Item, manifest: &str, number: usize) -> Item {
        let is_image = matches!(item.place, Location::Spot(_));
        if !is_image || self.hashes.insert(self.hasher.hash_one((&item.source, item.polarity))) {
            return item;
        }
        let detail = format!("an earlier row already names {} as {}; that one counts", item.source, item.polarity);
        let place = Location::Unreadable(Refusal { code: "manifest-row-repeated", detail });
        Item { source: format!("{manifest}:{number}"), place, ..item }
    }
}

impl<'a> Bounds<'a> {
    /// Allows the manifest's own folder, and the places in `allowed`.
    ///
    /// # Errors
    /// When a place is not a path or a URL that touchstone reads.
    pub(crate) fn of(manifest: &str, allowed: &[String], stores: &'a Stores) -> Result<Self, ReindexError> {
        let base = folder(manifest);
        let places = std::iter::once(&base).chain(allowed).map(|place| stores.spot(place));
        Ok(Self { stores, allowed: places.collect::<Result<_, _>>()?, base, names: Names::default() })
    }

    fn item(&self, manifest: &str, number: usize, columns: Result<Columns, String>) -> Item {
        let nowhere = |about: Option<String>, polarity: Option<Polarity>, detail: String| Item {
            source: format!("{manifest}:{number}"),
            about,
            polarity: polarity.unwrap_or(Polarity::Authentic),
            details: Details::default(),
            place: Location::Unreadable(Refusal { code: "manifest-row-invalid", detail }),
        };
        let mut columns = match columns {
            Ok(columns) => columns,
            Err(detail) => return nowhere(None, None, detail),
        };
        let misnamed = SHAPE.fault(&columns);
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
            return nowhere(None, None, "expected either path or url".to_owned());
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
        if let Some(detail) = misnamed {
            return nowhere(about, Some(polarity), detail);
        }
        if let Some(refusal) = unfit(&details) {
            return nowhere(about, Some(polarity), refusal.detail);
        }
        let place = self.place(&source);
        Item { source, about, polarity, details, place }
    }

    /// Where the bytes of a source are, if the manifest may point there.
    pub(crate) fn place(&self, source: &str) -> Location {
        let spot = match self.stores.spot(source).map(|spot| self.as_on_disk(spot)) {
            Ok(Err(detail)) => return Location::Unreadable(Refusal { code: "name-ambiguous", detail }),
            Ok(Ok(spot)) => Ok(spot),
            Err(error) => Err(error),
        };
        match spot {
            Ok(spot) if self.admits(&spot) => Location::Spot(spot),
            Ok(_) => Location::Unreadable(Refusal {
                code: "place-not-allowed",
                detail: format!(
                    "it is outside {}; name its folder with --allow if the manifest may point there",
                    self.base
                ),
            }),
            Err(error) => Location::Unreadable(Refusal { code: "file-unreadable", detail: error.to_string() }),
        }
    }

    /// A manifest may spell a name in NFC or NFD, and the disk in the other form.
    fn as_on_disk(&self, spot: Spot) -> Result<Spot, String> {
        let Some(path) = spot.disk() else { return Ok(spot) };
        let found = self.names.on_disk(&path)?;
        match found.to_str().filter(|_| found != path).map(|found| self.stores.spot(found)) {
            Some(Ok(found)) => Ok(found),
            _ => Ok(spot),
        }
    }

    /// A source as answers name it: an absolute path or a URL.
    pub(crate) fn absolute(&self, text: &str) -> String {
        if text.contains("://") || text.starts_with('/') { text.to_owned() } else { super::joined(&self.base, text) }
    }

    /// The target of a link counts, because a link may lead out of its folder.
    fn admits(&self, spot: &Spot) -> bool {
        let same_store = |place: &&Spot| std::sync::Arc::ptr_eq(&place.store, &spot.store);
        let truly = spot.resolved();
        self.allowed.iter().filter(same_store).any(|place| truly.prefix_matches(&place.resolved()))
    }
}
