#![expect(
    clippy::inline_always,
    reason = "what is not inlined into `Arch::dispatch` is compiled for no processor in particular"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "bits of a signature, steps of scale, and counts of a few thousand"
)]

use pulp::{Arch, NullaryFnOnce};

use super::{Posting, State};
use crate::align::{ANGLES, Payload, SCALES, VisualWord};

/// Most postings that a search reads, rarest words first: they tell most, and the cost does not grow with the index.
const BUDGET: usize = 400_000;
/// Most bits by which the signatures of one keypoint may differ.
const MOST_DIFFERING: u32 = 7;
/// The weight of a vote is `exp(-(differing / SPREAD)^2)`.
const SPREAD: f32 = 6.0;
/// A keypoint with this many matches counts half.
const COMMON: f32 = 64.0;
/// Steps of direction, either way, within which votes count together; the next constant is that for scale.
const ANGLE_WINDOW: u32 = 4;
const SCALE_WINDOW: u32 = 2;

/// A picture that shares keypoints with a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// The keys of the picture.
    pub keys: Vec<u64>,
    /// Weighted number of keypoints that agree in direction and scale; each counts at most 1.
    pub votes: f32,
    /// Whether the photo shows the mirror image.
    pub mirrored: bool,
}

/// A keypoint of the photo and a similar posting.
#[derive(Clone, Copy)]
struct Match {
    /// The picture's slot, and whether mirrored.
    group: u32,
    /// Index of the photo's keypoint.
    keypoint: u16,
    turn: u8,
    zoom: u8,
    weight: f32,
}

/// The postings of a list whose signatures are near a keypoint's.
struct Near<'a> {
    list: &'a [Posting],
    from: Payload,
    into: &'a mut Vec<(Posting, u8)>,
}

impl NullaryFnOnce for Near<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for &posting in self.list {
            let differing = posting.payload().differing(self.from);
            if differing <= MOST_DIFFERING {
                self.into.push((posting, differing as u8));
            }
        }
    }
}

impl State {
    pub(super) fn search(
        &self,
        probes: &[Vec<VisualWord>],
        least: f32,
        most: usize,
        admits: Option<&dyn Fn(u64) -> bool>,
    ) -> Vec<Vote> {
        let mut matches = self.matches(probes);
        let mut counts = vec![0_u8; 2 * self.slots.len()];
        for one in &matches {
            let count = &mut counts[one.group as usize];
            *count = count.saturating_add(1);
        }
        // No vote counts more than 1, and most pictures have only one.
        matches.retain(|one| f32::from(counts[one.group as usize]) >= least.min(255.0));
        matches.sort_unstable_by_key(|one| (one.group, one.keypoint));
        let mut votes: Vec<(u32, f32)> = Vec::new();
        let mut histogram = Histogram::default();
        for group in matches.chunk_by(|a, b| a.group == b.group) {
            let key = group[0].group;
            let sum = histogram.peak(group);
            if sum < least {
                continue;
            }
            match votes.last_mut() {
                // The same picture, straight and mirrored.
                Some((other, best)) if *other >> 1 == key >> 1 => {
                    if *best < sum {
                        (*other, *best) = (key, sum);
                    }
                }
                _ => votes.push((key, sum)),
            }
        }
        votes.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let served = votes.into_iter().filter_map(|(group, votes)| {
            let keys = self.slots[(group >> 1) as usize].as_slice();
            let keys: Vec<u64> = keys.iter().copied().filter(|&key| admits.is_none_or(|admits| admits(key))).collect();
            (!keys.is_empty()).then_some(Vote { keys, votes, mirrored: group & 1 == 1 })
        });
        served.take(most).collect()
    }

    fn matches(&self, probes: &[Vec<VisualWord>]) -> Vec<Match> {
        let arch = Arch::new();
        let (mut matches, mut near) = (Vec::new(), Vec::new());
        let mut common = vec![0.0_f32; probes.len()];
        for (keypoint, probe, list) in self.rarest(probes) {
            let from = probe.payload();
            near.clear();
            arch.dispatch(Near { list, from, into: &mut near });
            matches.extend(near.iter().map(|&(posting, differing)| matched(posting, differing, from, keypoint)));
            common[keypoint] += near.len() as f32;
        }
        // A keypoint common in many pictures, such as a watermark or a letter, tells little about one of them.
        for count in &mut common {
            *count = std::f32::consts::LN_2 / (1.0 + *count / COMMON).ln_1p();
        }
        for one in &mut matches {
            one.weight *= common[usize::from(one.keypoint)];
        }
        matches
    }

    /// The lists to read: keypoint, the word to look up, and the list. Shortest first, within the budget.
    fn rarest<'a>(&'a self, probes: &[Vec<VisualWord>]) -> Vec<(usize, VisualWord, &'a [Posting])> {
        let lists = probes.iter().enumerate().flat_map(|(keypoint, probes)| {
            probes.iter().filter_map(move |&probe| {
                let list = self.words.get(probe.word()).filter(|list| !list.is_empty())?;
                Some((keypoint, probe, list.as_slice()))
            })
        });
        let mut lists: Vec<_> = lists.collect();
        lists.sort_by_key(|(_, _, list)| list.len());
        let mut read = 0;
        let within = lists.iter().take_while(|(_, _, list)| {
            read += list.len();
            read <= BUDGET
        });
        let count = within.count();
        lists.truncate(count);
        lists
    }
}

fn matched(posting: Posting, differing: u8, from: Payload, keypoint: usize) -> Match {
    let to = posting.payload();
    let mirrored = from.is_mirrored() != to.is_mirrored();
    // In the mirror image of the photo, the direction a becomes half a turn minus a.
    let angle = if mirrored { ANGLES + ANGLES / 2 - from.angle() } else { from.angle() };
    let differing = f32::from(differing) / SPREAD;
    Match {
        group: posting.slot() << 1 | u32::from(mirrored),
        keypoint: keypoint as u16,
        turn: ((angle + ANGLES - to.angle()) % ANGLES) as u8,
        zoom: (from.scale() + SCALES - 1 - to.scale()) as u8,
        weight: (-differing * differing).exp(),
    }
}

const ZOOMS: usize = 2 * SCALES as usize - 1;

/// Votes by difference of direction and of scale.
struct Histogram {
    cells: Vec<f32>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { cells: vec![0.0; ANGLES as usize * ZOOMS] }
    }
}

impl Histogram {
    /// The greatest sum of votes within a window, with each keypoint of the photo counted once.
    fn peak(&mut self, group: &[Match]) -> f32 {
        let mut best = 0.0_f32;
        let mut touched: Vec<usize> = Vec::with_capacity(group.len() * 16);
        for keypoint in group.chunk_by(|a, b| a.keypoint == b.keypoint) {
            let Some(strongest) = keypoint.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)) else { continue };
            // Every window that contains it.
            for turn in 0..=ANGLE_WINDOW {
                let turn = (u32::from(strongest.turn) + ANGLES - turn) % ANGLES;
                for zoom in 0..=SCALE_WINDOW {
                    let Some(zoom) = u32::from(strongest.zoom).checked_sub(zoom) else { break };
                    let cell = turn as usize * ZOOMS + zoom as usize;
                    self.cells[cell] += strongest.weight;
                    best = best.max(self.cells[cell]);
                    touched.push(cell);
                }
            }
        }
        for cell in touched {
            self.cells[cell] = 0.0;
        }
        best
    }
}
