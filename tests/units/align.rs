//! Geometric verification finds a reference exactly where it is in a photo.

use image::{Rgb, RgbImage, imageops};
use proptest::prelude::*;
use touchstone::align::{Alignment, LocalFeatures, QueryFeatures, align, is_same_picture};
use touchstone::photo::{Limits, Photo};

use crate::support::demo_photo;
use crate::support::pictures::{dyed, jpeg, scene};

fn real(name: &str) -> RgbImage {
    Photo::decode(&demo_photo(name), &Limits::default()).unwrap().rgb().clone()
}

fn lay(query: &RgbImage, reference: &RgbImage) -> Option<Alignment> {
    align(&QueryFeatures::of(query), &LocalFeatures::of(reference))
}

fn near(corners: [(f64, f64); 4], expected: [(f64, f64); 4], tolerance: f64) -> bool {
    corners.iter().zip(expected).all(|(a, b)| (a.0 - b.0).abs() < tolerance && (a.1 - b.1).abs() < tolerance)
}

const WHOLE: [(f64, f64); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];

#[test]
fn a_photo_contains_itself_wholly() {
    let photo = real("coffee.png");
    let found = lay(&photo, &photo).unwrap();
    assert!(near(found.corners, WHOLE, 0.01), "{found:?}");
    assert!(found.inliers > 100 && found.detail > 0.95 && !found.flipped, "{found:?}");
    assert!(found.query_overlap > 0.98 && found.reference_overlap > 0.98, "{found:?}");
}

#[test]
fn a_mirrored_photo_is_found_in_the_mirror() {
    let photo = real("motorcycle_left.png");
    let found = lay(&imageops::flip_horizontal(&photo), &photo).unwrap();
    assert!(found.flipped && found.inliers > 100 && found.detail > 0.9, "{found:?}");
    // The reference's top left is at the query's top right.
    assert!(near(found.corners, [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)], 0.02), "{found:?}");
}

#[test]
fn a_photo_contains_its_cutting_only_in_part() {
    let photo = real("coffee.png");
    let (width, height) = photo.dimensions();
    let cut = imageops::crop_imm(&photo, width / 4, height / 4, width / 2, height / 2).to_image();
    let part = lay(&cut, &photo).unwrap();
    assert!((part.reference_overlap - 0.25).abs() < 0.02 && part.query_overlap > 0.95, "{part:?}");
    let whole = lay(&photo, &cut).unwrap();
    assert!((whole.query_overlap - 0.25).abs() < 0.02 && whole.reference_overlap > 0.95, "{whole:?}");
}

#[test]
fn turned_by_a_right_angle_it_is_found_all_the_same() {
    let photo = real("coins.png");
    let found = lay(&imageops::rotate90(&photo), &photo).unwrap();
    assert!(near(found.corners, [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)], 0.02), "{found:?}");
    assert!(found.detail > 0.9, "{found:?}");
}

#[test]
fn a_blurred_picture_of_repeating_things_is_found_by_its_pixels() {
    // The same tile sixteen times: each keypoint has sixteen equal counterparts, and none is clearly the best.
    let tile = imageops::thumbnail(&scene(5), 128, 128);
    let mut sheet = RgbImage::new(512, 512);
    for place in 0..16 {
        imageops::replace(&mut sheet, &tile, i64::from(place % 4) * 128, i64::from(place / 4) * 128);
    }
    let found = lay(&imageops::blur(&sheet, 2.0), &sheet).unwrap();
    assert!(near(found.corners, WHOLE, 0.01) && found.detail > 0.8 && found.inliers >= 12, "{found:?}");
}

#[test]
fn unrelated_photos_agree_in_few_points_and_no_pixels() {
    let photos = ["coffee.png", "motorcycle_left.png", "coins.png", "chelsea.png", "rocket.jpg"].map(real);
    for (place, query) in photos.iter().enumerate() {
        for reference in photos.iter().skip(place + 1) {
            if let Some(found) = lay(query, reference) {
                assert!(found.inliers < 12 && found.detail < 0.6, "{found:?}");
            }
        }
    }
}

