use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use proptest::prelude::*;
use touchstone::photo::{Limits, Look, Photo};

use crate::support::pictures::{jpeg, scene};
use crate::support::real_photo;

fn look(image: &RgbImage, quality: u8) -> Look {
    Photo::decode(&jpeg(image, quality), &Limits::default()).unwrap().look()
}

fn real() -> Vec<RgbImage> {
    (0..5).map(|number| image::load_from_memory(&real_photo(number)).unwrap().into_rgb8()).collect()
}

#[test]
fn a_photo_that_is_compressed_or_scaled_once_more_keeps_its_look() {
    for image in real() {
        let (width, height) = image.dimensions();
        let first = look(&image, 92);
        for quality in [40, 60, 85] {
            assert!(first.is_same(&look(&image, quality)));
        }
        for percent in [60, 140] {
            let scaled =
                imageops::resize(&image, width * percent / 100, height * percent / 100, FilterType::CatmullRom);
            assert!(first.is_same(&look(&scaled, 75)), "{percent}");
        }
    }
}

#[test]
fn other_colours_another_cut_or_a_mark_are_another_look() {
    for image in real() {
        let (width, height) = image.dimensions();
        let first = look(&image, 92);
        let cut = imageops::crop_imm(&image, width / 20, height / 20, width * 9 / 10, height * 9 / 10).to_image();
        let mut marked = image.clone();
        for (x, y) in (0..width / 12).flat_map(|x| (0..height / 12).map(move |y| (x, y))) {
            marked.put_pixel(width / 3 + x, height / 3 + y, Rgb([255, 0, 255]));
        }
        for other in [cut, marked, imageops::flip_horizontal(&image)] {
            assert!(!first.is_same(&look(&other, 92)));
        }
    }
}

#[test]
fn a_tint_or_a_pattern_that_leaves_the_larger_cells_as_they_were_is_another_look() {
    for image in real() {
        let first = look(&image, 92);
        let tinted = RgbImage::from_fn(image.width(), image.height(), |x, y| {
            let Rgb([r, g, b]) = *image.get_pixel(x, y);
            Rgb([r.saturating_add(12), g.saturating_sub(12), b.saturating_add(12)])
        });
        let cell = image.width() / 32;
        let striped = RgbImage::from_fn(image.width(), image.height(), |x, y| {
            let up = (x / cell).is_multiple_of(2);
            Rgb(image
                .get_pixel(x, y)
                .0
                .map(|value| if up { value.saturating_add(60) } else { value.saturating_sub(60) }))
        });
        for other in [tinted, striped] {
            assert!(!first.is_same(&look(&other, 92)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_look_is_its_own_and_survives_json_and_bytes(seed in 0_u64..1000) {
        let first = look(&scene(seed), 90);
        prop_assert!(first.is_same(&first));
        prop_assert_eq!(&serde_json::from_str::<Look>(&serde_json::to_string(&first).unwrap()).unwrap(), &first);
        prop_assert_eq!(Look::from_bytes(first.as_bytes()), Some(first.clone()));
        prop_assert_eq!(Look::from_bytes(&first.as_bytes()[1..]), None);
        prop_assert!(serde_json::from_str::<Look>("\"QUJD\"").is_err());
        let other = look(&scene(seed + 1), 90);
        prop_assert_eq!(first.is_same(&other), other.is_same(&first));
    }
}
