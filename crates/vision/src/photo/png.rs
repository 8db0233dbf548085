//! PNG chunks before the pixels that the decoder does not expose.

/// The data of the first chunk of a kind before the pixels.
pub(super) fn first_chunk(png: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    let mut chunks = Chunks { rest: png.get(8..)? };
    chunks.find(|(found, _)| *found == kind.as_slice()).map(|(_, data)| data)
}

struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, after) = self.rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_at_checked(4)?;
        if kind == b"IDAT" {
            return None;
        }
        let (data, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.rest = after.get(4..)?;
        Some((kind, data))
    }
}
