use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::metrics::Baseline;
use super::record::{Class, Split};
use crate::domain::{BrandId, Polarity};
use crate::photo::Sha256;

/// Why a dataset cannot be evaluated.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// A manifest is missing, or is not a table with the expected columns.
    #[error("{path}: {source}; the columns are described in docs/ACCURACY.md")]
    Manifest {
        /// Path of the manifest.
        path: PathBuf,
        /// Line and reason.
        source: csv::Error,
    },
    /// A row has an invalid or contradictory value.
    #[error("{path}: {reason}")]
    Row {
        /// Path of the manifest.
        path: PathBuf,
        /// What the row has, and what was expected.
        reason: String,
    },
}

/// Another system's best answers: rows of `query,reference,score`, with higher scores for more similar photos. With
/// several sources, the column `source` names the source that the paths belong to.
#[derive(Debug, Deserialize)]
struct BaselineRow {
    #[serde(default)]
    source: String,
    query: String,
    reference: String,
    score: f64,
}

/// Reads another system's answers to the queries of a source. Rows of other sources are ignored.
///
/// # Errors
/// When the file is missing or not such a table, or a row names an unknown query or reference.
pub fn baseline(name: &str, path: &Path, source: &Source) -> Result<Baseline, DatasetError> {
    let dataset = &source.dataset;
    let wrong = |reason: String| DatasetError::Row { path: path.to_owned(), reason };
    let queries: BTreeSet<&str> = dataset.queries.iter().map(|query| query.path.as_str()).collect();
    let references: BTreeSet<&str> = dataset.references.iter().map(|reference| reference.path.as_str()).collect();
    let mut answers = BTreeMap::new();
    for BaselineRow { source: of, query, reference, score } in rows::<BaselineRow>(path)? {
        if !of.is_empty() && of != source.name {
            continue;
        }
        if !queries.contains(query.as_str()) || !references.contains(reference.as_str()) {
            return Err(wrong(format!("{query:?} and {reference:?}: expected a query and a reference of the dataset")));
        }
        if !score.is_finite() {
            return Err(wrong(format!("{query}: score is {score}, expected a finite number")));
        }
        if answers.insert(query.clone(), (reference, score)).is_some() {
            return Err(wrong(format!("{query}: two rows have this query, expected one")));
        }
    }
    if name.is_empty() || answers.is_empty() {
        return Err(wrong("expected a name, and columns query, reference and score with at least one row".to_owned()));
    }
    Ok(Baseline { name: name.to_owned(), answers, truths: dataset.truths() })
}

/// What the split keeps on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SplitBy {
    /// Near-duplicate groups.
    Group,
    /// Products, and near-duplicate groups of photos without a product.
    Product,
}

/// A reference of the dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceRow {
    /// Path relative to the dataset's folder.
    pub path: String,
    /// The brand that owns it.
    pub brand: BrandId,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's product id; may be empty.
    pub product: String,
}

/// A photo to check.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRow {
    /// Path as its manifest names it.
    pub path: String,
    /// Path of the file on disk.
    pub file: PathBuf,
    /// Class of the query.
    pub class: Class,
    /// Path of the reference that it is a copy of, if it is one.
    pub copy_of: Option<String>,
    /// Products that it shows; a prefix stands for all products below it.
    pub products: Vec<String>,
    /// First part of the category, such as `sneakers`; may be empty.
    pub category: String,
    /// The kind of query, such as `variant-recolour`. Verdicts are counted by kind.
    pub kind: String,
    /// The edit that made it, such as `collage`; `None` for an unedited photo.
    pub transform: Option<String>,
    /// Strength of the edit: `light`, `medium` or `heavy`.
    pub strength: Option<String>,
    /// Group that the split keeps on one side.
    pub group: String,
}

/// References and queries with their ground truth.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// Folder that the references' paths are relative to.
    pub root: PathBuf,
    /// All references.
    pub references: Vec<ReferenceRow>,
    /// All queries.
    pub queries: Vec<QueryRow>,
}

/// One row of `manifest.csv`; other columns are ignored.
#[derive(Debug, Deserialize)]
struct ManifestRow {
    path: String,
    role: String,
    brand: String,
    #[serde(default)]
    category: String,
    product_id: String,
    label: String,
    group: String,
    #[serde(default)]
    gt_products: String,
    #[serde(default)]
    gt_image: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    notes: String,
}

/// One row of `edits.csv`, as `make_edits.py` writes it.
#[derive(Debug, Deserialize)]
struct EditRow {
    query: String,
    original: String,
    transform: String,
    strength: String,
    true_source: String,
}

