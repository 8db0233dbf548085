use super::args::DoctorArgs;
use super::output::{document, say};
use super::{Exit, Failure};
use crate::config::Config;
use crate::doctor::{Finding, State, examine, ready};

pub(super) fn doctor(config: &Config, args: &DoctorArgs) -> Result<Exit, Failure> {
    let findings = if args.ready { vec![ready(config)] } else { examine(config) };
    if args.json {
        document!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for Finding { what, state, detail } in &findings {
            say!("{:<6}{what:<11} {detail}", mark(*state));
        }
        say!("{}", summary(&findings));
    }
    let worst = findings.iter().map(|finding| finding.state).max();
    Ok(if worst == Some(State::Wrong) { Exit::Unwell } else { Exit::Done })
}

fn mark(state: State) -> &'static str {
    match state {
        State::Good => "ok",
        State::Doubtful => "doubt",
        State::Wrong => "WRONG",
    }
}

fn summary(findings: &[Finding]) -> String {
    let of = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    match (of(State::Wrong), of(State::Doubtful)) {
        (0, 0) => "everything is good".to_owned(),
        (0, doubtful) => format!("the service can run; {doubtful} doubtful"),
        (wrong, doubtful) => format!("{wrong} wrong, {doubtful} doubtful"),
    }
}
