//! JPEG, decoded by libjpeg-turbo, as in browsers, so that a damaged or unusual file looks the same here and there.

mod scans;

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use image::RgbImage;
use image::metadata::Orientation;
use mozjpeg::decompress::DecompressStarted;
use mozjpeg::{Decompress, Format, Marker};
use mozjpeg_sys::{c_int, jpeg_common_struct, jpeg_error_mgr, msg_parm_union};
use scans::Scans;

/// Prefix of EXIF in its APP1 segment.
pub(super) const EXIF: &[u8] = b"Exif\0\0";
/// Prefix of a part of a colour profile in its APP2 segment; the part's number and the number of parts follow
/// (ICC.1:2022, annex B.4).
const ICC: &[u8] = b"ICC_PROFILE\0";

thread_local! {
    /// Warnings of this thread's decoder since the last reset to 0.
    static WARNINGS: Cell<u32> = const { Cell::new(0) };
}

/// A JPEG whose header has been read.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    decoder: Decompress<Source<'a>>,
    /// Whether the decoder wanted more bytes than the file has.
    ran_out: Rc<Cell<bool>>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    pub(super) icc: Option<Vec<u8>>,
}

impl<'a> Jpeg<'a> {
    /// Reads the header.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let ran_out = Rc::new(Cell::new(false));
        let source = Source { rest: bytes, ran_out: Rc::clone(&ran_out) };
        let markers = [Marker::APP(1), Marker::APP(2)];
        let open = || Decompress::builder().with_err(counting()).with_markers(&markers).from_reader(source);
        let decoder = guarded(open).map_err(|error| in_words(bytes).unwrap_or(error))?;
        let size = |side: usize| u32::try_from(side).map_err(|_| "its size is out of range".to_owned());
        let (width, height) = (size(decoder.width())?, size(decoder.height())?);
        let (orientation, icc) = (orientation(&decoder), profile(&decoder));
        Ok(Self { bytes, decoder, ran_out, width, height, orientation, icc })
    }

    /// Decodes the pixels of the first image. Data after its end are ignored: phones append films and further images.
    ///
    /// A truncated file is an error. Damaged codes are not, if the decoder can resynchronise, and neither are missing
    /// scans; the second part of the result says whether there were any.
    pub(crate) fn pixels(self) -> Result<(RgbImage, bool), String> {
        let (width, height) = (self.width, self.height);
        let scans = Scans::of(self.bytes);
        // Warnings about the header, such as an unknown version, are not about the pixels.
        WARNINGS.set(0);
        let rows = |picture| rows(picture, &scans, &self.ran_out);
        let raw = guarded(|| {
            Ok(match self.decoder.image()? {
                Format::RGB(rgb) => rows(rgb)?,
                Format::Gray(grey) => rows(grey)?.into_iter().flat_map(|value| [value; 3]).collect(),
                // Inverted, as Adobe writes it and as browsers assume.
                Format::CMYK(cmyk) => rows(cmyk)?.as_chunks().0.iter().copied().flat_map(from_inverted).collect(),
            })
        });
        if self.ran_out.get() {
            return Err("it ends before its last row".to_owned());
        }
        let raw = raw.map_err(|error| in_words(self.bytes).unwrap_or(error))?;
        let rgb = RgbImage::from_raw(width, height, raw);
        let rgb = rgb.ok_or_else(|| "it has fewer rows than its header states".to_owned())?;
        Ok((rgb, WARNINGS.get() > 0 || !scans.complete))
    }
}

/// All rows. libjpeg warns about codes left over after the last row only when it reads on to the end marker.
fn rows(mut picture: DecompressStarted<Source<'_>>, scans: &Scans, ran_out: &Cell<bool>) -> io::Result<Vec<u8>> {
    let rows = picture.read_scanlines::<u8>()?;
    if scans.ended && !ran_out.get() {
        if guarded(|| picture.finish()).is_err() {
            WARNINGS.set(WARNINGS.get().saturating_add(1));
        }
        // All rows are there, whatever follows.
        ran_out.set(false);
    }
    Ok(rows)
}

fn from_inverted([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| u8::try_from((u16::from(ink) * u16::from(k) + 127) / 255).unwrap_or(u8::MAX))
}

/// The EXIF orientation; the first EXIF segment counts.
fn orientation(decoder: &Decompress<Source<'_>>) -> Orientation {
    let exif = decoder.markers().find_map(|marker| match marker.marker {
        Marker::APP(1) => marker.data.strip_prefix(EXIF),
        _ => None,
    });
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// The colour profile, its parts joined in the order of their numbers. `None` if a part is missing.
fn profile(decoder: &Decompress<Source<'_>>) -> Option<Vec<u8>> {
    let mut parts: Vec<(u8, u8, &[u8])> = decoder
        .markers()
        .filter(|marker| marker.marker == Marker::APP(2))
        .filter_map(|marker| match marker.data.strip_prefix(ICC)? {
            [number, count, part @ ..] => Some((*number, *count, part)),
            _ => None,
        })
        .collect();
    parts.sort_by_key(|(number, ..)| *number);
    let whole = !parts.is_empty()
        && (1_usize..)
            .zip(&parts)
            .all(|(at, (number, count, _))| usize::from(*number) == at && usize::from(*count) == parts.len());
    whole.then(|| parts.into_iter().flat_map(|(.., part)| part).copied().collect())
}

/// An error manager that counts warnings in [`WARNINGS`]. libjpeg also counts them, but only `unsafe` code can read that
/// count. For the same reason this error manager has no message for a fatal error: [`in_words`] gets it.
fn counting() -> jpeg_error_mgr {
    jpeg_error_mgr {
        error_exit: Some(unwind),
        emit_message: Some(count),
        output_message: Some(ignore),
        format_message: None,
        reset_error_mgr: Some(ignore),
        msg_code: 0,
        msg_parm: msg_parm_union::default(),
        trace_level: 0,
        num_warnings: 0,
        jpeg_message_table: std::ptr::null(),
        last_jpeg_message: 0,
        addon_message_table: std::ptr::null(),
        first_addon_message: 0,
        last_addon_message: 0,
    }
}

extern "C-unwind" fn unwind(_: &mut jpeg_common_struct) {
    // Calls no panic handler.
    std::panic::resume_unwind(Box::new("libjpeg failed".to_owned()));
}

/// Levels from 0 are traces, -1 is a warning.
extern "C-unwind" fn count(_: &mut jpeg_common_struct, level: c_int) {
    if level < 0 {
        WARNINGS.set(WARNINGS.get().saturating_add(1));
    }
}

extern "C-unwind" fn ignore(_: &mut jpeg_common_struct) {}

/// libjpeg's message about a file that it cannot decode.
fn in_words(bytes: &[u8]) -> Option<String> {
    guarded(|| Decompress::builder().from_reader(bytes)?.rgb()?.read_scanlines::<u8>()).err()
}

/// Runs `work`, and turns libjpeg's fatal errors, which arrive as unwinding with a message, into `Err`.
fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(message) => Err(message.downcast_ref::<String>().cloned().unwrap_or_else(|| "libjpeg failed".to_owned())),
    }
}

/// The bytes, and whether the decoder wanted more of them.
struct Source<'a> {
    rest: &'a [u8],
    ran_out: Rc<Cell<bool>>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() {
            self.ran_out.set(true);
        }
        Ok(self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest.consume(amount);
    }
}
