use super::args::{AuditArgs, AuditCommand, EvidenceArgs};
use super::output::{document, say};
use super::{Exit, Failure};
use crate::assembly::open_gallery;
use crate::config::Config;
use crate::moderation::{EvidenceError, verify};

pub(super) fn verify_evidence(args: &EvidenceArgs) -> Result<Exit, Failure> {
    let path = args.bundle.display().to_string();
    let bytes = std::fs::read(&args.bundle).map_err(|source| Failure::File { path: path.clone(), source })?;
    let verified = verify(&bytes).map_err(|error| match error {
        EvidenceError::Altered(what) => Failure::Damaged(format!("{path} is invalid: {what}")),
        other => Failure::Damaged(format!("{path}: {other}")),
    })?;
    if args.json {
        document!("{}", serde_json::to_string_pretty(&verified)?);
        return Ok(Exit::Done);
    }
    say!(
        "{path} is valid: case {}, {}, {} files, {} of {} photos, {} events of the audit log; made by {} at {:.0}",
        verified.case,
        verified.decision.map_or("not decided", |decision| decision.as_str()),
        verified.files,
        verified.photos,
        verified.photos_of_check,
        verified.entries,
        verified.made_by,
        verified.made_at
    );
    say!("SHA-256 {}; compare it with the one in the audit log of the service that made it", verified.sum);
    Ok(Exit::Done)
}

pub(super) fn audit(config: &Config, args: &AuditArgs) -> Result<Exit, Failure> {
    let AuditCommand::Verify = args.command;
    let proof = open_gallery(config)?.verify_audit()?;
    if let Some(seq) = proof.wrong {
        return Err(Failure::Damaged(format!("the audit log was changed: event {seq} is invalid")));
    }
    let erased = if proof.erased == 0 { String::new() } else { format!(", {} with erased details", proof.erased) };
    say!(
        "{} events are valid{erased}; SHA-256 of the last: {}",
        proof.entries,
        if proof.last.is_empty() { "none" } else { &proof.last }
    );
    Ok(Exit::Done)
}
