//! Detects artwork, such as logos: few colours, flat areas, no grain and no shading.

use image::{RgbImage, imageops};

use super::resize::{Filter, resized, within};

/// Longer side, in pixels, of the copy whose pixels are counted.
const SIDE: u32 = 256;
/// Pixels whose channels differ by at most this, of 255, have one colour: JPEG and scaling change colours that much.
const ONE_COLOUR: i32 = 12;
/// A pixel is flat if its neighbours differ by at most `FLAT`, and soft if they differ by at most the next constant.
const FLAT: i32 = 6;
const SOFT: i32 = 32;
/// Most soft pixels of 1,000 in artwork; nor may more be soft than sharp. Shading, grain and blur make more. (Of dev2's
/// 60 logos none has more than 58; of 1,608 reference photos 9 in 10 have more than 100.)
const MOST_SOFT: usize = 70;
/// Least number of 1,000 pixels of artwork that have one of the two commonest colours: its ground and its ink.
const TWO_COLOURS: usize = 880;
/// Pixels that differ from the ground by at least this belong to the content.
const STANDS_OUT: i32 = 40;
/// Number of colours searched for in the content, and the least share of a colour, of 1,000 pixels.
const COLOURS: usize = 4;
const LEAST_SHARE: usize = 20;
/// Least number of 1,000 pixels of artwork that have one of these colours.
const COLOURED: usize = 830;
/// Most pixels of 1,000 that have another colour and are not near an edge between two of these colours.
const MOST_SHADED: usize = 10;
/// Greatest distance to an edge that counts as near, in pixels.
const NEAR: i64 = 2;

/// Whether the photo is artwork. In doubt, it is a photograph.
#[must_use]
pub fn is_artwork(picture: &RgbImage) -> bool {
    let small = resized(picture, within(picture.dimensions(), SIDE), Filter::Box);
    let pixels = small.pixels().len();
    let (soft, sharp) = soft_and_sharp(&small);
    if soft * 1000 > MOST_SOFT * pixels || soft > sharp {
        return false;
    }
    if colours(&small, 2).iter().flatten().count() * 1000 < TWO_COLOURS * pixels {
        return false;
    }
    let Some(shown) = shown(picture, &small) else { return false };
    let shown = resized(&shown, within(shown.dimensions(), SIDE), Filter::Box);
    let (coloured, shaded) = coloured_and_shaded(&shown);
    let pixels = shown.pixels().len();
    coloured * 1000 >= COLOURED * pixels && shaded * 1000 <= MOST_SHADED * pixels
}

/// Numbers of pixels that differ from their neighbours a little, and much.
fn soft_and_sharp(picture: &RgbImage) -> (usize, usize) {
    let (width, height) = picture.dimensions();
    let range = |x: u32, y: u32| {
        let around = (0..9).map(|place| picture.get_pixel(x + place % 3 - 1, y + place / 3 - 1).0.map(i32::from));
        let start = ([i32::MAX; 3], [i32::MIN; 3]);
        let (least, most) = around.fold(start, |(least, most), pixel| {
            (std::array::from_fn(|at| least[at].min(pixel[at])), std::array::from_fn(|at| most[at].max(pixel[at])))
        });
        (0..3).map(|at| most[at] - least[at]).max().unwrap_or(0)
    };
    let inner = (1..height.saturating_sub(1)).flat_map(|y| (1..width.saturating_sub(1)).map(move |x| (x, y)));
    inner.fold((0, 0), |(soft, sharp), (x, y)| {
        let range = range(x, y);
        (soft + usize::from(range > FLAT && range <= SOFT), sharp + usize::from(range > SOFT))
    })
}

