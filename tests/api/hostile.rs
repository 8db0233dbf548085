//! Malicious files, sent to a service that decodes in separate processes, as it does by default.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::ImageFormat;
use rustix::process::{Pid, Signal};
use touchstone::decoder::{Decoder, DecoderOptions};
use touchstone::photo::{Limits, PhotoError};

use crate::support::pictures::{blank, encode, jpeg, photo, png_chunk, scene};
use crate::support::service::Service;
use crate::support::{TestApp, fixture, form};

fn apart(program: &Path, max_seconds: u64) -> DecoderOptions {
    DecoderOptions { max_seconds, program: Some(program.to_owned()), ..DecoderOptions::default() }
}

fn touchstone() -> PathBuf {
    env!("CARGO_BIN_EXE_touchstone").into()
}

fn zeros(count: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        encoder.write_all(&block).unwrap();
    }
    encoder.write_all(&block[..count & ((1 << 20) - 1)]).unwrap();
    encoder.finish().unwrap()
}

fn png(width: u32, height: u32, before: &[u8], data: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let parts = [
        b"\x89PNG\r\n\x1a\n",
        &png_chunk(b"IHDR", &header)[..],
        before,
        &png_chunk(b"IDAT", data),
        &png_chunk(b"IEND", b""),
    ];
    parts.concat()
}

fn gif(width: u16, height: u16, frames: usize) -> Vec<u8> {
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let frame = b"\x21\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
    [b"GIF89a", &size[..], b"\x80\0\0\0\0\0\xff\xff\xff", &frame.repeat(frames), b";"].concat()
}

/// A JPEG with a segment after its first marker.
fn jpeg_with(marker: u8, data: &[u8], times: usize) -> Vec<u8> {
    let plain = photo(3);
    let segment = [&[0xff, marker], &((data.len() + 2) as u16).to_be_bytes()[..], data].concat();
    [&plain[..2], &segment.repeat(times), &plain[2..]].concat()
}

/// An EXIF block whose directory is its own child, and which turns the picture.
fn exif_of_itself() -> Vec<u8> {
    let entry = |tag: u16, kind: u16, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let entries = [entry(0x8769, 4, 8), entry(0x0112, 3, 6)].concat();
    [b"Exif\0\0II*\0\x08\0\0\0\x02\0", &entries[..], b"\x08\0\0\0"].concat()
}

/// A TIFF of one deflated strip.
fn tiff(width: u32, height: u32, next: u32, strip: &[u8]) -> Vec<u8> {
    let entries = [(256, width), (257, height), (258, 8), (259, 8), (262, 1), (273, 200), (277, 1), (278, height)];
    let mut bytes = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, value) in entries.into_iter().chain([(279_u16, strip.len() as u32)]) {
        bytes.extend(
            [&tag.to_le_bytes()[..], &4_u16.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes()].concat(),
        );
    }
    bytes.extend(next.to_le_bytes());
    bytes.resize(200, 0);
    [&bytes[..], strip].concat()
}

