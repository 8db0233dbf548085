//! One SQL text for both engines. Statements are written as SQLite reads them, with parameters `?1` or `:name`, and use only what
//! PostgreSQL has as well: `ON CONFLICT`, `RETURNING`, `IS NOT DISTINCT FROM`, `CASE`, `NULLS LAST`, `CAST`. Sums are cast to
//! `BIGINT`, conditions are conditions and never numbers, and every column of a grouped query is grouped or aggregated.
//! PostgreSQL has functions of SQLite's names for the rest (`gallery/migrations/postgres/16.sql`).

use std::fmt::Write;

/// A statement as PostgreSQL reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    pub(super) sql: String,
    /// The names of the parameters `$1`, `$2`...; empty if the statement numbers them.
    pub(super) names: Vec<String>,
}

/// Gives parameters their PostgreSQL form. Quoted texts stay as they are.
pub(super) fn translated(sql: &str) -> Translated {
    let mut out = Translated { sql: String::with_capacity(sql.len() + 16), names: Vec::new() };
    let mut rest = sql.char_indices().peekable();
    let mut quote = None;
    while let Some((at, letter)) = rest.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '-') if rest.peek().is_some_and(|(_, next)| *next == '-') => {
                // A comment, to the end of its line.
                while rest.next_if(|(_, next)| *next != '\n').is_some() {}
                continue;
            }
            (None, '?') => {
                out.sql.push('$');
                continue;
            }
            (None, ':') if rest.peek().is_some_and(|(_, next)| next.is_ascii_alphabetic()) => {
                let name: String =
                    sql[at + 1..].chars().take_while(|next| next.is_ascii_alphanumeric() || *next == '_').collect();
                for _ in 0..name.len() {
                    rest.next();
                }
                let known = out.names.iter().position(|known| *known == name);
                let place = known.unwrap_or_else(|| {
                    out.names.push(name);
                    out.names.len() - 1
                });
                let _ = write!(out.sql, "${}", place + 1);
                continue;
            }
            _ => {}
        }
        out.sql.push(letter);
    }
    out
}
