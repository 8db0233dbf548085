//! touchstone tells a marketplace, before a listing goes live, whether its photos match what a brand
//! has shown to be authentic or fake.
//!
//! # The way of a photo
//! ```text
//! bytes -> photo -> embed (preprocess -> onnx) -> index.search -> join gallery -> verdict -> http / cli
//!            |                                       |    ^
//!            +- unclear: keypoints, views -> align --+----+ scoring: probability
//!          \______________________ screening: the one use case ______________________/
//! sources -> read -> decode -> embed -> gallery (staged) -> reindex: build -> prove -> publish -> swap
//! ```
//!
//! # Modules
//! Imports go downwards only. `cli` and `http` call [`screening`], [`enrolment`], [`reindex`] and [`backfill`], whose
//! parts [`assembly`] opens. These call [`library`], which keeps [`gallery`] and [`index`] in step, and [`verdict`],
//! which is pure. [`domain`] has the types that all of them share. [`scoring`] turns evidence into probabilities; [`align`], [`embed`] and
//! [`photo`] are at the bottom. [`decoder`] decodes photos in other processes, [`keys`] recognises callers, and
//! [`backup`] writes everything to one file and restores it. [`hygiene`] rejects unsuitable references, [`page`] is the
//! frame of reports, and [`evaluate`] measures it all. [`background`] works while the service runs: it delivers events,
//! which [`webhooks`] signs and sends.
//!
//! # Terms
//! * **photo**: bytes that a seller or brand sent, decoded under limits, upright, in sRGB
//! * **embedding**: a finite, unit-norm vector of the model's dimension
//! * **reference**: a brand's photo or logo with a polarity, `authentic` or `fake`
//! * **gallery**: all references; the source of truth, in the database
//! * **index**: answers nearest-neighbour queries; can always be rebuilt from the gallery
//! * **publication**: a change of the gallery or the model as a whole, which can be undone as a whole
//! * **generation**: one built, tested, immutable index; `CURRENT` names the serving one
//! * **neighbour**: a key and a distance; a **match** is a neighbour joined with its reference
//! * **distance** = 1 - cosine; **similarity** = cosine
//! * **verdict**: the result of a check; **action** (`allow`, `review`, `block`): the policy's response to it
//! * **alignment**: a reference laid over a photo by one transform; an **overlay** in answers
//! * **score**: calibrated probability of a copy, for all brands alike; **probability**: with the brand's outcomes
//! * **outcome**: what people found out about a check's match; a **certificate**: what a brand's outcomes prove
//! * **check**: one listing's photos, screened once; stored, addressable, replayable

pub use vision::{align, embed, index, photo};

pub mod alliance;
pub mod assembly;
pub mod backfill;
pub mod background;
pub mod backup;
pub mod cli;
pub mod config;
pub mod console;
pub mod decoder;
pub mod doctor;
pub mod domain;
pub mod enrolment;
pub mod evaluate;
pub mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gallery;
pub mod http;
pub mod hygiene;
pub mod keys;
pub mod library;
pub mod lookback;
pub mod memory;
pub mod moderation;
pub mod page;
pub mod provision;
pub mod reindex;
pub mod scoring;
pub mod screening;
pub mod signals;
pub mod storage;
pub mod telemetry;
pub mod verdict;
pub mod webhooks;
