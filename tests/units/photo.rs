use std::io::Cursor;

use image::{DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;
use touchstone::photo::{Format, Limits, Photo, PhotoError};

use crate::support::fixture;
use crate::support::pictures::{crc32, encode, jpeg, laid_over, light_on_transparent, png_chunk, scene};

fn decode(bytes: &[u8]) -> Photo {
    Photo::decode(bytes, &Limits::default()).unwrap()
}

fn error(bytes: &[u8]) -> PhotoError {
    Photo::decode(bytes, &Limits::default()).unwrap_err()
}

/// The largest mean difference of a channel between two photos, 0 to 255.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.as_raw().len() as f64
}

#[test]
fn every_accepted_format_gives_the_picture() {
    let picture = scene(1);
    for (format, expected) in [
        (ImageFormat::Png, Format::Png),
        (ImageFormat::Bmp, Format::Bmp),
        (ImageFormat::Tiff, Format::Tiff),
        (ImageFormat::WebP, Format::WebP),
    ] {
        let photo = decode(&encode(&picture, format));
        assert_eq!((photo.format(), photo.rgb()), (expected, &picture));
    }
    assert!(difference(decode(&jpeg(&picture, 95)).rgb(), &picture) < 4.0);
    assert!(difference(decode(&encode(&picture, ImageFormat::Gif)).rgb(), &picture) < 16.0);
}

#[test]
fn unusual_kinds_give_the_picture_too() {
    let drawn = decode(&fixture("drawn.png"));
    for (name, most) in [
        ("cmyk.jpg", 4.0),
        ("ycck.jpg", 4.0),
        ("progressive.jpg", 4.0),
        ("palette.png", 2.0),
        ("animated.gif", 2.0),
        ("animated.webp", 2.0),
        ("lossy.webp", 8.0),
        ("one-scan-a-component.jpg", 6.0),
        ("restarts.jpg", 4.0),
        ("exif-prefix-6.webp", 2.0),
        ("palette.tif", 2.0),
        ("big.tif", 0.001),
        ("blank-first.gif", 2.0),
        ("blank-first.webp", 2.0),
        ("blank-first.png", 2.0),
        ("two-pictures.gif", 2.0),
        ("plain.avif", 6.0),
        ("444.avif", 4.0),
        ("limited.avif", 6.0),
        ("turned.avif", 6.0),
        ("blank-first.avif", 6.0),
        // Its lower layer is white.
        ("layered.avif", 6.0),
        // Browsers ignore a crop that does not begin at the top left corner.
        ("clap-inside.avif", 4.0),
        ("plain.heic", 6.0),
        ("444.heic", 4.0),
        ("10-bit.heic", 6.0),
        ("plain.jxl", 4.0),
        ("lossless.jxl", 0.001),
    ] {
        let off = difference(decode(&fixture(name)).rgb(), drawn.rgb());
        assert!(off < most, "{name} is off by {off}");
    }
    let twice = image::imageops::resize(drawn.rgb(), 192, 128, image::imageops::FilterType::Nearest);
    for name in ["grid.heic", "grid.avif"] {
        let off = difference(decode(&fixture(name)).rgb(), &twice);
        assert!(off < 6.0, "{name} is off by {off}");
    }
    for name in ["grey.jpg", "grey.avif", "grey.heic", "grey.jxl"] {
        let grey = decode(&fixture(name));
        // JPEG XL rounds each channel by itself.
        assert!(grey.rgb().pixels().all(|Rgb([r, g, b])| r.abs_diff(*g) <= 1 && g.abs_diff(*b) <= 1), "{name}");
        let off = difference(grey.rgb(), decode(&fixture("grey.jpg")).rgb());
        assert!(off < 4.0, "{name} is off by {off}");
    }
}