#[test]
fn a_blank_picture_has_nothing_to_find() {
    let blank = RgbImage::from_pixel(300, 200, Rgb([250, 250, 250]));
    assert!(LocalFeatures::of(&blank).is_empty());
    assert_eq!(lay(&blank, &blank), None);
    assert_eq!(lay(&real("coffee.png"), &blank), None);
    assert_eq!(lay(&RgbImage::new(1, 1), &RgbImage::new(1, 1)), None);
}

#[test]
fn pictures_of_any_shape_and_any_content_are_looked_at() {
    let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)).to_be_bytes()[0];
    let contents: [&dyn Fn(u32, u32) -> u8; 5] = [
        &noise,
        &|x, y| if (x / 4 + y / 4) % 2 == 0 { 255 } else { 0 },
        &|x, y| if x % 12 == 0 && y % 12 == 0 { 0 } else { 255 },
        &|x, _| (x % 256).to_be_bytes()[3],
        &|x, y| if (x, y) == (7, 7) { 255 } else { 0 },
    ];
    for (width, height) in
        [(1, 1), (1, 900), (2000, 3), (11, 10), (15, 16), (16, 16), (17, 33), (481, 16), (480, 11), (700, 500)]
    {
        for content in contents {
            let picture = RgbImage::from_fn(width, height, |x, y| Rgb([content(x, y); 3]));
            let features = LocalFeatures::of(&picture);
            // Deserialised features are sound: finite positions, directions and scales.
            assert_eq!(LocalFeatures::from_bytes(&features.to_bytes()).as_ref(), Some(&features), "{width} x {height}");
            let found = align(&QueryFeatures::of(&picture), &features);
            assert!(found.is_none_or(|found| found.corners.iter().all(|(x, y)| x.is_finite() && y.is_finite())));
        }
    }
}

fn through(picture: &RgbImage, change: impl Fn([u8; 3]) -> [u8; 3]) -> RgbImage {
    let mut changed = picture.clone();
    changed.pixels_mut().for_each(|pixel| *pixel = Rgb(change(pixel.0)));
    changed
}

#[test]
fn the_same_photograph_in_another_colour_is_told_with_both_colours() {
    let reference = dyed(|colour| colour);
    let blue = dyed(|[red, green, blue]| [blue, green, red]);
    let found = lay(&blue, &reference).unwrap();
    assert!(found.structure > 0.8, "{found:?}");
    let recolour = found.recolour.expect("it is another colour");
    assert!(recolour.reference[0] > recolour.reference[2] + 30, "{recolour:?}");
    assert!(recolour.photo[2] > recolour.photo[0] + 30, "{recolour:?}");
    // Only the goods' lower half is dyed.
    let half = RgbImage::from_fn(480, 400, |x, y| *if y < 200 { &reference } else { &blue }.get_pixel(x, y));
    assert!(lay(&half, &reference).unwrap().recolour.is_some());
}

#[test]
fn what_edits_do_to_a_whole_picture_is_no_other_colour() {
    let scale = |colour: [u8; 3], by: [f64; 3], plus: f64| {
        let mut place = 0;
        colour.map(|value| {
            place += 1;
            (f64::from(value) * by[place - 1] + plus).clamp(0.0, 255.0) as u8
        })
    };
    for reference in [dyed(|colour| colour), real("coffee.png"), real("chelsea.png")] {
        let grey =
            |[red, green, blue]: [u8; 3]| [f64::from(u16::from(red) + u16::from(green) + u16::from(blue)) / 3.0; 3];
        let edits: [&dyn Fn([u8; 3]) -> [u8; 3]; 6] = [
            &|colour| scale(colour, [1.35; 3], 0.0),
            &|colour| scale(colour, [0.65; 3], 0.0),
            &|colour| scale(colour, [0.7; 3], 50.0),
            &|colour| scale(colour, [1.12, 1.0, 0.85], 0.0),
            &|colour| scale(colour, [0.9, 1.0, 1.12], 0.0),
            &|colour| grey(colour).map(|value| value as u8),
        ];
        for (place, edit) in edits.iter().enumerate() {
            let found = lay(&through(&reference, edit), &reference).unwrap();
            assert!(found.structure > 0.8 && found.recolour.is_none(), "edit {place}: {found:?}");
        }
    }
}

