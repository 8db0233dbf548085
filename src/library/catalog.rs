use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::domain::{BrandId, Kind, Mark, Polarity, StoredPolicy};
use crate::gallery::{ChangedRow, Identity};
use crate::photo::Sha256;
use crate::scoring::Standing;

/// The fields of a reference that searches filter and judge by, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The reference's brand.
    pub brand: Arc<BrandId>,
    /// Authentic or fake.
    pub polarity: Polarity,
    /// The brand's own product id.
    pub product: Option<Arc<str>>,
    /// The kind in effect.
    pub kind: Kind,
    /// Why it never leads to a block by itself; `None` if it may.
    pub mark: Option<Mark>,
}

/// Which references a search may return. Fields that are `None` accept every reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this brand.
    pub brand: Option<BrandId>,
    /// Only this polarity.
    pub polarity: Option<Polarity>,
    /// Only this product.
    pub product: Option<String>,
}

impl Filter {
    /// Whether it leaves any reference out.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.brand.is_some() || self.polarity.is_some() || self.product.is_some()
    }

    fn admits(&self, entry: &Entry) -> bool {
        self.brand.as_ref().is_none_or(|brand| *brand == *entry.brand)
            && self.polarity.is_none_or(|polarity| polarity == entry.polarity)
            && self.product.as_deref().is_none_or(|product| entry.product.as_deref() == Some(product))
    }
}

/// At most this many keys, or less than one in this many of all, are scanned one by one: finding a key's embedding
/// costs about this many times what skipping one does.
const FEW: usize = 4096;
const FEW_OF_ALL: usize = 16;

/// Active references by key and by brand, and the brands' policies and certificates.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    entries: HashMap<u64, Entry>,
    in_doubt: InDoubt,
    by_brand: HashMap<Arc<BrandId>, BTreeSet<u64>>,
    policies: HashMap<BrandId, Arc<StoredPolicy>>,
    standings: HashMap<BrandId, Arc<Standing>>,
}

impl Catalog {
    pub(super) fn apply(&mut self, row: &ChangedRow) {
        self.in_doubt.set(row.key, row.identity.clone().filter(|_| row.active));
        if !row.active {
            if let Some(entry) = self.entries.remove(&row.key)
                && let Some(keys) = self.by_brand.get_mut(&entry.brand)
            {
                keys.remove(&row.key);
            }
            return;
        }
        // References share one name per brand.
        let brand = match self.by_brand.get_key_value(&row.brand) {
            Some((brand, _)) => Arc::clone(brand),
            None => Arc::new(row.brand.clone()),
        };
        self.by_brand.entry(Arc::clone(&brand)).or_default().insert(row.key);
        let product = row.product.as_deref().map(Arc::from);
        let entry = Entry { brand, polarity: row.polarity, product, kind: row.kind, mark: row.mark };
        self.entries.insert(row.key, entry);
    }

    pub(super) fn set_policies(&mut self, policies: Vec<(BrandId, StoredPolicy)>) {
        self.policies.extend(policies.into_iter().map(|(brand, policy)| (brand, Arc::new(policy))));
    }

    pub(super) fn set_standings(&mut self, standings: Vec<(BrandId, Standing)>) {
        self.standings.extend(standings.into_iter().map(|(brand, standing)| (brand, Arc::new(standing))));
    }

    pub(super) fn standing(&self, brand: &BrandId) -> Arc<Standing> {
        self.standings.get(brand).cloned().unwrap_or_default()
    }

    pub(super) fn in_doubt(&self) -> &InDoubt {
        &self.in_doubt
    }

    pub(super) fn entry(&self, key: u64) -> Option<Entry> {
        self.entries.get(&key).cloned()
    }

    /// Whether the filter accepts the reference with this key.
    pub(super) fn admits(&self, filter: &Filter, key: u64) -> bool {
        self.entries.get(&key).is_some_and(|entry| filter.admits(entry))
    }

    /// The keys that the filter accepts, if it names a brand with a small share of all references.
    pub(super) fn few_keys(&self, filter: &Filter) -> Option<Vec<u64>> {
        let Some(keys) = self.by_brand.get(filter.brand.as_ref()?) else {
            return Some(Vec::new());
        };
        let few = keys.len() <= FEW || keys.len() < self.entries.len() / FEW_OF_ALL;
        few.then(|| keys.iter().copied().filter(|&key| self.admits(filter, key)).collect())
    }

    pub(super) fn policy(&self, brand: &BrandId) -> Arc<StoredPolicy> {
        self.policies.get(brand).cloned().unwrap_or_default()
    }

    pub(super) fn brand_ids(&self) -> Vec<BrandId> {
        let with_keys = self.by_brand.iter().filter(|(_, keys)| !keys.is_empty());
        let mut brands: Vec<BrandId> = with_keys.map(|(brand, _)| (**brand).clone()).collect();
        brands.sort();
        brands
    }

    pub(super) fn brands(&self) -> Vec<(BrandId, [usize; 2])> {
        let count = |keys: &BTreeSet<u64>, polarity| {
            keys.iter().filter(|&key| self.entries.get(key).is_some_and(|e| e.polarity == polarity)).count()
        };
        let with_keys = self.by_brand.iter().filter(|(_, keys)| !keys.is_empty());
        let mut brands: Vec<_> = with_keys
            .map(|(brand, keys)| ((**brand).clone(), [count(keys, Polarity::Authentic), count(keys, Polarity::Fake)]))
            .collect();
        brands.sort();
        brands
    }
}

/// References that are identified by their file or their pixels.
#[derive(Debug, Default)]
pub(super) struct InDoubt {
    identities: HashMap<u64, Identity>,
    by_file: HashMap<Sha256, BTreeSet<u64>>,
    by_size: HashMap<(u32, u32), BTreeSet<u64>>,
}

impl InDoubt {
    fn set(&mut self, key: u64, identity: Option<Identity>) {
        if let Some(old) = self.identities.remove(&key) {
            take_out(&mut self.by_file, &old.sha256, key);
            take_out(&mut self.by_size, &old.size, key);
        }
        if let Some(new) = identity {
            self.by_file.entry(new.sha256).or_default().insert(key);
            self.by_size.entry(new.size).or_default().insert(key);
            self.identities.insert(key, new);
        }
    }

    /// The number of references that nothing else identifies.
    pub(super) fn count(&self) -> usize {
        self.identities.values().filter(|identity| identity.only).count()
    }

    /// Whether any of them has this size in pixels.
    pub(super) fn has_size(&self, size: (u32, u32)) -> bool {
        self.by_size.contains_key(&size)
    }

    /// The keys of those with this file or these pixels.
    pub(super) fn same(&self, file: Sha256, size: (u32, u32), pixels: Option<Sha256>) -> BTreeSet<u64> {
        let of_file = self.by_file.get(&file).into_iter().flatten();
        let has_pixels = |key: &&u64| {
            let identity = self.identities.get(key);
            identity.is_some_and(|identity| identity.pixels.iter().any(|sum| Some(*sum) == pixels))
        };
        let of_pixels = self.by_size.get(&size).into_iter().flatten().filter(has_pixels);
        of_file.chain(of_pixels).copied().collect()
    }
}

/// Removes a key from a set, and the set if it is then empty.
fn take_out<K: Eq + std::hash::Hash>(sets: &mut HashMap<K, BTreeSet<u64>>, of: &K, key: u64) {
    if let Some(keys) = sets.get_mut(of) {
        keys.remove(&key);
        if keys.is_empty() {
            sets.remove(of);
        }
    }
}
