//! Uncompresses strips and tiles.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hayro_ccitt::{DecodeSettings, DecoderContext, EncodingMode};
use image::RgbImage;
use tiff::tags::{CompressionMethod, PhotometricInterpretation};
use weezl::{BitOrder, LzwStatus};

use super::page::Page;
use crate::photo::jpeg::Jpeg;

/// Bit of tag 292: rows may be coded relative to the row above.
const T4_TWO_DIMENSIONS: u32 = 1;
/// An Adobe marker that says that the components are not YCbCr.
const ADOBE_RGB: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";

/// Uncompresses `packed` into rows of `row_bytes` each. Returns whether a part of them is damaged.
pub(super) fn unpack(page: &Page, packed: &[u8], rows: &mut [u8], row_bytes: usize) -> Result<bool, String> {
    let reversed: Vec<u8>;
    let packed = if page.reversed {
        reversed = packed.iter().map(|byte| byte.reverse_bits()).collect();
        &reversed
    } else {
        packed
    };
    let short = |_| "it ends before its last row".to_owned();
    match page.compression {
        CompressionMethod::None => (&mut &*packed).read_exact(rows).map_err(short)?,
        CompressionMethod::Deflate | CompressionMethod::OldDeflate => {
            ZlibDecoder::new(packed).read_exact(rows).map_err(short)?;
        }
        CompressionMethod::LZW => lzw(packed, rows)?,
        CompressionMethod::PackBits => pack_bits(packed, rows).ok_or("it ends before its last row")?,
        CompressionMethod::Huffman | CompressionMethod::Fax3 | CompressionMethod::Fax4 => {
            return ccitt(page, packed, rows, row_bytes);
        }
        other => return Err(format!("TIFF compression {} is not supported", other.to_u16())),
    }
    Ok(false)
}

fn lzw(mut packed: &[u8], mut rows: &mut [u8]) -> Result<(), String> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    while !rows.is_empty() {
        let step = decoder.decode_bytes(packed, rows);
        packed = &packed[step.consumed_in..];
        rows = &mut rows[step.consumed_out..];
        match step.status.map_err(|error| error.to_string())? {
            LzwStatus::Ok => {}
            LzwStatus::NoProgress | LzwStatus::Done if rows.is_empty() => {}
            LzwStatus::NoProgress | LzwStatus::Done => return Err("it ends before its last row".to_owned()),
        }
    }
    Ok(())
}

/// TIFF 6.0, section 9.
fn pack_bits(mut packed: &[u8], mut rows: &mut [u8]) -> Option<()> {
    while !rows.is_empty() {
        let (&header, rest) = packed.split_first()?;
        packed = rest;
        let header = header.cast_signed();
        // -128 does nothing.
        if header >= 0 {
            let (literal, rest) = packed.split_at_checked(usize::from(header.unsigned_abs()) + 1)?;
            packed = rest;
            let count = literal.len().min(rows.len());
            rows[..count].copy_from_slice(&literal[..count]);
            rows = &mut rows[count..];
        } else if header != i8::MIN {
            let (&repeated, rest) = packed.split_first()?;
            packed = rest;
            let count = (usize::from(header.unsigned_abs()) + 1).min(rows.len());
            rows[..count].fill(repeated);
            rows = &mut rows[count..];
        }
    }
    Some(())
}

/// CCITT group 3 and 4 (TIFF 6.0, sections 10 and 11). Damaged rows are decoded as well as possible.
fn ccitt(page: &Page, packed: &[u8], rows: &mut [u8], row_bytes: usize) -> Result<bool, String> {
    if page.bits != 1 || page.samples != 1 {
        return Err("CCITT compression needs pixels of one bit".to_owned());
    }
    let encoding = match page.compression {
        CompressionMethod::Fax4 => EncodingMode::Group4,
        CompressionMethod::Fax3 if page.t4_options & T4_TWO_DIMENSIONS != 0 => EncodingMode::Group3_2D,
        _ => EncodingMode::Group3_1D,
    };
    let bytewise = page.compression == CompressionMethod::Huffman;
    let strict = DecodeSettings {
        columns: page.chunks.width,
        rows: u32::try_from(rows.len() / row_bytes).map_err(|error| error.to_string())?,
        end_of_block: !bytewise,
        end_of_line: false,
        rows_are_byte_aligned: bytewise,
        encoding,
        strict: true,
    };
    let decode = |settings, rows: &mut [u8]| {
        rows.fill(0);
        let mut bits = Bits { rows: rows.chunks_exact_mut(row_bytes), columns: page.chunks.width };
        let decoded = hayro_ccitt::decode(packed, &mut bits, &mut DecoderContext::new(settings));
        decoded.is_ok() && bits.rows.len() == 0
    };
    let whole = decode(strict, rows) || {
        decode(DecodeSettings { strict: false, ..strict }, rows);
        false
    };
    Ok(!whole)
}

/// Rows of bits; set bits are black.
struct Bits<'a> {
    rows: std::slice::ChunksExactMut<'a, u8>,
    columns: u32,
}

impl hayro_ccitt::Decoder for Bits<'_> {
    fn push_row(&mut self, changes: &[u32]) {
        let Some(row) = self.rows.next() else { return };
        for run in changes.chunks(2) {
            let end = run.get(1).copied().unwrap_or(self.columns);
            for column in run[0]..end {
                row[column as usize / 8] |= 0x80 >> (column % 8);
            }
        }
    }
}

/// Decodes a JPEG whose tables may be in a tag, as grey or RGB, and tells whether a part of it is damaged.
pub(super) fn jpeg(page: &Page, packed: &[u8]) -> Result<(RgbImage, bool), String> {
    let start_of_image = [0xff, 0xd8];
    let tables = page.jpeg_tables.as_deref().unwrap_or_default();
    let tables = tables.strip_prefix(&start_of_image).unwrap_or(tables);
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    let colours = if page.photometric == PhotometricInterpretation::RGB { ADOBE_RGB } else { &[] };
    let rest = packed.strip_prefix(&start_of_image).ok_or("it has a strip or tile that is not a JPEG")?;
    let stream = [&start_of_image, colours, tables, rest].concat();
    let jpeg = Jpeg::open(&stream)?;
    if jpeg.width > page.chunks.width || jpeg.height > page.chunks.height {
        return Err("it has a strip or tile that is larger than its tags state".to_owned());
    }
    jpeg.pixels()
}
