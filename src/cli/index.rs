use super::args::{IndexArgs, IndexCommand};
use super::output::{document, say};
use super::{Exit, Failure};
use crate::align::Vocabulary;
use crate::assembly::{AssemblyError, Model, open_gallery, serving_model};
use crate::config::Config;
use crate::embed::ModelManifest;
use crate::gallery::{Gallery, Publication, Published};
use crate::index::{
    Generation, GenerationInfo, Held, KeypointIndex, KeypointProof, LEAST_RECALL, LiveIndex, Proof, SnapshotError,
    generations, names, prove, serving,
};
use crate::library::{folder, keypoint_file, origin, prove_keypoints};

pub(super) fn index(config: &Config, args: &IndexArgs) -> Result<Exit, Failure> {
    let gallery = open_gallery(config)?;
    let serving = serving_model(config, &gallery)?;
    let manifest = ModelManifest::load(&config.models, &serving)?;
    match &args.command {
        IndexCommand::List { json } => list(config, &gallery, &manifest, *json),
        IndexCommand::Verify { generation, json } => verify(config, &gallery, &manifest, generation.as_deref(), *json),
        IndexCommand::Rollback => rollback(config, &gallery, &manifest),
        IndexCommand::Promote { name, incomplete } => promote(config, &gallery, &serving, name, *incomplete),
    }
}

fn list(config: &Config, gallery: &Gallery, manifest: &ModelManifest, json: bool) -> Result<Exit, Failure> {
    let generations = generations(&folder(&config.index_dir, manifest))?;
    let publications = gallery.publications()?;
    if json {
        let both = serde_json::json!({
            "model": manifest.id(), "generations": generations, "publications": publications,
        });
        document!("{}", serde_json::to_string_pretty(&both)?);
        return Ok(Exit::Done);
    }
    say!("model {}", manifest.id());
    for generation in &generations {
        let GenerationInfo { name, references, vectors, bytes, revision, current, .. } = generation;
        let serves = if *current { "serves" } else { "      " };
        say!(
            "  {serves}  {name}  {references} references, {vectors} vectors, {} MB, revision {revision}",
            bytes / 1_000_000
        );
    }
    say!("publications");
    for publication in &publications {
        say!("  {}", described(publication));
    }
    Ok(Exit::Done)
}

fn described(publication: &Publication) -> String {
    let what = match &publication.what {
        Published::Reindex { brand, run } => format!("reindex of {brand} ({run})"),
        Published::Model { name } => format!("model {name}"),
    };
    let state = match (publication.undone_at, publication.forgotten) {
        (Some(when), _) => format!(", undone {when:.0}"),
        (None, true) => ", too old to be undone".to_owned(),
        (None, false) => String::new(),
    };
    format!("{}  {:.0}  {what}{state}", publication.number, publication.published_at)
}

fn verify(
    config: &Config,
    gallery: &Gallery,
    manifest: &ModelManifest,
    wanted: Option<&str>,
    json: bool,
) -> Result<Exit, Failure> {
    let root = folder(&config.index_dir, manifest);
    let names = wanted.map_or_else(|| names(&root), |wanted| Ok(vec![wanted.to_owned()]))?;
    let mut broken = 0;
    for name in &names {
        let opened = Generation::open_named(&root, name, &origin(gallery, manifest), &config.index);
        let proof = opened.map(|generation| proof(generation, manifest.thresholds.lookalike));
        let holds = proof.as_ref().is_ok_and(Proof::holds);
        broken += usize::from(!holds);
        match &proof {
            _ if json => {
                let error = proof.as_ref().err().map(ToString::to_string).unwrap_or_default();
                let proof = proof.as_ref().ok();
                let line = serde_json::json!({ "generation": name, "holds": holds, "error": error, "proof": proof });
                document!("{line}");
            }
            Ok(proof) => say!(
                "{name}: {}; {} of {} vectors found themselves, recall {:.4} of {} at the threshold, expected all and {LEAST_RECALL}",
                if holds { "valid" } else { "invalid" },
                proof.found_themselves,
                proof.rows,
                proof.recall(),
                proof.expected
            ),
            Err(error) => say!("{name}: invalid; {error}"),
        }
    }
    if broken > 0 {
        let damaged = format!("{broken} of {} generations are invalid, see above; {BUILT_ANEW}", names.len());
        return Err(Failure::Damaged(damaged));
    }
    if wanted.is_none() {
        let published = gallery.publications()?.iter().any(|one| matches!(one.what, Published::Reindex { .. }));
        match serving(&root) {
            Err(SnapshotError::None(_)) if names.is_empty() && !published => {
                say!("no index was published in {} yet", root.display());
            }
            Err(error) => return Err(Failure::Damaged(format!("no generation serves: {error}; {BUILT_ANEW}"))),
            Ok(name) if !json => say!("{name} serves"),
            Ok(_) => {}
        }
        if !verify_keypoints(config, gallery, json)? {
            return Err(Failure::Damaged(
                "the keypoint index is invalid, see above; no reference is lost: delete keypoints.bin in the index \
                 folder, and the next start of the service rebuilds it"
                    .to_owned(),
            ));
        }
    }
    Ok(Exit::Done)
}

