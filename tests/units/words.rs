//! A match to an authentic photo proves that a photo is reused, never anything about the goods: no text may use the
//! word that claims it.

use clap::CommandFactory;
use serde_json::Value;
use touchstone::cli::Cli;
use touchstone::domain::Action;
use touchstone::http::openapi_json;
use touchstone::verdict::{Reason, Verdict};

use crate::support::{TestApp, root};

const WORD: &str = "genuine";

fn says_it(text: &str) -> bool {
    text.to_lowercase().contains(WORD)
}

/// Every value of an enum, as the OpenAPI document lists them.
fn values<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let schema = &document["components"]["schemas"][name];
    let plain = schema["enum"].as_array().cloned();
    let described = || {
        let each = schema["oneOf"].as_array().unwrap_or_else(|| panic!("{name}: {schema}"));
        each.iter().flat_map(|one| one["enum"].as_array().unwrap().clone()).collect()
    };
    let values: Vec<Value> = plain.unwrap_or_else(described);
    values.into_iter().map(|value| serde_json::from_value(value).unwrap()).collect()
}

#[test]
fn no_verdict_reason_action_help_or_document_says_it() {
    let (verdicts, reasons, actions) =
        (values::<Verdict>("Verdict"), values::<Reason>("Reason"), values::<Action>("Action"));
    assert_eq!((verdicts.len(), actions.len()), (11, 3));
    assert!(reasons.len() >= 23, "{}", reasons.len());
    assert!(verdicts.iter().all(|verdict| !says_it(verdict.as_str())));
    assert!(actions.iter().all(|action| !says_it(action.as_str())));
    for reason in reasons {
        assert!(!says_it(reason.text()) && !reason.text().is_empty(), "{reason:?}");
    }
    assert!(!says_it(&openapi_json()));
    let mut command = Cli::command();
    command.build();
    assert!(!says_it(&command.render_long_help().to_string()));
    for sub in command.get_subcommands_mut() {
        assert!(!says_it(&sub.render_long_help().to_string()), "{}", sub.get_name());
    }
}

#[test]
fn no_page_says_it() {
    let app = TestApp::start();
    for path in ["/docs/", "/openapi.json", "/v1/index", "/metrics", "/readyz"] {
        assert!(!says_it(&app.get(path).text().unwrap()), "{path}");
    }
    let figures = touchstone::evaluate::figures(&[], &[], &|_| false);
    let page = touchstone::evaluate::report::render("t", &[], &figures, &figures, &figures, &[], &|_| None);
    assert!(!says_it(&page));
}

/// A program prints its string literals: no line of code outside comments has the word.
#[test]
fn no_line_of_code_says_it() {
    for entry in walkdir::WalkDir::new(root().join("src")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "rs" || extension == "css") {
            let text = std::fs::read_to_string(&path).unwrap();
            let said = text.lines().find(|line| says_it(line) && !line.trim_start().starts_with("//"));
            assert_eq!(said, None, "{}", path.display());
        }
    }
}
