use image::{Rgb, RgbImage};
use proptest::prelude::*;
use serde::Deserialize;
use touchstone::photo::Pdq;

/// A picture and what the package `pdqhash` gives for it; written by scripts/golden-pdq.
#[derive(Deserialize)]
struct Golden {
    seed: u32,
    width: i64,
    height: i64,
    hash: String,
    quality: u8,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("../golden/pdq.json")).unwrap()
}

/// A ramp with boxes and discs on top. All numbers are whole, so that it is the same picture everywhere.
fn drawn(seed: u32, width: i64, height: i64) -> RgbImage {
    let mut state = seed;
    let mut random = |below: i64| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(state >> 8) % below
    };
    let ground: [i64; 3] = std::array::from_fn(|_| random(256));
    let slope: [i64; 3] = std::array::from_fn(|_| random(7));
    let shapes: [_; 9] = std::array::from_fn(|_| {
        let (cx, cy) = (random(width), random(height));
        let (rx, ry) = (1 + random(width / 3 + 1), 1 + random(height / 3 + 1));
        let fill: [i64; 3] = std::array::from_fn(|_| random(256));
        let disc = random(2) == 1;
        let is_inside = move |x: i64, y: i64| {
            let (dx, dy) = ((x - cx).abs(), (y - cy).abs());
            if disc { (dx * ry).pow(2) + (dy * rx).pow(2) <= (rx * ry).pow(2) } else { dx <= rx && dy <= ry }
        };
        (is_inside, fill)
    });
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        let ramp = |channel: usize| (ground[channel] + x * slope[channel] / 16 + y * (6 - slope[channel]) / 16) % 256;
        let top = shapes.iter().rev().find(|(is_inside, _)| is_inside(x, y));
        let colour = top.map_or_else(|| std::array::from_fn(ramp), |(_, fill)| *fill);
        Rgb(colour.map(|level| (level * i64::from(1 + seed % 5) / 5) as u8))
    })
}

fn pdq(hash: [u8; 32]) -> Pdq {
    Pdq { hash, quality: 100 }
}

#[test]
fn a_hash_has_the_bits_and_the_quality_of_metas_own_code() {
    for Golden { seed, width, height, hash, quality } in golden() {
        let pdq = Pdq::of(&drawn(seed, width, height));
        let differing = pdq.distance(&hash.parse().unwrap());
        // None differ where the C library's cosine is glibc's.
        assert!(differing <= 2, "{differing} bits differ for {width} x {height}");
        assert_eq!(pdq.quality, quality, "{width} x {height}");
    }
}

#[test]
fn a_hash_is_read_and_written_as_threatexchange_does() {
    let text = &golden()[0].hash;
    let pdq: Pdq = text.parse().unwrap();
    assert_eq!((&pdq.to_string(), pdq.hash[0], pdq.quality), (text, u8::from_str_radix(&text[..2], 16).unwrap(), 100));
    for text in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('c', "g")] {
        assert!(text.parse::<Pdq>().is_err(), "{text}");
    }
}

#[test]
fn opposite_hashes_differ_in_all_bits() {
    assert_eq!(pdq([0; 32]).distance(&pdq([255; 32])), 256);
}

#[test]
fn a_smaller_and_brighter_copy_is_near_and_another_picture_is_far() {
    let picture = drawn(10, 1200, 900);
    let mut copy = image::imageops::thumbnail(&picture, 400, 300);
    image::imageops::colorops::brighten_in_place(&mut copy, 12);
    let distance = |other: &RgbImage| Pdq::of(&picture).distance(&Pdq::of(other));
    assert!(distance(&copy) <= 31);
    assert!(distance(&drawn(11, 1200, 900)) > 90);
}

#[test]
fn a_photo_without_five_pixels_a_side_has_no_hash() {
    for (width, height) in [(0, 0), (4, 900), (900, 4), (1, 1)] {
        let picture = RgbImage::from_fn(width, height, |x, _| Rgb([(x * 60) as u8; 3]));
        assert_eq!(Pdq::of(&picture), Pdq { hash: [0; 32], quality: 0 });
    }
}

proptest! {
    #[test]
    fn the_text_of_a_hash_gives_the_hash(hash in any::<[u8; 32]>()) {
        prop_assert_eq!(pdq(hash).to_string().parse(), Ok(pdq(hash)));
    }

    #[test]
    fn a_distance_is_zero_to_itself_and_symmetric(one in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
        let (one, other) = (pdq(one), pdq(other));
        prop_assert_eq!(one.distance(&one), 0);
        prop_assert_eq!(one.distance(&other), other.distance(&one));
        prop_assert!(one.distance(&other) <= 256);
    }

    #[test]
    fn a_flat_photo_has_no_quality(width in 0_u32..700, height in 0_u32..700, colour in any::<[u8; 3]>()) {
        prop_assert_eq!(Pdq::of(&RgbImage::from_pixel(width, height, Rgb(colour))).quality, 0);
    }
}