/// The part of the photo that stands out from its ground.
fn shown(picture: &RgbImage, small: &RgbImage) -> Option<RgbImage> {
    let (width, height) = small.dimensions();
    let mut border: Vec<[u8; 3]> = small
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height)
        .map(|(_, _, pixel)| pixel.0)
        .collect();
    let middle = border.len() / 2;
    let ground: [i32; 3] = std::array::from_fn(|channel| {
        border.sort_unstable_by_key(|pixel| pixel[channel]);
        border.get(middle).map_or(0, |pixel| i32::from(pixel[channel]))
    });
    let stands_out = |pixel: &image::Rgb<u8>| {
        pixel.0.iter().zip(ground).any(|(value, ground)| (i32::from(*value) - ground).abs() > STANDS_OUT)
    };
    let standing = small.enumerate_pixels().filter(|(_, _, pixel)| stands_out(pixel)).map(|(x, y, _)| (x, y));
    let (left, top, right, bottom) = standing.fold((u32::MAX, u32::MAX, 0, 0), |(left, top, right, bottom), (x, y)| {
        (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1))
    });
    if right <= left || bottom <= top {
        return None;
    }
    // Back to the pixels of the original, which is finer.
    let scaled = |at: u32, of: u32, to: u32, up: bool| {
        let product = u64::from(at) * u64::from(to);
        let of = u64::from(of);
        u32::try_from(if up { product.div_ceil(of) } else { product / of }).unwrap_or(to).min(to)
    };
    let (left, right) = (scaled(left, width, picture.width(), false), scaled(right, width, picture.width(), true));
    let (top, bottom) = (scaled(top, height, picture.height(), false), scaled(bottom, height, picture.height(), true));
    Some(imageops::crop_imm(picture, left, top, (right - left).max(1), (bottom - top).max(1)).to_image())
}

/// Numbers of pixels that have one of the few commonest colours; and of pixels that have another one, with no edge
/// between two of these colours near.
fn coloured_and_shaded(picture: &RgbImage) -> (usize, usize) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let colours = colours(picture, COLOURS);
    let at = |x: i64, y: i64| {
        let (x, y) = (x.clamp(0, width - 1), y.clamp(0, height - 1));
        usize::try_from(y * width + x).ok().and_then(|place| colours[place])
    };
    let is_edge = |x: i64, y: i64| {
        let around = (-NEAR..=NEAR).flat_map(|dy| (-NEAR..=NEAR).map(move |dx| (x + dx, y + dy)));
        let near = around.filter_map(|(x, y)| at(x, y)).fold(0_u32, |near, colour| near | 1 << colour);
        near.count_ones() >= 2
    };
    let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    all.fold((0, 0), |(coloured, shaded), (x, y)| match at(x, y) {
        Some(_) => (coloured + 1, shaded),
        None => (coloured, shaded + usize::from(!is_edge(x, y))),
    })
}

/// For each pixel, which of the commonest colours it has; `None` if it has none of them.
fn colours(picture: &RgbImage, most: usize) -> Vec<Option<usize>> {
    let pixels: Vec<[i32; 3]> = picture.pixels().map(|pixel| pixel.0.map(i32::from)).collect();
    let mut colours: Vec<Option<usize>> = vec![None; pixels.len()];
    for colour in 0..most {
        let left = pixels.iter().zip(&colours).filter(|(_, has)| has.is_none()).map(|(pixel, _)| pixel);
        let Some(mean) = commonest(left) else { break };
        let is_near = |pixel: &[i32; 3]| pixel.iter().zip(mean).all(|(value, mean)| (value - mean).abs() <= ONE_COLOUR);
        let near: Vec<usize> =
            (0..pixels.len()).filter(|place| colours[*place].is_none() && is_near(&pixels[*place])).collect();
        if near.len() * 1000 < LEAST_SHARE * pixels.len() {
            break;
        }
        for place in near {
            colours[place] = Some(colour);
        }
    }
    colours
}

/// The mean of the fullest cell of colours; cells are 16 levels wide.
fn commonest<'a>(pixels: impl Iterator<Item = &'a [i32; 3]>) -> Option<[i32; 3]> {
    let mut cells = vec![(0_i32, [0_i32; 3]); 4096];
    for pixel in pixels {
        let place = pixel.iter().fold(0_i32, |place, value| place * 16 + value / 16);
        let (count, sums) = &mut cells[usize::try_from(place).unwrap_or(0)];
        *count += 1;
        sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    let (count, sums) = cells.into_iter().max_by_key(|(count, _)| *count)?;
    (count > 0).then(|| sums.map(|sum| sum / count))
}
