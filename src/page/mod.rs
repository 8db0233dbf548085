//! Stand-alone pages: no scripts, no external files, images inline.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};

use crate::decoder::Decoder;

/// Content-Security-Policy: nothing is fetched and no script runs, whatever a path or an image contains.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// The head of a page, with style and policy.
#[must_use]
pub fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            style { (PreEscaped(include_str!("style.css"))) }
        }
    }
}

/// A path with its invisible characters spelled out, because they can make two paths look alike.
#[must_use]
pub fn visible(path: &str) -> String {
    const HIDDEN: [RangeInclusive<char>; 6] = [
        '\u{ad}'..='\u{ad}',
        '\u{61c}'..='\u{61c}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
    ];
    let hidden = |c: char| c.is_control() || HIDDEN.iter().any(|range| range.contains(&c));
    path.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// A small JPEG of a photo as a `data:` URI; `None` if the bytes cannot be decoded.
#[must_use]
pub fn thumbnail(decoder: &Decoder, bytes: &[u8]) -> Option<String> {
    let small = decoder.decode(bytes).ok()?.as_seen().shrunk(160).to_jpeg(75).ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(small)))
}
