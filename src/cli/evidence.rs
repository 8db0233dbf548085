use super::args::{AuditArgs, AuditCommand, EvidenceArgs};
use super::output::{document, say};
use super::{Exit, Failure};
use crate::config::Config;
use crate::gallery::Gallery;
use crate::moderation::{EvidenceError, verify};

pub(super) fn verify_evidence(args: &EvidenceArgs) -> Result<Exit, Failure> {
    let path = args.bundle.display().to_string();
    let bytes = std::fs::read(&args.bundle).map_err(|source| Failure::File { path: path.clone(), source })?;
    let verified = verify(&bytes).map_err(|error| match error {
        EvidenceError::Altered(what) => Failure::Damaged(format!("{path} does not hold: {what}")),
        other => Failure::Damaged(format!("{path}: {other}")),
    })?;
    if args.json {
        document!("{}", serde_json::to_string_pretty(&verified)?);
        return Ok(Exit::Done);
    }
    say!(
        "{path} holds: case {}, {}, {} files, {} of {} photos, {} entries of the log; made by {} at {:.0}",
        verified.case,
        verified.decision.map_or("not decided", |decision| decision.as_str()),
        verified.files,
        verified.photos,
        verified.photos_of_check,
        verified.entries,
        verified.made_by,
        verified.made_at
    );
    say!("sum {}; compare it with the one in the log of the service that made it", verified.sum);
    Ok(Exit::Done)
}

pub(super) fn audit(config: &Config, args: &AuditArgs) -> Result<Exit, Failure> {
    let AuditCommand::Verify = args.command;
    let (mut count, mut prev, mut wrong) = (0, String::new(), None);
    Gallery::open(&config.data)?.visit_audit(|entry| {
        count += 1;
        let holds = entry.prev == prev && entry.sha256 == entry.expected_sha256() && entry.seq == count;
        if !holds && wrong.is_none() {
            wrong = Some(entry.seq);
        }
        prev = entry.sha256;
    })?;
    match wrong {
        Some(seq) => Err(Failure::Damaged(format!("the audit log was changed: entry {seq} does not hold"))),
        None => {
            say!("{count} entries hold; sum of the last {}", if prev.is_empty() { "none" } else { &prev });
            Ok(Exit::Done)
        }
    }
}