impl Dataset {
    /// Reads `<root>/manifest.csv`, and the `edits.csv` of each folder of edits.
    ///
    /// # Errors
    /// When a file is missing, lacks a column, or names an unknown reference.
    pub fn read(root: &Path, edits: &[PathBuf], split: SplitBy) -> Result<Self, DatasetError> {
        let path = root.join("manifest.csv");
        let manifest: Vec<ManifestRow> = rows(&path)?;
        let mut dataset = Self { root: root.to_owned(), ..Self::default() };
        let groups: BTreeMap<String, String> =
            manifest.iter().map(|row| (row.path.clone(), row.kept_by(split))).collect();
        for row in manifest {
            dataset.take(row, &path, split)?;
        }
        for folder in edits {
            let path = folder.join("edits.csv");
            for row in rows::<EditRow>(&path)? {
                dataset.take_edit(row, folder, &path, &groups)?;
            }
        }
        dataset.check(&path)?;
        Ok(dataset)
    }

    fn take(&mut self, row: ManifestRow, path: &Path, split: SplitBy) -> Result<(), DatasetError> {
        let wrong = |reason: String| DatasetError::Row { path: path.to_owned(), reason };
        if !is_inside(&row.path) {
            return Err(wrong(format!("path is {:?}, expected one below the dataset's folder", row.path)));
        }
        let group = row.kept_by(split);
        match row.role.as_str() {
            "reference" | "fakes" => {
                let polarity =
                    if row.role == "fakes" || row.label == "fake" { Polarity::Fake } else { Polarity::Authentic };
                let brand = slug(&row.brand).parse().map_err(|e| wrong(format!("{}: {e}", row.path)))?;
                self.references.push(ReferenceRow { path: row.path, brand, polarity, product: row.product_id });
            }
            "queries" | "distractors" => {
                let copy_of = Some(row.gt_image.clone()).filter(|image| !image.is_empty());
                let class = match (&copy_of, row.role.as_str()) {
                    (Some(_), _) => Class::Copy,
                    (None, "queries") => Class::SameKind,
                    _ => Class::Unrelated,
                };
                let kind = row.kind_of(class);
                let named = if row.gt_products.is_empty() { row.product_id } else { row.gt_products };
                let products = named.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
                let products = if class == Class::Unrelated { Vec::new() } else { products.collect() };
                let file = self.root.join(&row.path);
                self.queries.push(QueryRow {
                    path: row.path,
                    file,
                    class,
                    copy_of,
                    products,
                    category: first_part(&row.category),
                    kind,
                    transform: None,
                    strength: None,
                    group,
                });
            }
            other => {
                return Err(wrong(format!(
                    "{}: role is {other:?}, expected reference, fakes, queries or distractors",
                    row.path
                )));
            }
        }
        Ok(())
    }

    fn take_edit(
        &mut self,
        row: EditRow,
        folder: &Path,
        path: &Path,
        groups: &BTreeMap<String, String>,
    ) -> Result<(), DatasetError> {
        let wrong = |reason: String| DatasetError::Row { path: path.to_owned(), reason };
        if !is_inside(&row.query) {
            return Err(wrong(format!("query is {:?}, expected a path below the folder", row.query)));
        }
        let copy_of = Some(row.original).filter(|original| !original.is_empty());
        let original = copy_of.as_ref().map(|name| self.references.iter().find(|reference| reference.path == *name));
        if let Some(None) = original {
            return Err(wrong(format!(
                "{}: original {:?} is not a reference of the manifest",
                row.query,
                copy_of.unwrap_or_default()
            )));
        }
        let products = original.flatten().map(|reference| reference.product.clone()).into_iter().collect();
        // The source of an unrelated photo may be named relative to a folder of the dataset.
        let below = format!("/{}", row.true_source);
        let mut sources = groups.iter().filter(|(path, _)| **path == row.true_source || path.ends_with(&below));
        let source = sources.next();
        if sources.any(|(_, group)| source.is_some_and(|(_, first)| first != group)) {
            return Err(wrong(format!("{}: true_source {:?} fits several photos", row.query, row.true_source)));
        }
        let is_copy = copy_of.is_some();
        self.queries.push(QueryRow {
            file: folder.join(&row.query),
            path: row.query,
            class: if is_copy { Class::Copy } else { Class::Unrelated },
            copy_of,
            products,
            category: String::new(),
            kind: if is_copy { "edit" } else { "edit-of-unrelated" }.to_owned(),
            transform: Some(row.transform),
            strength: Some(row.strength),
            group: source.map_or(row.true_source.clone(), |(_, group)| group.clone()),
        });
        Ok(())
    }

    /// Path of each copy, with the path of its reference.
    #[must_use]
    pub fn truths(&self) -> BTreeMap<String, String> {
        let copies = self.queries.iter().filter_map(|query| Some((query.path.clone(), query.copy_of.clone()?)));
        copies.collect()
    }

