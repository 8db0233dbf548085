//! touchstone tells a marketplace, before a listing goes live, whether its photos match what a brand
//! has shown to be authentic or fake.
//!
//! # The way of a photo
//! ```text
//! bytes -> photo -> embed (preprocess -> onnx) -> index.search -> join gallery -> verdict -> http / cli
//!            |                                       |    ^
//!            +-- in doubt: points, panels -> align --+----+ scoring: probability
//!          \______________________ screening: the one use case ______________________/
//! sources -> read -> decode -> embed -> gallery (staged) -> reindex: build -> prove -> publish -> swap
//! ```
//!
//! # Rooms
//! Imports run downwards only: `cli` and `http` call [`screening`], [`enrolment`], [`reindex`] and [`backfill`];
//! [`assembly`] opens their parts; these call [`library`], which keeps [`gallery`] and [`index`] in step, and [`verdict`], which is pure and
//! reads the gallery's words; [`scoring`] turns what was seen into probabilities; [`align`], [`embed`] and
//! [`photo`] lie at the bottom. [`decoder`] decodes photos in other processes, [`keys`] tells callers apart, [`backup`] puts everything into
//! one file and back. [`hygiene`] says what a reference must not be, [`page`] is the shell of reports,
//! [`evaluate`] measures it all.
//!
//! # Words
//! * **photo**: bytes that a seller or brand sent, decoded under limits, upright, in sRGB
//! * **embedding**: a finite, unit-norm vector of the model's dimension
//! * **reference**: a brand's image with a polarity, `authentic` or `fake`
//! * **gallery**: all references; the source of truth, in the database
//! * **index**: answers nearest-neighbour queries; always rebuildable from the gallery
//! * **publication**: a change of what is served as a whole, and undone as a whole: a reindex, another model
//! * **generation**: one built, proven, immutable index; `CURRENT` names the one that serves
//! * **neighbor**: a key and a distance; a **match** is a neighbor joined with its reference
//! * **distance** = 1 - cosine; **similarity** = cosine
//! * **verdict**: what was found; **action** (`allow`, `review`, `block`): the policy's answer to it
//! * **alignment**: a reference laid over a photo by one transform; an **overlay** in answers
//! * **score**: calibrated probability of a copy, for all brands alike; **probability**: with the brand's outcomes
//! * **outcome**: what people found out about a check's match; a **certificate**: what a brand's outcomes prove
//! * **check**: one listing's photos screened once; stored, addressable, replayable

pub use vision::{align, embed, index, photo};

pub mod assembly;
pub mod backfill;
pub mod backup;
pub mod cli;
pub mod config;
pub mod console;
pub mod decoder;
pub mod doctor;
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
pub mod moderation;
pub mod page;
pub mod provision;
pub mod reindex;
pub mod scoring;
pub mod screening;
pub mod telemetry;
pub mod verdict;