#[test]
fn text_beside_the_goods_takes_nothing_from_their_agreement() {
    let reference = dyed(|colour| colour);
    let mut query = reference.clone();
    for (x, y) in (0..480).flat_map(|x| (0..70).map(move |y| (x, y))) {
        if (x / 9 + y / 9) % 2 == 0 {
            query.put_pixel(x, y, Rgb([200, 30, 40]));
        }
    }
    let found = lay(&query, &reference).unwrap();
    // Plain parts of the reference are no evidence, even where cells with detail on either side disagree.
    assert!(found.structure > 0.8 && found.detail < 0.75, "{found:?}");
}

#[test]
fn a_dark_and_a_foggy_copy_have_as_many_keypoints_as_their_reference() {
    for name in ["coffee.png", "chelsea.png", "motorcycle_left.png"] {
        let reference = real(name);
        let bright = lay(&reference, &reference).unwrap().inliers;
        let dark = through(&reference, |colour| colour.map(|value| (f64::from(value) * 0.15) as u8));
        let foggy = through(&reference, |colour| colour.map(|value| (f64::from(value) * 0.15 + 185.0) as u8));
        for faint in [dark, foggy] {
            let found = lay(&faint, &reference).unwrap();
            assert!(near(found.corners, WHOLE, 0.02) && found.inliers * 3 > bright, "{name}, {bright}: {found:?}");
        }
    }
}

/// The middle of `picture`, an ellipse, on `ground`.
fn cut_out(picture: &RgbImage, ground: impl Fn(u32, u32) -> Rgb<u8>) -> RgbImage {
    let (width, height) = picture.dimensions();
    let centred = |at: u32, side: u32| (f64::from(at) / f64::from(side) - 0.5) / 0.38;
    RgbImage::from_fn(width, height, |x, y| {
        let inside = centred(x, width).hypot(centred(y, height)) < 1.0;
        if inside { *picture.get_pixel(x, y) } else { ground(x, y) }
    })
}

#[test]
fn a_subject_that_was_cut_out_agrees_in_its_part_whatever_surrounds_it() {
    let reference = real("motorcycle_left.png");
    let (width, height) = reference.dimensions();
    let other = imageops::resize(&real("coffee.png"), width, height, imageops::FilterType::Triangle);
    let white = cut_out(&reference, |_, _| Rgb([255; 3]));
    let elsewhere = cut_out(&reference, |x, y| *other.get_pixel(x, y));
    for query in [white, elsewhere] {
        let found = lay(&query, &reference).unwrap();
        assert!(found.part.agreement > 0.75 && found.part.agreement > found.structure, "{found:?}");
        assert!((0.3..0.9).contains(&found.part.share) && found.part.around > 0.25, "{found:?}");
    }
    let whole = lay(&reference, &reference).unwrap().part;
    assert!(whole.agreement > 0.9 && whole.share > 0.95 && whole.around < 0.05, "{whole:?}");
}

#[test]
fn other_goods_before_the_same_backdrop_are_no_copied_part() {
    let backdrop = scene(5);
    let (width, height) = backdrop.dimensions();
    let before = |goods: RgbImage| {
        let goods = imageops::resize(&goods, width, height, imageops::FilterType::Triangle);
        cut_out(&goods, |x, y| *backdrop.get_pixel(x, y))
    };
    let (reference, query) = (before(real("coffee.png")), before(real("chelsea.png")));
    let found = lay(&query, &reference).unwrap();
    assert!(found.part.agreement < 0.75, "{found:?}");
}

