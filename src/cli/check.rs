use super::args::CheckArgs;
use super::output::{document, say};
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::config::Config;
use crate::screening::{CheckAnswer, Listing, Upload};

pub(super) fn check(config: &Config, args: &CheckArgs) -> Result<Exit, Failure> {
    let uploads = args.photos.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let parts = Parts::open(config)?;
    parts.catch_up()?;
    let listing = Listing { seller_id: args.seller.clone(), brand: args.brand.clone(), ..Listing::default() };
    let screened = parts.screener.screen(&listing, &uploads);
    let answer = screened.map_err(|error| Failure::screen(error, &args.photos))?;
    if args.json {
        document!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print(&answer);
    }
    Ok(answer.action.into())
}

pub(super) fn read(path: &std::path::Path) -> Result<Upload, Failure> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| Failure::File { path: name.clone(), source })?;
    Ok(Upload { name: Some(name), bytes: bytes.into() })
}

fn print(answer: &CheckAnswer) {
    for photo in &answer.photos {
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
    say!("listing: {} ({})", answer.verdict.as_str(), answer.action.as_str());
}