/// A progressive JPEG that repeats its last scan many times.
fn scans(times: usize) -> Vec<u8> {
    let whole = fixture("progressive.jpg");
    let last = whole.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let end = whole.len() - 2;
    [&whole[..end], &whole[last..end].repeat(times), &whole[end..]].concat()
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let pixels = |width: usize, height: usize| zeros(height * (width * 3 + 1));
    let small = zeros(10 * 31);
    let bmp = |width: i32, height: i32| {
        let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
        [b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", &size[..], b"\x01\0\x18\0", &[0; 24]].concat()
    };
    vec![
        ("png of 2^31 by 2^31", png((1 << 31) - 1, (1 << 31) - 1, b"", &small)),
        ("png over the cap on pixels", png(20_000, 20_000, b"", &small)),
        ("png of 36 million pixels in 110 kB", png(6_000, 6_000, b"", &pixels(6_000, 6_000))),
        ("png whose data go on for 100 MB", png(10, 10, b"", &zeros(100 << 20))),
        (
            "png with a profile of 100 MB",
            png(10, 10, &png_chunk(b"iCCP", &[b"p\0\0", &zeros(100 << 20)[..]].concat()), &small),
        ),
        (
            "png with texts of 20 x 20 MB",
            png(10, 10, &png_chunk(b"zTXt", &[b"t\0\0", &zeros(20 << 20)[..]].concat()).repeat(20), &small),
        ),
        ("png with 100,000 texts", png(10, 10, &png_chunk(b"tEXt", b"k\0v").repeat(100_000), &small)),
        ("gif of 65535 by 65535", gif(u16::MAX, u16::MAX, 1)),
        ("gif of 100,000 frames", gif(100, 100, 100_000)),
        ("bmp of 2^31 by 2^31", bmp(i32::MAX, i32::MAX)),
        ("bmp of negative height", bmp(10, i32::MIN)),
        ("bmp without data", bmp(6_000, 6_000)),
        ("tiff of 2^31 by 2^31", tiff(1 << 31, 1 << 31, 0, &small)),
        ("tiff of 36 million pixels in 35 kB", tiff(6_000, 6_000, 0, &zeros(36_000_000))),
        ("tiff whose strip goes on for 300 MB", tiff(100, 100, 0, &zeros(300 << 20))),
        ("tiff whose directory follows itself", tiff(10, 10, 8, &small)),
        ("webp of 16384 by 16384", [b"RIFF\x24\0\0\0WEBPVP8L\x18\0\0\0\x2f\xff\xff\xff\x0f", &[0; 19][..]].concat()),
        ("jpeg of 1,000 scans", scans(1_000)),
        ("jpeg with an EXIF directory in itself", jpeg_with(0xe1, &exif_of_itself(), 1)),
        ("jpeg with 250 EXIF blocks", jpeg_with(0xe1, &[b"Exif\0\0", &[0x41; 65_000][..]].concat(), 250)),
        ("jpeg with a comment of 16 MB", jpeg_with(0xfe, &[0x43; 65_000], 250)),
        (
            "jpeg with a profile in 255 parts",
            jpeg_with(0xe2, &[b"ICC_PROFILE\0\x01\xff", &[7; 60_000][..]].concat(), 255),
        ),
        ("jpeg with a zip behind it", [&photo(3)[..], b"PK\x03\x04", &[0; 1000]].concat()),
        ("gif that is a script", [b"GIF89a/*", &[0; 10][..], b"*/=alert(1)"].concat()),
        ("avif of 65536 by 65536", resized_to(&fixture("plain.avif"), *b"ispe", 4, 1 << 16)),
        ("avif of 2^31 items", resized_to(&fixture("plain.avif"), *b"iinf", 4, 1 << 31)),
        ("avif whose data lies beyond its end", resized_to(&fixture("plain.avif"), *b"iloc", 12, u32::MAX)),
        ("avif whose box is longer than the file", resized_to(&fixture("plain.avif"), *b"meta", -4, u32::MAX)),
        ("heic of 65536 by 65536", resized_to(&fixture("plain.heic"), *b"ispe", 4, 1 << 16)),
        ("heic whose data lies beyond its end", resized_to(&fixture("plain.heic"), *b"iloc", 12, u32::MAX)),
        ("heic whose box is empty", resized_to(&fixture("plain.heic"), *b"meta", -4, 8)),
        ("jxl of 2^30 by 2^30", [b"\xff\x0a", &[0xff; 200][..]].concat()),
        (
            "jxl whose container is longer than the file",
            [b"\0\0\0\x0cJXL \r\n\x87\n\xff\xff\xff\xffjxlc", &[0xff; 99][..]].concat(),
        ),
        ("pdf with a jpeg in it", [b"%PDF-1.4\n", &photo(3)[..]].concat()),
        ("page with a png in it", [b"<html>", &png(10, 10, b"", &small)[..]].concat()),
    ]
}

/// A file in which the four-byte number at a distance from the end of a box's name is replaced.
fn resized_to(file: &[u8], name: [u8; 4], distance: isize, number: u32) -> Vec<u8> {
    let name_at = file.windows(4).position(|window| window == name).unwrap();
    let at = if distance < 0 { name_at.strict_add_signed(distance) } else { name_at + 4 + distance.cast_unsigned() };
    [&file[..at], &number.to_be_bytes(), &file[at + 4..]].concat()
}

#[test]
fn a_bomb_of_any_format_gets_a_verdict_or_a_clear_refusal_and_hurts_nobody() {
    let app = TestApp::with("sscd-distilled", |config| config.decoder = apart(&touchstone(), 20));
    app.add_fake(&photo(1));
    let mut whole = bombs();
    for (format, name) in [
        (ImageFormat::Png, "cut png"),
        (ImageFormat::Gif, "cut gif"),
        (ImageFormat::Bmp, "cut bmp"),
        (ImageFormat::Tiff, "cut tiff"),
        (ImageFormat::WebP, "cut webp"),
        (ImageFormat::Jpeg, "cut jpeg"),
    ] {
        let picture = encode(&scene(3), format);
        whole.push((name, picture[..picture.len() / 2].to_owned()));
    }
    for (name, file) in [("cut avif", "plain.avif"), ("cut heic", "plain.heic"), ("cut jxl", "plain.jxl")] {
        let picture = fixture(file);
        whole.push((name, picture[..picture.len() / 2].to_owned()));
    }
    for (name, bytes) in &whole {
        let answer = app.post_form("/v1/checks", form(&[bytes], &[]));
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().unwrap();
        match status {
            413 | 415 => assert!(body["code"].as_str().unwrap().starts_with("photo-"), "{name}: {body}"),
            200 if name.starts_with("cut") => assert_eq!(body["verdict"], "undecidable", "{name}"),
            200 => {}
            other => panic!("{name}: {other} {body}"),
        }
        let answer = app.post_form("/v1/brands/acme/references", form(&[bytes], &[("polarity", "fake")]));
        assert!(matches!(answer.status().as_u16(), 201 | 200 | 413 | 415 | 422), "{name} as a reference");
    }
    assert_eq!(app.verdict(&photo(1)), "known_fake_match");
}

#[test]
fn what_is_decoded_apart_is_what_is_decoded_here() {
    let limits = Limits::default();
    let (apart, here) = (Decoder::new(&limits, &apart(&touchstone(), 20)), Decoder::here(&limits));
    let photos = [
        "cmyk.jpg",
        "ycck.jpg",
        "grey.jpg",
        "palette.png",
        "drawn.png",
        "animated.webp",
        "progressive.jpg",
        "clear.avif",
        "blank-first.avif",
        "clear.heic",
        "10-bit.heic",
        "clear.jxl",
    ];
    let mut files: Vec<Vec<u8>> = photos.iter().map(|name| fixture(name)).collect();
    files.extend([blank(), jpeg(&scene(9), 80), b"GIF89a".to_vec(), b"%PDF-1.7".to_vec(), Vec::new()]);
    files.extend(bombs().into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes.len() < 100_000));
    for (number, bytes) in files.iter().enumerate() {
        match (apart.decode(bytes), here.decode(bytes)) {
            (Ok(a), Ok(b)) => assert_eq!((a.rgb(), a.sha256(), a.format()), (b.rgb(), b.sha256(), b.format())),
            (a, b) => assert_eq!(a.err(), b.err(), "file {number}"),
        }
    }
}