#[test]
fn modern_formats_are_told_by_their_brands_and_signatures() {
    for (name, format, media_type) in [
        ("plain.avif", Format::Avif, "image/avif"),
        ("blank-first.avif", Format::Avif, "image/avif"),
        ("plain.heic", Format::Heic, "image/heic"),
        ("plain.jxl", Format::JpegXl, "image/jxl"),
    ] {
        let photo = decode(&fixture(name));
        assert_eq!((photo.format(), photo.format().media_type()), (format, media_type), "{name}");
    }
    let brands = |brands: &[u8]| Format::sniff(&[&[0, 0, 0, 8 + brands.len() as u8], b"ftyp", brands].concat());
    assert_eq!(brands(b"mif1\0\0\0\0mif1avif"), Ok(Format::Avif));
    assert_eq!(brands(b"mif1\0\0\0\0mif1heic"), Ok(Format::Heic));
    // The version field is not a brand.
    assert!(brands(b"mif1avifmif1").is_err());
}

#[test]
fn an_avif_is_cropped_as_chromium_crops_it() {
    let cropped = decode(&fixture("clap-at-the-origin.avif"));
    let drawn = image::imageops::crop_imm(decode(&fixture("drawn.png")).rgb(), 0, 0, 61, 41).to_image();
    let off = difference(cropped.rgb(), &drawn);
    assert!(off < 4.0, "off by {off}");
}

#[test]
fn an_avif_is_one_by_any_of_its_brands() {
    let mut file = fixture("plain.avif");
    file[8..12].copy_from_slice(b"mif1");
    assert!(decode(&file).rgb() == decode(&fixture("plain.avif")).rgb());
}

#[test]
fn a_bmp_whose_alpha_is_zero_everywhere_is_opaque() {
    let mut bmp = Cursor::new(Vec::new());
    let clear = RgbaImage::from_fn(40, 30, |x, y| Rgba([x as u8 * 6, y as u8 * 8, 90, 0]));
    DynamicImage::ImageRgba8(clear.clone()).write_to(&mut bmp, ImageFormat::Bmp).unwrap();
    assert!(decode(&bmp.into_inner()).rgb() == &DynamicImage::ImageRgba8(clear).into_rgb8());
}

#[test]
fn what_browsers_show_otherwise_is_broken() {
    let few = encode(&RgbImage::from_pixel(8, 8, Rgb([200, 30, 40])), ImageFormat::Bmp);
    let mut run_lengths = few.clone();
    run_lengths[30] = 1;
    let mut within = few.clone();
    (within[28], within[10]) = (8, 60);
    // A header of version 4 in place of the one of 40 bytes: its colour space is 0, and it states a gamma.
    let mut calibrated = [&within[..14], &[0; 108], &within[54..]].concat();
    calibrated[14..54].copy_from_slice(&few[14..54]);
    calibrated[14] = 108;
    calibrated[10] = 122;
    calibrated[14 + 96] = 1;
    let mut outside = fixture("animated.gif");
    let frame = outside.windows(9).position(|block| block == [0x2c, 0, 0, 0, 0, 96, 0, 64, 0]).unwrap();
    outside[frame + 1] = 10;
    for (bytes, reason) in [
        (&run_lengths, "run-length"),
        (&within, "within its palette"),
        (&calibrated, "calibrated"),
        (&outside, "beyond its canvas"),
    ] {
        assert!(error(bytes).to_string().contains(reason), "{reason}: {}", error(bytes));
    }
}

#[test]
fn a_picture_that_ends_in_zeros_is_damaged() {
    let mut webp = fixture("lossy.webp");
    let end = webp.len();
    webp[end - 200..].fill(0);
    assert!(decode(&webp).is_damaged() && !decode(&fixture("lossy.webp")).is_damaged());
    // The coded image is the last box of the file. The decoder detects most truncations, but not this one.
    let mut avif = fixture("plain.avif");
    let end = avif.len();
    avif[end - 48..].fill(0);
    assert!(Photo::decode(&avif, &Limits::default()).is_ok_and(|photo| photo.is_damaged()));
    assert!(!decode(&fixture("plain.avif")).is_damaged());
}

#[test]
fn a_heic_whose_primary_item_is_a_part_of_another_picture_is_broken() {
    for (name, part) in [("clear.heic", 2_u8), ("grid.heic", 3)] {
        let mut file = fixture(name);
        let primary = file.windows(4).position(|kind| kind == b"pitm").unwrap() + 9;
        assert_eq!(file[primary], 1);
        file[primary] = part;
        assert!(error(&file).to_string().contains("a part of another image"), "{name}");
        file[primary] = 99;
        assert!(matches!(error(&file), PhotoError::Broken { .. }), "{name}");
    }
}

