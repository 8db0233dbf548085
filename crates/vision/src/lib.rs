//! What touchstone sees. Knows no brand, no database and no network.
//!
//! * [`photo`] decodes bytes as browsers show them: upright, in sRGB, under limits
//! * [`embed`] turns a photo into an embedding with an ONNX model
//! * [`align`] finds keypoints, lays one picture over another and quantises descriptors into visual words
//! * [`index`] finds the nearest embeddings and the pictures that share visual words
//!
//! Imports run upwards in this list only: [`index`] uses [`align`] and [`embed`], these use [`photo`].

pub mod align;
pub mod embed;
pub mod index;
pub mod photo;
