use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::domain::{BrandId, Polarity, Policy, StoredPolicy};
use crate::library::Library;
use crate::scoring::Standing;
use crate::verdict::Terms;

/// The policies and standings of the brands in one check, each as it was when first needed.
pub(super) struct Brands(BTreeMap<BrandId, (Arc<StoredPolicy>, Arc<Standing>)>);

impl Brands {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn meet(&mut self, brand: &BrandId, library: &Library) {
        if !self.0.contains_key(brand) {
            self.0.insert(brand.clone(), (library.policy(brand), library.standing(brand)));
        }
    }

    pub(super) fn terms(&self, brand: &BrandId) -> Terms<'_> {
        static DEFAULT: LazyLock<Policy> = LazyLock::new(Policy::default);
        self.0.get(brand).map_or(Terms { policy: &DEFAULT, certified: None }, |(stored, standing)| Terms {
            policy: &stored.policy,
            certified: standing.threshold(),
        })
    }

    pub(super) fn shift(&self, brand: &BrandId, polarity: Polarity) -> f64 {
        self.0.get(brand).map_or(0.0, |(_, standing)| standing.shift(polarity))
    }

    pub(super) fn versions(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(brand, (stored, _))| (brand.to_string(), stored.version)).collect()
    }
}