#[test]
fn transparent_pictures_of_modern_formats_are_laid_over_white() {
    let clear = decode(&fixture("clear.png"));
    for name in ["clear.avif", "clear.heic", "clear.jxl"] {
        let off = difference(decode(&fixture(name)).rgb(), clear.rgb());
        assert!(off < 6.0, "{name} is off by {off}");
    }
}

#[test]
fn high_dynamic_range_is_shown_as_chromium_shows_it() {
    let (plain, pq) = (decode(&fixture("ramp.avif")), decode(&fixture("ramp-pq.avif")));
    let shown = |signal: u8| {
        let pixels = plain.rgb().pixels().zip(pq.rgb().pixels());
        pixels.min_by_key(|(from, _)| from.0[1].abs_diff(signal)).map(|(_, to)| to.0[1]).unwrap()
    };
    // Measured on a screenshot of Chromium.
    for (signal, seen) in [(60, 26), (84, 53), (108, 90), (132, 142), (156, 206), (180, 242), (204, 255)] {
        // Two of the ramp's steps are at most 6 apart where the curve is steepest.
        assert!(shown(signal).abs_diff(seen) <= 12, "{signal} shows as {}, expected {seen}", shown(signal));
    }
}

#[test]
fn what_vanishes_on_white_in_part_is_kept_on_black_too() {
    let light = light_on_transparent(7);
    let strip = |x: u32, y: u32| if y < 20 { Rgba([30, 30, 30, 255]) } else { *light.get_pixel(x, y) };
    let drawn = RgbaImage::from_fn(light.width(), light.height(), strip);
    let mixed = decode(&encode_rgba(&drawn));
    assert!(mixed.on_black().is_some() && !mixed.is_invisible_on_white());
    let (white, black) = mixed.clone().on_each_ground();
    let black = black.unwrap();
    assert!(white.rgb() == &laid_over(&drawn, 255) && black.rgb() == &laid_over(&drawn, 0));
    assert_eq!((white.sha256(), black.sha256()), (mixed.sha256(), mixed.sha256()));
    let alone = decode(&encode_rgba(&light));
    assert!(alone.on_black().is_some() && alone.is_invisible_on_white());
    assert!(alone.on_each_ground().1.is_none());
    // Dark goods on a transparent ground are the same picture on both.
    let dark = RgbaImage::from_fn(200, 200, |x, y| {
        if (40..160).contains(&x) && (40..160).contains(&y) {
            Rgba([120, 30, 20, 255])
        } else {
            Rgba([255, 255, 255, 0])
        }
    });
    assert!(decode(&encode_rgba(&dark)).on_black().is_none());
}

#[test]
fn colours_are_converted_before_transparency_is_laid_over_white() {
    // A black shadow, half transparent, in linear light: its black stays black, and sRGB is blended.
    let shadow = encode_rgba(&RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 128])));
    let shadow = with_chunks(&shadow, &[(b"gAMA", &100_000_u32.to_be_bytes())]);
    assert_eq!(decode(&shadow).rgb().get_pixel(0, 0), &Rgb([127, 127, 127]));
}

#[test]
fn a_tiff_whose_colours_are_multiplied_by_their_alpha_is_blended_once() {
    let (multiplied, clear) = (decode(&fixture("premultiplied.tif")), decode(&fixture("clear.png")));
    let off = difference(multiplied.rgb(), clear.rgb());
    assert!(off < 2.0, "off by {off}");
}

