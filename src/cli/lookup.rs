use super::args::LookupArgs;
use super::output::{document, say};
use super::{Exit, Failure};
use crate::assembly::Parts;
use crate::config::Config;
use crate::library::Filter;
use crate::screening::Lookup;

pub(super) fn lookup(config: &Config, args: &LookupArgs) -> Result<Exit, Failure> {
    let upload = super::check::read(&args.photo, &config.photo)?;
    let parts = Parts::open(config)?;
    parts.catch_up()?;
    let screener = parts.screener;
    let embedded = screener.embed(&upload.bytes);
    let embeddings = embedded.map_err(|error| Failure::screen(error, std::slice::from_ref(&args.photo)))?;
    let matches = screener.lookup(&Lookup {
        embeddings: &embeddings,
        k: usize::from(args.k),
        filter: &Filter { brand: args.brand.clone(), polarity: args.polarity, product: args.product.clone() },
    })?;
    if args.json {
        document!("{}", serde_json::to_string_pretty(&matches)?);
        return Ok(Exit::Done);
    }
    for near in &matches {
        let product = near.product.as_deref().unwrap_or("-");
        say!("{:.3}  {}  {}  {product}  {}", near.similarity, near.polarity, near.brand, near.reference_id);
    }
    if matches.is_empty() {
        say!("no reference found");
    }
    Ok(Exit::Done)
}