/// A program that answers as a decoding process at first, and then does something else.
fn impostor(folder: &Path, does: &str) -> PathBuf {
    let path = folder.join("impostor");
    let ready = r"\001\000\000\000\000\000\000\000\000";
    std::fs::write(&path, format!("#!/bin/sh\nprintf '{ready}' >&0\n{does}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_photo_that_ends_or_holds_up_its_process_is_broken_and_no_process_is_nobodys_fault() {
    let folder = tempfile::TempDir::new().unwrap();
    let broken = |does: &str, seconds: u64| {
        let decoder = Decoder::new(&Limits::default(), &apart(&impostor(folder.path(), does), seconds));
        decoder.decode(&photo(1)).unwrap_err().to_string()
    };
    assert!(broken("/usr/bin/head -c 100 >/dev/null; exit 1", 20).contains("the decoder crashed or ran out of memory"));
    assert!(
        broken("/usr/bin/head -c 100 >/dev/null; kill -9 $$", 20).contains("the decoder crashed or ran out of memory")
    );
    assert!(broken("exec /bin/sleep 100", 1).contains("it took longer than 1 s"));
    for program in ["/bin/false", "/nowhere"] {
        let decoder = Decoder::new(&Limits::default(), &apart(Path::new(program), 20));
        assert_eq!(decoder.decode(&photo(1)).unwrap_err(), PhotoError::DecoderUnavailable, "{program}");
        // Files that their first bytes rule out need no process.
        assert!(matches!(decoder.decode(b"%PDF-1.7"), Err(PhotoError::UnsupportedType { .. })));
    }
}

#[test]
fn without_a_process_to_decode_a_check_fails_and_never_says_no_match() {
    let app = TestApp::with("sscd-distilled", |config| config.decoder = apart(Path::new("/nowhere"), 20));
    let answer = app.post_form("/v1/checks", form(&[&photo(1)], &[]));
    assert_eq!(answer.headers()["retry-after"], "5");
    crate::support::problem(answer, 503, "decoder-unavailable");
}

/// A decoder may lose a little memory with each photo, and a service decodes millions.
#[test]
fn a_decoding_process_is_replaced_after_so_many_photos() {
    let folder = tempfile::TempDir::new().unwrap();
    let (program, started) = (folder.path().join("decoder"), folder.path().join("started"));
    let script =
        format!("#!/bin/sh\necho >> '{}'\nexec '{}' \"$@\"\n", started.display(), env!("CARGO_BIN_EXE_touchstone"));
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = DecoderOptions { max_photos: 2, program: Some(program), ..DecoderOptions::default() };
    let decoder = Decoder::new(&Limits::default(), &options);
    for seed in 0..5 {
        decoder.decode(&photo(seed)).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&started).unwrap().lines().count(), 3);
}

#[test]
fn killed_decoding_processes_are_replaced_and_no_check_notices() {
    let folder = tempfile::TempDir::new().unwrap();
    let service = Service::start(folder.path(), &[]);
    let client = service.client();
    let send = |path: &str, fields: &[(&'static str, &str)]| {
        let answer =
            client.post(format!("{}{path}", service.url)).multipart(form(&[&photo(1)], fields)).send().unwrap();
        let status = answer.status();
        let body: serde_json::Value = answer.json().unwrap();
        assert!(status.is_success(), "{status} {body}");
        body
    };
    send("/v1/brands/acme/references", &[("polarity", "fake")]);
    for _ in 0..20 {
        for child in children(service.child.id()) {
            let pid = Pid::from_raw(child.cast_signed()).unwrap();
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        assert_eq!(send("/v1/checks", &[])["verdict"], "known_fake_match");
    }
    let left = children(service.child.id());
    assert!(!left.is_empty());
    for child in left {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        assert!(status.contains("Seccomp:\t2"), "system calls are filtered: {status}");
    }
}

#[test]
fn an_animation_is_judged_by_the_frame_in_view_and_never_allowed_while_others_are_unjudged() {
    let app = TestApp::with("sscd-distilled", |config| config.decoder = apart(&touchstone(), 20));
    let check =
        |bytes: &[u8]| -> serde_json::Value { app.post_form("/v1/checks", form(&[bytes], &[])).json().unwrap() };
    let two = fixture("two-pictures.gif");
    let unknown = check(&two);
    assert_eq!((&unknown["verdict"], &unknown["action"]), (&"undecidable".into(), &"review".into()));
    assert_eq!(unknown["reasons"][0]["code"], "frames-not-judged");
    assert_eq!(unknown["photos"][0]["frames"], 2);

    app.add_fake(&fixture("drawn.png"));
    for name in ["two-pictures.gif", "blank-first.gif", "blank-first.webp", "blank-first.png", "blank-first.avif"] {
        let known = check(&fixture(name));
        assert_eq!(known["action"], "review", "{name}: {known}");
        assert_eq!(known["photos"][0]["matches"][0]["polarity"], "fake", "{name}: {known}");
    }
}

#[test]
fn the_same_file_is_a_match_though_there_is_hardly_a_keypoint_in_it() {
    let app = TestApp::with("sscd-distilled", |config| config.decoder = apart(&touchstone(), 20));
    let soft = encode(&image::imageops::blur(&scene(11), 4.0), ImageFormat::Png);
    app.add_fake(&soft);
    assert_eq!(app.verdict(&soft), "known_fake_match");
}

/// The child processes of a process, from /proc.
fn children(of: u32) -> Vec<u32> {
    let parent = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok())
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|pid| parent(pid) == Some(of)).collect()
}