#[test]
fn a_picture_that_is_only_saved_again_is_the_same_and_another_drawing_is_not() {
    let same = |query: &RgbImage, reference: &RgbImage| {
        is_same_picture(&QueryFeatures::of(query), &LocalFeatures::of(reference))
    };
    let flat = |gap: u32| {
        RgbImage::from_fn(400, 400, |x, y| {
            let ring = (i64::from(x) - 200).pow(2) + (i64::from(y) - 200).pow(2);
            let open = x > 200 && y.abs_diff(200) < gap;
            Rgb(if (12_000..25_000).contains(&ring) && !open { [20, 60, 160] } else { [255; 3] })
        })
    };
    for reference in [real("coffee.png"), real("chelsea.png"), flat(30)] {
        let (width, height) = reference.dimensions();
        for quality in [85, 50] {
            assert!(same(&image::load_from_memory(&jpeg(&reference, quality)).unwrap().to_rgb8(), &reference));
        }
        let smaller = imageops::resize(&reference, width / 2, height / 2, imageops::FilterType::Triangle);
        assert!(same(&smaller, &reference));
        assert!(same(&through(&reference, |colour| colour.map(|value| value.saturating_sub(value / 10))), &reference));
        assert!(!same(&imageops::flip_vertical(&smaller), &reference));
        assert!(!same(&through(&reference, |[red, green, blue]| [blue, red, green]), &reference));
    }
    // A ring with a gap on one side, and a closed one: few keypoints, and nearly all pixels alike.
    assert!(!same(&flat(0), &flat(30)) && !same(&flat(30), &flat(0)));
    // Two blank pictures prove nothing.
    let blank = RgbImage::from_pixel(300, 200, Rgb([250, 250, 250]));
    assert!(!same(&blank, &blank));
}

#[test]
fn kept_features_are_read_as_they_were_written() {
    let features = LocalFeatures::of(&real("chelsea.png"));
    let bytes = features.to_bytes();
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    assert_eq!(LocalFeatures::from_bytes(&bytes), Some(features));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_reference_laid_on_a_ground_is_found_within_two_hundredths(scale in 0.45_f64..0.95, x in 0.0_f64..1.0, y in 0.0_f64..1.0, mirrored in any::<bool>()) {
        let reference = real("coffee.png");
        let mut query = RgbImage::from_pixel(reference.width(), reference.height(), Rgb([90, 140, 110]));
        let (width, height) = (f64::from(query.width()), f64::from(query.height()));
        let (wide, high) = ((width * scale).round(), (height * scale).round());
        let (left, top) = (((width - wide) * x).round(), ((height - high) * y).round());
        let mut laid = imageops::resize(&reference, wide as u32, high as u32, imageops::FilterType::Triangle);
        if mirrored {
            imageops::flip_horizontal_in_place(&mut laid);
        }
        imageops::replace(&mut query, &laid, left as i64, top as i64);
        let found = lay(&query, &reference).unwrap();
        let (l, t, r, b) = (left / width, top / height, (left + wide) / width, (top + high) / height);
        let expected = if mirrored { [(r, t), (l, t), (l, b), (r, b)] } else { [(l, t), (r, t), (r, b), (l, b)] };
        prop_assert!(near(found.corners, expected, 0.02), "{:?} {:?}", found, expected);
        prop_assert_eq!(found.flipped, mirrored);
        prop_assert!((found.query_overlap - scale * scale).abs() < 0.03);
    }

    #[test]
    fn bytes_that_are_no_features_are_not_read(mut bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
        let _ = LocalFeatures::from_bytes(&bytes);
        bytes.truncate(cut);
        let _ = LocalFeatures::from_bytes(&bytes);
        let whole = LocalFeatures::of(&scene(3)).to_bytes();
        prop_assert_eq!(LocalFeatures::from_bytes(&whole[..whole.len() - 1 - cut]), None);
    }
}
