//! Boxes of ISO base media files (ISO/IEC 14496-12, 4.2), such as HEIC and AVIF.

/// Iterates over the boxes of a file or of another box: kind and content.
pub(super) struct Boxes<'a> {
    rest: &'a [u8],
}

impl<'a> Boxes<'a> {
    pub(super) fn of(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    /// The content of the first box of a kind.
    pub(super) fn find(content: &'a [u8], kind: [u8; 4]) -> Option<&'a [u8]> {
        Self::of(content).find(|(found, _)| *found == kind).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (length, content) = match u32::from_be_bytes(*length) {
            // The last box extends to the end.
            0 => (rest.len(), rest),
            1 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*length).checked_sub(16)?).ok()?, rest)
            }
            length => (usize::try_from(length.checked_sub(8)?).ok()?, rest),
        };
        // A truncated box counts with the content that is there.
        let (content, rest) = content.split_at(length.min(content.len()));
        self.rest = rest;
        Some((*kind, content))
    }
}

/// Version, flags and content of a full box (4.2.2).
pub(super) fn full(content: &[u8]) -> Option<(u8, u32, &[u8])> {
    let ([version, flags @ ..], rest) = content.split_first_chunk::<4>()?;
    Some((*version, flags.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)), rest))
}

/// Takes a number of 2 bytes, or of 4 if `wide`, from the front.
pub(super) fn number(content: &mut &[u8], wide: bool) -> Option<u32> {
    let number;
    (number, *content) = if wide {
        let (bytes, rest) = content.split_first_chunk::<4>()?;
        (u32::from_be_bytes(*bytes), rest)
    } else {
        let (bytes, rest) = content.split_first_chunk::<2>()?;
        (u16::from_be_bytes(*bytes).into(), rest)
    };
    Some(number)
}
