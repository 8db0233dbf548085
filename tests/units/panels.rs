//! Photos inside a photo.

use image::{Rgb, RgbImage, imageops};
use touchstone::photo::{Limits, Panel, Photo};

use crate::support::demo_photo;
use crate::support::pictures::encode;

fn real(name: &str) -> RgbImage {
    Photo::decode(&demo_photo(name), &Limits::default()).unwrap().rgb().clone()
}

/// Whether `found` is the box from `left`, `top` to `right`, `bottom`, all in pixels of a 640 x 480 photo.
fn is_box(found: Panel, (left, top, right, bottom): (u32, u32, u32, u32)) -> bool {
    let near = |got: f32, pixels: u32, side: f32| (got * side - pixels as f32).abs() <= 24.0;
    near(found.left, left, 640.0)
        && near(found.right, right, 640.0)
        && near(found.top, top, 480.0)
        && near(found.bottom, bottom, 480.0)
}

fn panels(image: &RgbImage) -> Vec<Panel> {
    Photo::decode(&encode(image, image::ImageFormat::Png), &Limits::default()).unwrap().panels()
}

#[test]
fn the_cells_of_a_collage_are_its_panels() {
    let mut sheet = RgbImage::from_pixel(640, 480, Rgb([250, 250, 245]));
    let names = ["coffee.png", "motorcycle_left.png", "coins.png", "chelsea.png"];
    for (place, name) in names.into_iter().enumerate() {
        let cell = imageops::resize(&real(name), 300, 220, imageops::FilterType::Triangle);
        let (left, top) = [(10, 10), (330, 10), (10, 250), (330, 250)][place];
        imageops::replace(&mut sheet, &cell, left, top);
    }
    let found = panels(&sheet);
    assert_eq!(found.len(), 4, "{found:?}");
    for place in 0..4 {
        let (left, top) = (10 + place % 2 * 320, 10 + place / 2 * 240);
        assert!(found.iter().any(|panel| is_box(*panel, (left, top, left + 300, top + 220))), "{place}: {found:?}");
    }
}

#[test]
fn one_photo_has_no_panels() {
    for name in ["coffee.png", "motorcycle_left.png", "coins.png", "chelsea.png"] {
        assert_eq!(panels(&real(name)), [], "{name}");
    }
}

#[test]
fn a_cut_is_what_its_panel_says_and_never_empty() {
    let photo = Photo::decode(&demo_photo("coffee.png"), &Limits::default()).unwrap();
    let (width, height) = (photo.width(), photo.height());
    let half = photo.crop(&Panel { left: 0.5, top: 0.0, right: 1.0, bottom: 0.5 });
    assert_eq!((half.width(), half.height()), (width - width.div_ceil(2), height.div_ceil(2)));
    assert_eq!(half.rgb().get_pixel(0, 0), photo.rgb().get_pixel(width.div_ceil(2), 0));
    let nothing = photo.crop(&Panel { left: 1.0, top: 1.0, right: 1.0, bottom: 1.0 });
    assert_eq!((nothing.width(), nothing.height()), (1, 1));
}

#[test]
fn a_drawn_grid_has_few_panels() {
    let lines = RgbImage::from_fn(1200, 1200, |x, y| Rgb(if x / 6 % 2 == y / 6 % 2 { [0; 3] } else { [255; 3] }));
    assert!(panels(&lines).len() <= 9);
    let checks = RgbImage::from_fn(600, 600, |x, y| Rgb(if x % 60 < 4 || y % 60 < 4 { [0; 3] } else { [255; 3] }));
    assert!(panels(&checks).len() <= 9);
}

#[test]
fn a_photo_on_a_large_plain_ground_is_a_panel_however_large_the_ground() {
    let photo = imageops::resize(&real("coffee.png"), 150, 100, imageops::FilterType::Triangle);
    for side in [500_u32, 1000, 2000] {
        let mut canvas = RgbImage::from_pixel(side, side, Rgb([255, 255, 255]));
        imageops::replace(&mut canvas, &photo, i64::from(side) / 3, i64::from(side) / 2);
        let found = panels(&canvas);
        assert_eq!(found.len(), 1, "{side}: {found:?}");
        let near = |got: f32, pixels: u32| (got * side as f32 - pixels as f32).abs() <= side as f32 / 100.0;
        let [panel] = found[..] else { unreachable!() };
        assert!(near(panel.left, side / 3) && near(panel.right, side / 3 + 150), "{side}: {panel:?}");
        assert!(near(panel.top, side / 2) && near(panel.bottom, side / 2 + 100), "{side}: {panel:?}");
    }
}
