//! touchstone tells a marketplace, before a listing goes live, whether its photos match what a brand
//! has shown to be authentic or fake.
//!
//! # The way of a photo
//! ```text
//! bytes -> photo -> embed (preprocess -> onnx) -> index.search -> join gallery -> verdict -> http / cli
//!          \______________________ screening: the one use case ______________________/
//! folders -> gallery -+
//! photo -> embed -----+-> reindex: take in -> build -> prove -> publish -> swap
//! ```
//!
//! # Rooms
//! Imports run downwards only: `cli` and `http` call [`screening`], [`enrolment`] and [`reindex`];
//! these call [`library`], which keeps [`gallery`] and [`index`] in step, and [`verdict`], which is pure and
//! reads the gallery's words; [`embed`] and [`photo`] lie at the bottom.
//!
//! # Words
//! * **photo**: bytes that a seller or brand sent, decoded under limits, upright, in sRGB
//! * **embedding**: a finite, unit-norm vector of the model's dimension
//! * **reference**: a brand's image with a polarity, `authentic` or `fake`
//! * **gallery**: all references; the source of truth, in the database
//! * **index**: answers nearest-neighbour queries; always rebuildable from the gallery
//! * **generation**: one built, proven, immutable index; `CURRENT` names the one that serves
//! * **neighbor**: a key and a distance; a **match** is a neighbor joined with its reference
//! * **distance** = 1 - cosine; **similarity** = cosine
//! * **verdict**: what was found; **action** (`allow`, `review`, `block`): the policy's answer to it
//! * **check**: one listing's photos screened once; stored, addressable, replayable

pub mod align;
pub mod cli;
pub mod config;
pub mod embed;
pub mod enrolment;
pub mod evaluate;
pub mod gallery;
pub mod http;
pub mod index;
pub mod library;
pub mod photo;
pub mod reindex;
pub mod scoring;
pub mod screening;
pub mod telemetry;
pub mod verdict;