#[test]
fn tiffs_of_scanners_fax_programs_and_editors_give_the_picture() {
    let drawn = decode(&fixture("drawn.png"));
    for (name, most) in [
        ("12-bit.tif", 0.001),
        ("reversed.tif", 0.001),
        ("planes.tif", 0.001),
        ("float.tif", 0.001),
        // As libtiff decodes it: four pixels share their colour.
        ("ycbcr.tif", 3.0),
        ("ycbcr-jpeg.tif", 2.0),
        ("rgb-jpeg.tif", 2.0),
    ] {
        let photo = decode(&fixture(name));
        let off = difference(photo.rgb(), drawn.rgb());
        assert!(off < most && !photo.is_damaged(), "{name} is off by {off}");
    }
    for (png, tiff) in [
        ("ink.png", "huffman.tif"),
        ("ink.png", "group3.tif"),
        ("ink.png", "group3-2d.tif"),
        ("ink.png", "group4.tif"),
        ("palette-2-bit.png", "palette-2-bit.tif"),
        ("palette-4-bit.png", "palette-4-bit.tif"),
    ] {
        let photo = decode(&fixture(tiff));
        assert!(photo.rgb() == decode(&fixture(png)).rgb() && !photo.is_damaged(), "{tiff}");
    }
}

#[test]
fn a_tiff_whose_black_and_white_are_not_defined_says_so() {
    for (name, reason) in [("signed.tif", "signed"), ("float-beyond-white.tif", "not all from 0 (black) to 1 (white)")]
    {
        let said = error(&fixture(name)).to_string();
        assert!(said.contains(reason), "{name}: {said}");
    }
}

#[test]
fn a_fax_with_damaged_codes_is_decoded_and_told() {
    let mut fax = fixture("group3.tif");
    // Codes of the first rows; each row ends with a marker, at which decoding resumes.
    fax[40..44].fill(0xff);
    let damaged = decode(&fax);
    assert!(damaged.is_damaged());
    let whole = decode(&fixture("group3.tif"));
    // Unreadable rows may be missing, so later ones move up.
    assert_eq!(damaged.rgb().dimensions(), whole.rgb().dimensions());
    assert!(damaged.rgb().pixels().any(|pixel| *pixel == Rgb([0, 0, 0])));
}

fn encode_rgba(picture: &RgbaImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn sixteen_bits_and_transparency_become_eight_bits_over_white() {
    let deep = DynamicImage::ImageRgb16(image::ImageBuffer::from_pixel(4, 4, Rgb([0xffff, 0x8080, 0])));
    let mut bytes = Cursor::new(Vec::new());
    deep.write_to(&mut bytes, ImageFormat::Png).unwrap();
    assert_eq!(decode(bytes.get_ref()).rgb().get_pixel(0, 0), &Rgb([255, 128, 0]));

    let clear = RgbaImage::from_fn(3, 1, |x, _| Rgba([0, 0, 0, [0, 128, 255][x as usize]]));
    let mut bytes = Cursor::new(Vec::new());
    clear.write_to(&mut bytes, ImageFormat::Png).unwrap();
    let photo = decode(bytes.get_ref());
    let greys: Vec<u8> = photo.rgb().pixels().map(|pixel| pixel.0[0]).collect();
    assert_eq!(greys, [255, 127, 0]);
}

/// The length of a chunk is not believed: it may be 4 GB in a file of a few hundred bytes.
#[test]
fn metadata_that_extends_beyond_the_file_is_missing() {
    let picture = scene(3);
    let plain = encode(&picture, ImageFormat::WebP);
    let side = |length: u32| (length - 1).to_le_bytes()[..3].to_vec();
    for kind in [b"EXIF", b"ICCP"] {
        let flags = if kind == b"EXIF" { 0x08 } else { 0x20 };
        let header = [&[flags, 0, 0, 0], side(picture.width()).as_slice(), &side(picture.height())].concat();
        let overlong = [kind.as_slice(), &0xffff_fff0_u32.to_le_bytes(), b"II*\0"].concat();
        let chunks = [b"WEBPVP8X", 10_u32.to_le_bytes().as_slice(), &header, &plain[12..], &overlong].concat();
        let size = u32::try_from(chunks.len()).unwrap().to_le_bytes();
        let file = [b"RIFF", size.as_slice(), &chunks].concat();
        let photo = Photo::decode(&file, &Limits::default()).unwrap();
        assert_eq!(*photo.rgb(), picture);
    }
}

/// A JPEG with an EXIF segment that has only an orientation.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn all_eight_exif_orientations_come_out_upright() {
    let upright = DynamicImage::ImageRgb8(scene(2));
    // What a camera stores for each orientation, from the EXIF specification (tag 0x0112).
    let stored: [DynamicImage; 8] = [
        upright.clone(),
        upright.fliph(),
        upright.rotate180(),
        upright.flipv(),
        upright.rotate90().fliph(),
        upright.rotate270(),
        upright.rotate270().fliph(),
        upright.rotate90(),
    ];
    for (number, stored) in (1..).zip(&stored) {
        let photo = decode(&turned(&jpeg(&stored.to_rgb8(), 95), number));
        assert_eq!((photo.width(), photo.height()), (320, 240), "orientation {number}");
        let off = difference(photo.rgb(), &upright.to_rgb8());
        assert!(off < 4.0, "orientation {number} is off by {off}");
    }
}

