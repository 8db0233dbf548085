use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::json;

use super::args::CheckArgs;
use super::backfill::backfill;
use super::output::{document, say};
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::config::Config;
use crate::domain::Action;
use crate::photo::{Limits, PhotoError};
use crate::screening::{CheckAnswer, Listing, ReasonText, Upload};
use crate::verdict::{Reason, Verdict};

pub(super) fn check(config: &Config, args: &CheckArgs) -> Result<Exit, Failure> {
    if let Some(manifest) = &args.manifest {
        return backfill(config, args, manifest);
    }
    let (mut uploads, mut places, mut failed) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (place, path) in args.photos.iter().enumerate() {
        match read(path, &config.photo) {
            Ok(upload) => {
                uploads.push(upload);
                places.push(place);
            }
            Err(failure) => _ = failed.insert(place, failure),
        }
    }
    // Without a photo no model is needed.
    if !uploads.is_empty() {
        let parts = Parts::open(config)?;
        parts.catch_up()?;
        let listing = Listing { seller_id: args.seller.clone(), brand: args.brand.clone(), ..Listing::default() };
        let (mut answer, refused) = parts.screener.screen_each(&listing, &uploads)?;
        for photo in &mut answer.photos {
            photo.index = places[photo.index];
        }
        for (index, source) in refused {
            let place = places[index];
            failed.insert(place, Failure::Photo { path: args.photos[place].clone(), source });
        }
        // A listing with an unusable photo needs review.
        if !failed.is_empty() && answer.action == Action::Allow {
            (answer.verdict, answer.action) = (Verdict::Undecidable, Action::Review);
            answer.reasons = vec![ReasonText::from(Reason::PhotoBroken)];
        }
        if args.json {
            document!("{}", serde_json::to_string_pretty(&to_json(&answer, &failed)?)?);
        } else {
            print(&answer, &failed, args.photos.len());
        }
        if failed.is_empty() {
            return Ok(answer.action.into());
        }
    }
    let several = failed.len() > 1;
    let words: Vec<String> = failed.values().map(ToString::to_string).collect();
    let first = failed.into_values().next();
    Err(first.filter(|_| !several).unwrap_or(Failure::Photos(words)))
}

/// The answer, with a list of the files that could not be judged, if there are any.
fn to_json(answer: &CheckAnswer, failed: &BTreeMap<usize, Failure>) -> Result<serde_json::Value, serde_json::Error> {
    let mut told = serde_json::to_value(answer)?;
    if !failed.is_empty() {
        let files = failed.iter().map(|(index, failure)| json!({ "index": index, "detail": failure.to_string() }));
        told["not_judged"] = files.collect();
    }
    Ok(told)
}

/// Reads a photo. Only a regular file has an end: a pipe may block for ever, and a device never ends.
pub(super) fn read(path: &Path, limits: &Limits) -> Result<Upload, Failure> {
    let name = path.display().to_string();
    let failed = |source| Failure::File { path: name.clone(), source };
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        let kind = if about.is_dir() { "a folder" } else { "a pipe or a device" };
        return Err(failed(io::Error::other(format!("it is {kind}, expected the file of a photo"))));
    }
    // One byte more than the limit is enough to see that a file grows past it.
    let most = limits.max_bytes as u64;
    let too_large =
        |got| Failure::Photo { path: path.to_owned(), source: PhotoError::TooManyBytes { got, max: limits.max_bytes } };
    if about.len() > most {
        return Err(too_large(usize::try_from(about.len()).unwrap_or(usize::MAX)));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(Upload::sent(Some(name), bytes.into()))
}

fn print(answer: &CheckAnswer, failed: &BTreeMap<usize, Failure>, photos: usize) {
    let mut judged = answer.photos.iter().peekable();
    for place in 0..photos {
        let answered = judged.next_if(|photo| photo.index == place);
        if let Some(failure) = failed.get(&place) {
            say!("{failure}");
            continue;
        }
        let Some(photo) = answered else { continue };
        say!("{}: {} ({})", photo.name.as_deref().unwrap_or("photo"), photo.verdict.as_str(), photo.action.as_str());
        for reason in &photo.reasons {
            say!("    {}", reason.text);
        }
        if let Some(fault) = &photo.fault {
            say!("    {}", fault.detail);
        }
        for near in &photo.matches {
            let product = near.product.as_deref().unwrap_or("-");
            say!("    {:.3}  {}  {}  {product}  {}", near.similarity, near.polarity, near.brand, near.reference_id);
        }
    }
    if failed.is_empty() {
        say!("listing: {} ({})", answer.verdict.as_str(), answer.action.as_str());
    } else {
        say!("listing: not judged, because {} of {photos} photos cannot be used", failed.len());
    }
}
