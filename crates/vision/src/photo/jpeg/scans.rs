//! Checks that a JPEG has all scans that it needs (ITU-T T.81). libjpeg fills missing data without a warning.

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// Coefficients of a block.
const COEFFICIENTS: usize = 64;

/// The scans of a file's first image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scans {
    /// Whether the end marker follows the last scan. Some phones write their trailer in its place.
    pub(super) ended: bool,
    /// Whether the scans contain every coefficient of every component with all its bits.
    pub(super) complete: bool,
}

impl Scans {
    pub(super) fn of(jpeg: &[u8]) -> Self {
        let markers = Markers { rest: jpeg, in_scan: false };
        let mut frame: Option<Frame> = None;
        let mut ended = false;
        for (marker, segment) in markers {
            match marker {
                END_OF_IMAGE => {
                    ended = true;
                    break;
                }
                START_OF_SCAN => {
                    let Some(()) = frame.as_mut().and_then(|frame| frame.scan(segment)) else { break };
                }
                // Not Huffman tables (C4), reserved (C8), arithmetic conditioning (CC).
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && frame.is_none() => {
                    frame = Frame::of(marker, segment);
                }
                _ => {}
            }
        }
        Self { ended, complete: frame.is_some_and(|frame| frame.is_complete()) }
    }
}

/// A start of frame, and the coefficients of its components received so far.
struct Frame {
    progressive: bool,
    /// For each component, its id, and for each coefficient the number of low bits still missing.
    components: Vec<(u8, [Option<u8>; COEFFICIENTS])>,
}

impl Frame {
    fn of(marker: u8, segment: &[u8]) -> Option<Self> {
        let count = usize::from(*segment.get(5)?);
        let components =
            segment.get(6..)?.chunks_exact(3).take(count).map(|component| (component[0], [None; COEFFICIENTS]));
        Some(Self { progressive: matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce), components: components.collect() })
    }

    fn scan(&mut self, segment: &[u8]) -> Option<()> {
        let (&count, rest) = segment.split_first()?;
        let (components, rest) = rest.split_at_checked(usize::from(count) * 2)?;
        let &[first, last, bits] = rest.first_chunk()?;
        let (first, last, low) = if self.progressive {
            (usize::from(first), usize::from(last), bits & 15)
        } else {
            (0, COEFFICIENTS - 1, 0)
        };
        for id in components.iter().step_by(2) {
            let (_, sent) = self.components.iter_mut().find(|(component, _)| component == id)?;
            sent.get_mut(first..=last)?.fill(Some(low));
        }
        Some(())
    }

    fn is_complete(&self) -> bool {
        self.components.iter().all(|(_, sent)| sent.iter().all(|low| *low == Some(0)))
    }
}

/// Iterates over the marker segments, and skips the coded data after a scan's header.
struct Markers<'a> {
    rest: &'a [u8],
    in_scan: bool,
}

impl<'a> Iterator for Markers<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = if self.in_scan { self.rest.iter().position(|byte| *byte == 0xff)? } else { 0 };
            let after = self.rest.get(at..)?.strip_prefix(&[0xff])?;
            let (&marker, after) = after.split_first()?;
            match marker {
                // Fill bytes before a marker.
                0xff => self.rest = &self.rest[at + 1..],
                // A coded 0xff, or restart markers.
                0 | 0xd0..=0xd7 => self.rest = after,
                START_OF_IMAGE => {
                    self.rest = after;
                    return Some((marker, &[]));
                }
                END_OF_IMAGE => {
                    self.rest = &[];
                    return Some((marker, &[]));
                }
                _ => {
                    let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
                    let (segment, rest) = after.split_at_checked(length)?;
                    (self.rest, self.in_scan) = (rest, marker == START_OF_SCAN);
                    return Some((marker, segment.get(2..)?));
                }
            }
        }
    }
}