    /// Paths of the queries that show a product of the gallery.
    #[must_use]
    pub fn nameable(&self) -> BTreeSet<&str> {
        let products: BTreeSet<&str> = self.references.iter().map(|reference| reference.product.as_str()).collect();
        let shown = self.queries.iter().filter(|query| products.iter().any(|product| query.shows(product)));
        shown.map(|query| query.path.as_str()).collect()
    }

    /// Path on disk of a reference or a query.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        let query = self.queries.iter().find(|query| query.path == path);
        query.map_or_else(|| self.root.join(path), |query| query.file.clone())
    }

    /// Checks that the references that queries name are in the gallery.
    fn check(&self, path: &Path) -> Result<(), DatasetError> {
        let wrong = |reason: String| Err(DatasetError::Row { path: path.to_owned(), reason });
        if self.references.is_empty() || self.queries.is_empty() {
            return wrong("it has no reference or no query, expected at least one of each".to_owned());
        }
        let mut paths = BTreeSet::new();
        if let Some(twice) = self.queries.iter().find(|query| !paths.insert(query.path.as_str())) {
            return wrong(format!("{}: two queries have this path, expected one", twice.path));
        }
        let known: BTreeSet<&str> = self.references.iter().map(|reference| reference.path.as_str()).collect();
        let lost = self.queries.iter().find(|query| query.copy_of.as_deref().is_some_and(|name| !known.contains(name)));
        match lost {
            Some(query) => wrong(format!(
                "{}: gt_image {:?} is not a reference of the manifest",
                query.path,
                query.copy_of.as_deref().unwrap_or_default()
            )),
            None => Ok(()),
        }
    }
}

impl ManifestRow {
    fn kept_by(&self, split: SplitBy) -> String {
        let of = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        let product = match split {
            SplitBy::Group => None,
            SplitBy::Product => of(&self.product_id),
        };
        product.or_else(|| of(&self.group)).unwrap_or_else(|| self.path.clone())
    }

    /// The column `kind`; if it is empty, the beginning of the notes; if these are empty too, the class. Photos that
    /// are not copies and that the notes call computer-generated have their own kind.
    fn kind_of(&self, class: Class) -> String {
        if !self.kind.is_empty() {
            return self.kind.clone();
        }
        let beginning = self.notes.split([':', ';', '(', ',']).next().unwrap_or_default().trim();
        match class {
            Class::SameKind if beginning.ends_with("computer-generated") => "rendered".to_owned(),
            Class::SameKind if beginning.is_empty() => format!("same-kind {}", first_part(&self.category)),
            Class::SameKind => beginning.replace(' ', "-"),
            Class::Copy => "near-copy".to_owned(),
            Class::Unrelated => "unrelated".to_owned(),
        }
    }
}

/// A named dataset. Shops and cameras differ, so each source has its own figures.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name in figures.
    pub name: String,
    /// References and queries.
    pub dataset: Dataset,
}

impl QueryRow {
    /// Side of the split, from the checksum of the group, so that a group is never on both sides.
    #[must_use]
    pub fn split(&self) -> Split {
        if Sha256::of(self.group.as_bytes()).0[0].is_multiple_of(2) { Split::Fit } else { Split::Test }
    }

    /// Whether `product` is among the products that the query shows.
    #[must_use]
    pub fn shows(&self, product: &str) -> bool {
        self.products.iter().any(|name| {
            product.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// A brand's name as an id: "Amazon (ABO)" becomes `amazon--abo-`.
fn slug(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_');
    name.to_lowercase().chars().map(|letter| if fits(letter) { letter } else { '-' }).collect()
}

/// The first part of a category, by which figures are grouped.
fn first_part(category: &str) -> String {
    category.split('/').next().unwrap_or_default().to_owned()
}

fn is_inside(path: &str) -> bool {
    let path = Path::new(path);
    path.components().all(|part| matches!(part, std::path::Component::Normal(_))) && path.components().next().is_some()
}

/// The paths that a folder's `manifest.csv` names.
pub(super) fn paths(folder: &Path) -> Result<Vec<String>, DatasetError> {
    #[derive(Deserialize)]
    struct PathRow {
        path: String,
    }
    let path = folder.join("manifest.csv");
    let named: Vec<PathRow> = rows(&path)?;
    if let Some(outside) = named.iter().find(|row| !is_inside(&row.path)) {
        let reason = format!("path is {:?}, expected one below the folder", outside.path);
        return Err(DatasetError::Row { path, reason });
    }
    Ok(named.into_iter().map(|row| row.path).collect())
}

fn rows<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<T>, DatasetError> {
    let failed = |source| DatasetError::Manifest { path: path.to_owned(), source };
    csv::Reader::from_path(path).map_err(failed)?.deserialize().collect::<Result<_, _>>().map_err(failed)
}
