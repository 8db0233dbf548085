use std::process::Command;

use tempfile::TempDir;

use super::{stderr, stdout, touchstone};
use crate::support::skipped;

#[test]
fn completions_know_every_command() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = touchstone(folder.path(), &["completions", shell]);
        let script = stdout(&output);
        for word in ["reindex", "doctor", "--manifest", "rollback"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = folder.path().join("touchstone.bash");
    std::fs::write(&script, stdout(&touchstone(folder.path(), &["completions", "bash"]))).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man");
    let output = touchstone(folder.path(), &["man", pages.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in ["touchstone", "touchstone-check", "touchstone-index-rollback", "touchstone-model-fetch"] {
        let text = std::fs::read_to_string(pages.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}: {text}");
    }
    let check = pages.join("touchstone-check.1");
    let Ok(rendered) = Command::new("man").args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]).arg(&check).output()
    else {
        return skipped("manual pages are not rendered: man is not installed");
    };
    assert!(rendered.stderr.is_empty(), "{}", stderr(&rendered));
    assert!(stdout(&rendered).contains("listings.csv"), "{}", stdout(&rendered));
}
