use std::io::Read;

use super::args::{UserArgs, UserCommand};
use super::output::{say, tell};
use super::{Exit, Failure};
use crate::assembly::open_gallery;
use crate::config::Config;
use crate::keys::new_secret;
use crate::moderation::put_account;

/// The actor of command-line acts in the audit log.
pub(super) const ACTOR: &str = "command-line";

pub(super) fn user(config: &Config, args: &UserArgs) -> Result<Exit, Failure> {
    let gallery = open_gallery(config)?;
    match &args.command {
        UserCommand::Add { name, role, password_stdin } => {
            let password = if *password_stdin { Some(password_from_stdin()?) } else { None };
            let given = password.is_some();
            let password = password.unwrap_or_else(new_secret);
            put_account(&gallery, ACTOR, name, *role, &password)?;
            say!("{name} may sign in as {} at /console", role.as_str());
            if !given {
                tell!("the password, shown only once:");
                say!("{password}");
            }
        }
        UserCommand::Disable { name } => {
            if !gallery.disable_account(ACTOR, name)? {
                return Err(Failure::Declined(format!(
                    "no account has the name {name}; touchstone user list shows them"
                )));
            }
            say!("{name} is disabled and signed out");
        }
        UserCommand::List => {
            for account in gallery.accounts()? {
                let state = if account.disabled { "disabled" } else { account.role.as_str() };
                say!("{}  {state}  since {:.0}", account.name, account.created_at);
            }
        }
    }
    Ok(Exit::Done)
}

fn password_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(4096).read_to_string(&mut text);
    read.map_err(|source| Failure::File { path: "standard input".to_owned(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