/// Whether the keypoint index on disk can be read and finds its own references. It need not exist.
fn verify_keypoints(config: &Config, gallery: &Gallery, json: bool) -> Result<bool, Failure> {
    let vocabulary = Vocabulary::load(&config.models).map_err(AssemblyError::from)?;
    let (file, origin) = keypoint_file(&config.index_dir, gallery, &vocabulary);
    let opened = KeypointIndex::open(&file, &origin, vocabulary.len());
    if let Err(SnapshotError::None(_)) = opened {
        return Ok(true);
    }
    let proof = match &opened {
        Ok((index, _)) => Some(prove_keypoints(gallery, &vocabulary, index)?),
        Err(_) => None,
    };
    let holds = proof.is_some_and(KeypointProof::holds);
    let error = opened.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match proof {
        _ if json => {
            document!("{}", serde_json::json!({ "keypoints": name, "holds": holds, "error": error, "proof": proof }));
        }
        Some(proof) => say!(
            "{name}: {}; {} of {} references found themselves, expected all",
            if holds { "valid" } else { "invalid" },
            proof.found_themselves,
            proof.pictures
        ),
        None => say!("{name}: invalid; {error}"),
    }
    Ok(holds)
}

/// What to do about a damaged index.
const BUILT_ANEW: &str =
    "no reference is lost: delete the model's index folder, and the next start of the service rebuilds it";

/// Looks up every embedding of a generation.
fn proof(generation: Generation, threshold: f32) -> Proof {
    let generation = std::sync::Arc::new(generation);
    prove(&LiveIndex::new(std::sync::Arc::clone(&generation)), &generation, threshold, |_| false).0
}

fn rollback(config: &Config, gallery: &Gallery, manifest: &ModelManifest) -> Result<Exit, Failure> {
    let root = folder(&config.index_dir, manifest);
    // Locked first: a publication that is undone but not served would be undone again by the next try.
    let held = Held::hold(&root)?;
    let Some(undone) = gallery.undo_publication()? else {
        return Err(Failure::Declined("no publication can be undone; touchstone index list shows them".to_owned()));
    };
    say!("undone: {}", described(&undone));
    if let Published::Reindex { run, .. } = &undone.what {
        // A generation from before the publication needs fewer corrections; with any of them the answers are the same.
        let older = |generation: &&GenerationInfo| {
            generation.revision < undone.revision && generation.run.as_ref() != Some(run)
        };
        let published = gallery.publications()?;
        let served = |generation: &&GenerationInfo| {
            generation.run.as_ref().is_none_or(|run| {
                published
                    .iter()
                    .any(|one| matches!(&one.what, Published::Reindex { run: published, .. } if published == run))
            })
        };
        let generations = generations(&root)?;
        if let Some(back) = generations.iter().filter(older).rfind(served) {
            held.point_to(&back.name)?;
            say!("{} serves", back.name);
        }
    } else {
        say!("{} serves", serving_model(config, gallery)?);
    }
    Ok(Exit::Done)
}

fn promote(config: &Config, gallery: &Gallery, serving: &str, name: &str, incomplete: bool) -> Result<Exit, Failure> {
    let Model { embedder, .. } = Model::open(config, name, gallery)?;
    let manifest = embedder.manifest();
    if name == serving {
        return Err(Failure::Declined(format!("{name} is already serving")));
    }
    let missing = gallery.count_without_vector(&manifest.id())?;
    if missing > 0 && !incomplete {
        return Err(Failure::Declined(format!(
            "{missing} references were never embedded by {name}; run touchstone reindex --model {name} --shadow first. If that names photos that cannot be embedded, add --incomplete to promote without them"
        )));
    }
    Generation::open(&folder(&config.index_dir, manifest), &origin(gallery, manifest), &config.index)?;
    let promoted = gallery.promote(name)?;
    say!("{}", described(&promoted));
    say!("{name} serves; a running service switches by itself. touchstone index rollback switches back to {serving}");
    Ok(Exit::Done)
}