#[test]
fn a_wide_colour_profile_is_converted_to_srgb_and_a_broken_one_passed_over() {
    let picture = RgbImage::from_pixel(8, 8, Rgb([0, 200, 0]));
    let with_profile = |profile: Vec<u8>| {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(profile).unwrap();
        encoder.write_image(&picture, 8, 8, image::ExtendedColorType::Rgb8).unwrap();
        decode(&bytes).rgb().get_pixel(0, 0).0
    };
    let display_p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let [_, green, _] = with_profile(display_p3);
    assert!(green > 200, "Display P3's green is more saturated than sRGB's: {green}");
    assert_eq!(with_profile(b"no profile at all".to_vec()), [0, 200, 0]);
}

#[test]
fn caps_are_checked_before_memory_is_taken() {
    // A PNG header that claims 60,000 x 60,000 pixels, which would take 10.8 GB.
    let mut bomb = encode(&scene(3), ImageFormat::Png);
    bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert!(
        matches!(error(&bomb), PhotoError::TooManyPixels { width: 60_000, height: 60_000, .. }),
        "{}",
        error(&bomb)
    );

    let limits = Limits { max_pixels: 100, ..Limits::default() };
    assert!(matches!(Photo::decode(&jpeg(&scene(3), 90), &limits), Err(PhotoError::TooManyPixels { .. })));
    let limits = Limits { max_bytes: 10, ..Limits::default() };
    assert!(matches!(Photo::decode(&jpeg(&scene(3), 90), &limits), Err(PhotoError::TooManyBytes { max: 10, .. })));
    let limits = Limits { max_memory: 1000, ..Limits::default() };
    assert!(Photo::decode(&encode(&scene(3), ImageFormat::Png), &limits).is_err());
}

/// A PNG with chunks after its header.
fn with_chunks(png: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = png.to_owned();
    bytes.splice(33..33, chunks.iter().flat_map(|(kind, data)| png_chunk(kind.as_slice(), data)));
    bytes
}

#[test]
fn a_profile_is_known_by_its_curves_and_not_by_its_name() {
    let picture = scene(7);
    let negative = RgbImage::from_fn(320, 240, |x, y| Rgb(picture.get_pixel(x, y).0.map(|value| 255 - value)));
    let mut profile = moxcms::ColorProfile::new_srgb();
    // sRGB's curve, read from its end.
    let falling = (0..=255_u32).map(|at| {
        let value = f64::from(255 - at) / 255.0;
        let linear = if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        (linear * 65535.0) as u16
    });
    let curve = moxcms::ToneReprCurve::Lut(falling.collect());
    profile.cicp = None;
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(profile.encode().unwrap()).unwrap();
    encoder.write_image(&negative, 320, 240, image::ExtendedColorType::Rgb8).unwrap();
    let off = difference(decode(&bytes).rgb(), &picture);
    assert!(off < 2.0, "off by {off}");
}

