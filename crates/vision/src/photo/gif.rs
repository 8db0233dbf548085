//! GIF fields that the decoder does not expose ("Graphics Interchange Format", version 89a, sections 18 to 23).

/// Whether the first frame is within the canvas. If it is not, browsers enlarge the canvas, and the decoder cuts the
/// frame. A file that ends before its first frame is left to the decoder.
pub(super) fn first_frame_fits(gif: &[u8]) -> bool {
    first_frame(gif).is_none_or(|[canvas_width, canvas_height, left, top, width, height]| {
        left + width <= canvas_width && top + height <= canvas_height
    })
}

/// Width and height of the canvas; left, top, width and height of the first frame.
fn first_frame(gif: &[u8]) -> Option<[u32; 6]> {
    let number = |bytes: &[u8], at: usize| Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    let (width, height) = (number(gif, 6)?, number(gif, 8)?);
    let packed = *gif.get(10)?;
    let colours = if packed & 0x80 == 0 { 0 } else { 2 << (packed & 7) };
    let mut rest = gif.get(13 + colours * 3..)?;
    loop {
        match rest.first()? {
            0x2c => {
                let [left, top, wide, high] = [1, 3, 5, 7].map(|at| number(rest, at));
                return Some([width, height, left?, top?, wide?, high?]);
            }
            // An extension: its label, then blocks prefixed by their lengths.
            0x21 => {
                rest = rest.get(2..)?;
                while let Some(length) = rest.first().copied().filter(|length| *length > 0) {
                    rest = rest.get(usize::from(length) + 1..)?;
                }
                rest = rest.get(1..)?;
            }
            _ => return None,
        }
    }
}
