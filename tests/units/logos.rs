//! Logos are told from photos, found where they are printed, and changes to them are reported.

use image::{Rgb, RgbImage};
use touchstone::align::{FoundLogo, LocalFeatures, LogoChange, QueryFeatures, find_logo};
use touchstone::photo::{Limits, Photo, is_artwork};

use crate::support::demo_photo;
use crate::support::pictures::{Logo, scene};

const PHOTOS: [&str; 5] = ["coffee.png", "motorcycle_left.png", "coins.png", "chelsea.png", "rocket.jpg"];

fn real(name: &str) -> RgbImage {
    Photo::decode(&demo_photo(name), &Limits::default()).unwrap().rgb().clone()
}

fn look(photo: &RgbImage, logo: &Logo) -> Option<FoundLogo> {
    find_logo(&QueryFeatures::of(photo), &LocalFeatures::of(&logo.picture()))
}

/// Draws the logo on a photo: left, top and width as shares of the photo's width.
fn printed(logo: &Logo, name: &str) -> RgbImage {
    let mut photo = real(name);
    logo.print(&mut photo, (0.3, 0.25), 0.25);
    photo
}

fn changes(photo: &RgbImage, logo: &Logo) -> Vec<LogoChange> {
    let found = look(photo, logo).unwrap();
    assert!(found.evidence > 0.0, "{found:?}");
    found.changes()
}

const WHITE: Rgb<u8> = Rgb([255; 3]);
const BLACK: Rgb<u8> = Rgb([10; 3]);

#[test]
fn a_small_print_is_found_in_its_own_colour_and_in_black_and_white() {
    let logo = Logo::new();
    for ink in [logo.ink, WHITE, BLACK] {
        let photo = printed(&Logo { ink, ..Logo::new() }, "coffee.png");
        let found = look(&photo, &logo).unwrap();
        assert!(found.evidence > 0.0 && found.changes().is_empty(), "{ink:?}: {found:?}");
        let place = found.alignment;
        assert!(place.query_overlap > 0.01 && place.query_overlap < 0.1, "{found:?}");
        let height = f64::from(photo.width()) / f64::from(photo.height());
        // Corners of the whole reference, of which the drawing covers 0.7 of the width.
        let expected = [(0.246, 0.107 * height), (0.604, 0.107 * height)];
        let near = place.corners[..2].iter().zip(expected).all(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1) < 0.03);
        assert!(near, "{found:?}");
    }
}

#[test]
fn what_was_changed_is_told() {
    let logo = Logo::new();
    let told = |changed: &Logo| changes(&printed(changed, "coffee.png"), &logo);
    assert_eq!(told(&Logo { mirrored: true, ..Logo::new() }), [LogoChange::Mirrored]);
    assert_eq!(told(&Logo { stretch: 1.6, ..Logo::new() }), [LogoChange::Stretched]);
    assert_eq!(told(&Logo { ink: Rgb([200, 20, 160]), ..Logo::new() }), [LogoChange::OtherColour]);
    let another_end = Logo { order: [0, 1, 2, 1], ..Logo::new() };
    assert_eq!(changes(&another_end.picture(), &logo), [LogoChange::OtherParts]);
}

#[test]
fn it_is_not_found_where_it_is_not() {
    let logo = Logo::new();
    for name in PHOTOS {
        let found = look(&real(name), &logo);
        assert!(found.is_none_or(|found| found.evidence < 0.0), "{name}: {found:?}");
    }
    let other = Logo { order: [3, 3, 0, 3], ..Logo::new() };
    let found = look(&printed(&other, "coffee.png"), &logo);
    assert!(found.is_none_or(|found| found.evidence < 0.0 || !found.changes().is_empty()), "{found:?}");
}

#[test]
fn a_picture_with_nothing_drawn_has_no_logo() {
    let blank = RgbImage::from_pixel(300, 200, WHITE);
    assert_eq!(find_logo(&QueryFeatures::of(&real("coffee.png")), &LocalFeatures::of(&blank)), None);
    let logo = LocalFeatures::of(&Logo::new().picture());
    assert!(find_logo(&QueryFeatures::of(&blank), &logo).is_none_or(|found| found.evidence < 0.0));
    assert!(find_logo(&QueryFeatures::of(&RgbImage::new(1, 1)), &logo).is_none_or(|found| found.evidence < 0.0));
}

#[test]
fn drawings_are_artwork_and_photos_are_not() {
    let logo = Logo::new();
    assert!(is_artwork(&logo.picture()));
    assert!(is_artwork(&Logo { ink: WHITE, ground: BLACK, ..logo }.picture()));
    for name in PHOTOS {
        assert!(!is_artwork(&real(name)), "{name}");
    }
    assert!(!is_artwork(&scene(3)));
    for (width, height) in [(1, 1), (2, 500), (500, 1)] {
        assert!(!is_artwork(&RgbImage::from_pixel(width, height, WHITE)));
    }
}