#[test]
fn a_png_is_shown_with_its_gamma_unless_a_better_chunk_says_otherwise() {
    let grey = encode(&RgbImage::from_pixel(8, 8, Rgb([128; 3])), ImageFormat::Png);
    let shown = |chunks: &[(&[u8; 4], &[u8])]| decode(&with_chunks(&grey, chunks)).rgb().get_pixel(0, 0).0[0];
    let gamma = |gamma: u32| gamma.to_be_bytes();
    // Linear light: 128 of 255 is 188 in sRGB.
    assert!(shown(&[(b"gAMA", &gamma(100_000))]).abs_diff(188) <= 1);
    assert_eq!(shown(&[(b"gAMA", &gamma(45_455))]), 128);
    assert_eq!(shown(&[(b"gAMA", &gamma(100_000)), (b"sRGB", &[0])]), 128);
    assert_eq!(shown(&[(b"gAMA", &gamma(0))]), 128);
    // Linear by cICP (transfer 8), whatever other chunks say.
    assert!(shown(&[(b"cICP", &[1, 8, 0, 1]), (b"sRGB", &[0])]).abs_diff(188) <= 1);
}

#[test]
fn of_an_animation_the_frame_in_view_is_judged_and_others_are_told() {
    for name in ["blank-first.gif", "blank-first.webp", "blank-first.png", "blank-first.avif"] {
        let photo = decode(&fixture(name));
        assert_eq!((photo.frames(), photo.has_more_frames()), (2, false), "{name}");
    }
    let two = decode(&fixture("two-pictures.gif"));
    assert_eq!((two.frames(), two.has_more_frames()), (2, true));
    let sequence = [&fixture("plain.heic")[..], b"\0\0\0\x08moov"].concat();
    assert!(decode(&sequence).has_more_frames() && !decode(&fixture("plain.heic")).has_more_frames());
    let still = decode(&fixture("drawn.png"));
    assert_eq!((still.frames(), still.has_more_frames()), (1, false));
}

#[test]
fn a_jpeg_is_whole_when_its_first_picture_is() {
    let whole = jpeg(&scene(8), 90);
    let without_end = &whole[..whole.len() - 2];
    let film = [b"\0\0\0\x18ftypmp42", &[0xff, 0xda].repeat(500)[..]].concat();
    let cut_second = [&whole[..], &jpeg(&scene(9), 90)[..2_000]].concat();
    for (name, bytes) in [
        ("a film behind it", [&whole[..], &film].concat()),
        ("a cut picture behind it", cut_second),
        ("a trailer in place of its end", [without_end, b"\0\0trailer of a phone"].concat()),
    ] {
        assert!(decode(&bytes).rgb() == decode(&whole).rgb(), "{name}");
    }
}

#[test]
fn a_jpeg_of_which_a_part_is_missing_or_left_over_is_damaged() {
    let whole = jpeg(&scene(8), 90);
    let end = whole.len() - 2;
    let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let left_over = [&whole[..end], &[0x5a; 40], &whole[end..]].concat();
    let cut = [&whole[..scan + (end - scan) / 2], &whole[end..]].concat();
    let in_scans = fixture("one-scan-a-component.jpg");
    let scans: Vec<usize> = (0..in_scans.len() - 1).filter(|&at| in_scans[at..at + 2] == [0xff, 0xda]).collect();
    let one_missing = [&in_scans[..scans[2]], b"\xff\xd9"].concat();
    let progressive = fixture("progressive.jpg");
    let last = (0..progressive.len() - 1).rfind(|&at| progressive[at..at + 2] == [0xff, 0xda]).unwrap();
    let between = [&progressive[..last], b"\xff\xd9"].concat();
    for (name, bytes) in [
        ("codes left over", left_over),
        ("cut and closed", cut),
        ("a component without its scan", one_missing),
        ("cut between two scans", between),
    ] {
        assert!(decode(&bytes).is_damaged(), "{name}");
    }
    for name in ["one-scan-a-component.jpg", "progressive.jpg", "restarts.jpg", "grey.jpg", "cmyk.jpg", "ycck.jpg"] {
        assert!(!decode(&fixture(name)).is_damaged(), "{name}");
    }
    let without_end = [&whole[..end], b"\0\0trailer of a phone"].concat();
    assert!(!decode(&whole).is_damaged() && !decode(&without_end).is_damaged());
}

