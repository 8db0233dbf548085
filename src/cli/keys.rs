use super::args::{KeyArgs, KeyCommand};
use super::output::{say, tell};
use super::users::ACTOR;
use super::{Exit, Failure};
use crate::assembly::open_gallery;
use crate::config::Config;
use crate::domain::{InvalidName, Scope};
use crate::gallery::ApiKey;
use crate::keys::{KeyError, Wanted, id_in, make};

pub(super) fn key(config: &Config, args: &KeyArgs) -> Result<Exit, Failure> {
    let gallery = open_gallery(config)?;
    match &args.command {
        KeyCommand::Add { scope, brand, label, days, rate } => {
            let scope = Scope::named(*scope, brand.clone()).map_err(|InvalidName(detail)| {
                Failure::Key(KeyError::Invalid(InvalidName(format!("{detail} (--brand)"))))
            })?;
            let wanted = Wanted { scope, label: label.clone(), days: *days, rate: *rate };
            let (key, text) = make(&gallery, ACTOR, wanted)?;
            tell!("{} has scope {}; the key, shown only once:", key.id, key.scope);
            say!("{text}");
        }
        KeyCommand::Revoke { id } => {
            // A caller with a found key passes its whole text; an error must not repeat that.
            let id = id_in(id);
            let Some(key) = gallery.revoke_key(ACTOR, &id)? else {
                return Err(Failure::Declined(format!("no key has the id {id}; touchstone key list shows them")));
            };
            say!("{} is revoked", key.id);
        }
        KeyCommand::List => {
            for key in gallery.keys()? {
                say!("{}", line(&key));
            }
        }
    }
    Ok(Exit::Done)
}

fn line(key: &ApiKey) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(at)) => format!("until {at:.0}"),
        (None, None) => "does not expire".to_owned(),
    };
    let rate = key.rate.map(|rate| format!("  {rate} per second")).unwrap_or_default();
    format!(
        "{}  {}  {state}{rate}  since {:.0} by {}  {}",
        key.id, key.scope, key.created_at, key.created_by, key.label
    )
}