#[test]
fn a_jpeg_with_bad_codes_goes_on_at_the_next_restart_marker() {
    let whole = fixture("restarts.jpg");
    let marker = |number: u8| whole.windows(2).position(|pair| pair == [0xff, 0xd0 + number]).unwrap();
    let mut damaged = whole.clone();
    damaged[marker(1) + 4..marker(1) + 10].fill(0xfe);
    let (damaged, whole) = (decode(&damaged), decode(&whole));
    let rows = |photo: &Photo, from: u32| image::imageops::crop_imm(photo.rgb(), 0, from, 96, 64 - from).to_image();
    assert_ne!(damaged.rgb(), whole.rgb());
    assert_eq!(rows(&damaged, 32), rows(&whole, 32));
}

#[test]
fn a_profile_that_unpacks_to_many_megabytes_is_passed_over() {
    let profile = [b"x\0\0", &fixture("zeros-64-mib.zlib")[..]].concat();
    let photo = with_chunks(&encode(&scene(3), ImageFormat::Png), &[(b"iCCP", &profile)]);
    assert_eq!(decode(&photo).rgb(), &scene(3));
}

#[test]
fn the_type_is_taken_from_the_bytes() {
    let named: Vec<String> = [
        &b"\0\0\0\x18ftypheic"[..],
        b"\0\0\0\x18ftypmif1",
        b"\0\0\0\x18ftypavif",
        b"\0\0\0\x18ftypisom",
        b"%PDF-1.7",
        b"<svg/>",
        b"\xff\x0a",
        b"GIF",
        b"",
    ]
    .into_iter()
    .map(|bytes| error(bytes).to_string())
    .collect();
    insta::assert_snapshot!("photo-errors", named.join("\n"));
}

#[test]
fn a_cut_photo_of_any_format_is_broken() {
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP]
    {
        let whole = encode(&scene(8), format);
        for share in [2, 3, 10] {
            let cut = Photo::decode(&whole[..whole.len() / share], &Limits::default());
            assert!(matches!(cut, Err(PhotoError::Broken { .. })), "{format:?} cut to 1/{share}");
        }
    }
    for name in ["plain.avif", "plain.heic", "plain.jxl"] {
        let whole = fixture(name);
        for keep in [whole.len() - 20, whole.len() * 2 / 3, whole.len() / 2, 40] {
            let cut = Photo::decode(&whole[..keep], &Limits::default());
            assert!(matches!(cut, Err(PhotoError::Broken { .. })), "{name} cut to {keep} of {}", whole.len());
        }
    }
}

#[test]
fn quality_tells_a_scene_from_a_blank() {
    assert_eq!(decode(&crate::support::pictures::blank()).fingerprint().quality, 0);
    assert!(decode(&jpeg(&scene(4), 90)).fingerprint().quality > 20);
}

#[test]
fn near_copies_have_near_perceptual_hashes() {
    let distance = |a: &[u8], b: &[u8]| {
        let (a, b) = (decode(a).fingerprint().hash, decode(b).fingerprint().hash);
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
    };
    let original = jpeg(&scene(5), 95);
    assert!(distance(&original, &jpeg(&scene(5), 40)) < 32);
    assert!(distance(&original, &jpeg(&scene(6), 95)) > 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_photos_are_answered_and_never_panic(name in prop::sample::select(vec!["drawn.png", "cmyk.jpg", "ycck.jpg", "progressive.jpg", "animated.gif", "animated.webp", "lossy.webp", "palette.png", "one-scan-a-component.jpg", "restarts.jpg", "palette.tif", "palette-4-bit.tif", "group3.tif", "group3-2d.tif", "group4.tif", "huffman.tif", "12-bit.tif", "reversed.tif", "ycbcr.tif", "ycbcr-jpeg.tif", "float.tif", "blank-first.png", "two-pictures.gif", "plain.avif", "clear.avif", "blank-first.avif", "plain.heic", "clear.heic", "10-bit.heic", "plain.jxl", "clear.jxl", "lossless.jxl"]), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), keep in 0.1_f64..1.0) {
        let mut bytes = fixture(name);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        let limits = Limits { max_pixels: 1_000_000, ..Limits::default() };
        let _ = Photo::decode(&bytes, &limits);
    }
}
