//! AVIF: `zenavif-parse` parses the container, `rav1d` decodes AV1.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage, RgbaImage, imageops};
use re_rav1d::dav1d::pixel::YUVRange;
use re_rav1d::dav1d::{Decoder, Picture, PixelLayout, PlanarImageComponent as Component, Settings};
use yuv::{YuvGrayImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};
use zenavif_parse::{AV1Metadata, AvifParser, CleanAperture, ColorInformation, DecodeConfig, FrameRef, Unstoppable};

use super::animation::rest_of;
use super::colour::{CodePoints, ToSrgb, icc_profile};
use super::decode::{Decoded, check_size, ends_in_zeros};
use super::{Format, Limits, PhotoError, Pixels};

/// Bytes of memory per pixel during decoding: planes of up to 16 bits, their 8-bit copies, RGB and alpha.
const BYTES_PER_PIXEL: u64 = 13;
/// Largest number of tiles in a grid.
const MOST_TILES: u32 = 256;

/// Decodes the primary image, or the frame of a sequence that is shown longest.
///
/// The container states how an image is cropped, rotated and mirrored. EXIF orientation is ignored, as in browsers.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, PhotoError> {
    let config = DecodeConfig::default()
        .with_peak_memory_limit(limits.max_memory)
        .with_max_grid_tiles(MOST_TILES)
        // Browsers also accept files without some properties that the format requires.
        .lenient(true);
    let bytes = with_a_major_brand_of_avif(bytes);
    let file = AvifParser::from_bytes_with_config(&bytes, &config, &Unstoppable).map_err(broken)?;
    let selects = file.layer_selector().is_some_and(|layer| layer.layer_id != u16::MAX)
        || file.operating_point().is_some_and(|point| point.op_index > 0);
    if selects {
        return Err(broken("images that select one of their layers are not supported"));
    }
    let mut av1 = Av1::new(&file, limits)?;
    let mut stored = if file.major_brand() == b"avis" && file.animation_info().is_some() {
        let frames = file.frames().map(|frame| av1.frame(&frame.map_err(broken)?));
        // A sequence without a number of repeats runs for ever.
        rest_of(frames, file.animation_info().is_some_and(|info| info.loop_count > 0), limits)?
            .ok_or_else(|| broken("the sequence has no frame"))?
    } else {
        let picture = av1.still()?;
        av1.colours_to_srgb().picture(picture, file.premultiplied_alpha())
    };
    stored.damaged = av1.damaged;
    if let Some([left, top, width, height]) =
        file.clean_aperture().and_then(|crop| window(crop, stored.rgb.dimensions()))
    {
        for rgb in [&mut stored.rgb].into_iter().chain(&mut stored.on_black) {
            *rgb = imageops::crop_imm(rgb, left, top, width, height).to_image();
        }
    }
    Ok(Decoded { stored, orientation: orientation(&file) })
}

/// The parser requires this major brand. Browsers and the format accept a compatible one.
fn with_a_major_brand_of_avif(file: &[u8]) -> Cow<'_, [u8]> {
    match file.get(8..12) {
        None | Some(b"avif" | b"avis") => Cow::Borrowed(file),
        Some(_) => Cow::Owned([&file[..8], b"avif", &file[12..]].concat()),
    }
}

fn broken(reason: impl Display) -> PhotoError {
    PhotoError::broken(Format::Avif, reason)
}

/// Decodes the AV1 images of one file. Images of a sequence can depend on earlier ones.
struct Av1<'f> {
    file: &'f AvifParser<'f>,
    limits: &'f Limits,
    colour: Stream,
    alpha: Stream,
    /// Colour description of the container, else of the first image.
    colours: Option<CodePoints>,
    to_srgb: Option<ToSrgb>,
    /// Whether a coded image ends in zeros.
    damaged: bool,
}

impl<'f> Av1<'f> {
    fn new(file: &'f AvifParser<'f>, limits: &'f Limits) -> Result<Self, PhotoError> {
        let colours = match file.color_info() {
            Some(&ColorInformation::Nclx {
                color_primaries,
                transfer_characteristics,
                matrix_coefficients,
                full_range,
            }) => Some(CodePoints::of(color_primaries, transfer_characteristics, matrix_coefficients, full_range)),
            Some(ColorInformation::IccProfile(_)) | None => None,
        };
        let (colour, alpha) = (Stream::new(limits)?, Stream::new(limits)?);
        Ok(Self { file, limits, colour, alpha, colours, to_srgb: None, damaged: false })
    }

    /// The primary image.
    fn still(&mut self) -> Result<DynamicImage, PhotoError> {
        if self.file.grid_config().is_some() {
            return self.grid();
        }
        let colour = self.file.primary_data().map_err(broken)?;
        let alpha = self.file.alpha_data().transpose().map_err(broken)?;
        self.composed(&colour, alpha.as_deref())
    }

    fn frame(&mut self, frame: &FrameRef<'_>) -> Result<(Pixels, Duration), PhotoError> {
        let picture = self.composed(&frame.data, frame.alpha_data.as_deref())?;
        let premultiplied = self.file.premultiplied_alpha();
        let pixels = self.colours_to_srgb().picture(picture, premultiplied);
        Ok((pixels, Duration::from_millis(frame.duration_ms.into())))
    }

    fn composed(&mut self, colour: &[u8], alpha: Option<&[u8]>) -> Result<DynamicImage, PhotoError> {
        let rgb = self.colour(colour)?;
        let Some(alpha) = alpha else { return Ok(DynamicImage::ImageRgb8(rgb)) };
        self.damaged |= ends_in_zeros(alpha);
        let alpha = self.alpha.picture(alpha, self.limits)?;
        let alpha = levels(&alpha, range(alpha.color_range() == YUVRange::Full))?;
        if alpha.dimensions() != rgb.dimensions() {
            return Err(broken("its alpha image and its colour image differ in size"));
        }
        let rgba = RgbaImage::from_fn(rgb.width(), rgb.height(), |x, y| {
            let [r, g, b] = rgb.get_pixel(x, y).0;
            image::Rgba([r, g, b, alpha.get_pixel(x, y).0[0]])
        });
        Ok(DynamicImage::ImageRgba8(rgba))
    }

    /// Call this after an image has been decoded, because the image may supply the colour description.
    fn colours_to_srgb(&mut self) -> &ToSrgb {
        self.to_srgb.get_or_insert_with(|| {
            let profile = match self.file.color_info() {
                Some(ColorInformation::IccProfile(icc)) => icc_profile(icc),
                _ => self.colours.and_then(CodePoints::profile),
            };
            ToSrgb::from(profile.as_ref())
        })
    }

    /// The tiles of a grid side by side. Tiles of the last row and column may extend beyond the edge.
    fn grid(&mut self) -> Result<DynamicImage, PhotoError> {
        if self.file.alpha_data().is_some() {
            return Err(broken("grids with transparency are not supported"));
        }
        // The parser infers the layout from sizes; the item itself states it.
        let grid = Grid::of(&self.file.primary_data().map_err(broken)?).ok_or_else(|| broken("its grid is damaged"))?;
        let tiles = grid.columns * grid.rows;
        if u32::try_from(self.file.grid_tile_count()).ok() != Some(tiles) {
            return Err(broken("its grid does not have the stated number of tiles"));
        }
        check(grid.width, grid.height, self.limits)?;
        let mut whole = RgbImage::new(grid.width, grid.height);
        for (place, at) in (0..tiles).zip(0..) {
            let tile = self.colour(&self.file.tile_data(at).map_err(broken)?)?;
            let (width, height) = tile.dimensions();
            if !grid.is_covered_by(width, height) {
                return Err(broken("the tiles of its grid do not fit its size"));
            }
            let (x, y) = (place % grid.columns * width, place / grid.columns * height);
            imageops::replace(&mut whole, &tile, x.into(), y.into());
        }
        Ok(DynamicImage::ImageRgb8(whole))
    }

    fn colour(&mut self, data: &[u8]) -> Result<RgbImage, PhotoError> {
        self.damaged |= ends_in_zeros(data);
        let picture = self.colour.picture(data, self.limits)?;
        let colours = *self.colours.get_or_insert_with(|| coded(&picture));
        to_rgb(&picture, colours)
    }
}

/// The layout of a grid (ISO/IEC 23008-12, 6.6.2.3).
struct Grid {
    columns: u32,
    rows: u32,
    width: u32,
    height: u32,
}

impl Grid {
    /// Reads a grid item: version, flags (1: sizes of 32 bits), rows and columns minus one, width and height.
    fn of(item: &[u8]) -> Option<Self> {
        let (&[0, flags, rows, columns], sizes) = item.split_first_chunk::<4>()? else { return None };
        let (width, height) = sizes.split_at(sizes.len() / 2);
        let size = |bytes: &[u8]| match flags & 1 {
            0 => bytes.try_into().ok().map(|bytes| u16::from_be_bytes(bytes).into()),
            _ => bytes.try_into().ok().map(u32::from_be_bytes),
        };
        let (width, height) = (size(width)?, size(height)?);
        Some(Self { columns: u32::from(columns) + 1, rows: u32::from(rows) + 1, width, height })
    }

    /// Whether tiles of one size cover the whole grid, with each row and column visible.
    fn is_covered_by(&self, width: u32, height: u32) -> bool {
        let fits = |whole: u32, tile: u32, count: u32| {
            let (whole, tile, count) = (u64::from(whole), u64::from(tile), u64::from(count));
            tile * count >= whole && tile * (count - 1) < whole
        };
        fits(self.width, width, self.columns) && fits(self.height, height, self.rows)
    }
}

struct Stream {
    decoder: Decoder,
    begun: bool,
}

impl Stream {
    fn new(limits: &Limits) -> Result<Self, PhotoError> {
        let mut settings = Settings::new();
        // A decoding process cannot start threads.
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        // Browsers show the last spatial layer, not the first.
        settings.set_all_layers(false);
        settings.set_frame_size_limit(u32::try_from(limits.max_pixels).unwrap_or(u32::MAX));
        Ok(Self { decoder: Decoder::with_settings(&settings).map_err(broken)?, begun: false })
    }

    /// Decodes one image. The sequence header states its size, which is checked before decoding.
    fn picture(&mut self, data: &[u8], limits: &Limits) -> Result<Picture, PhotoError> {
        match AV1Metadata::parse_av1_bitstream(data) {
            Ok(stated) => check(stated.max_frame_width.get(), stated.max_frame_height.get(), limits)?,
            Err(error) if !self.begun => return Err(broken(error)),
            Err(_) => {}
        }
        self.begun = true;
        let mut sent = self.decoder.send_data(data.to_vec(), None, None, None);
        loop {
            match self.decoder.get_picture() {
                // A leftover image would be returned in place of the next frame.
                Ok(_) if self.decoder.get_picture().is_ok() => return Err(broken("a frame has several images")),
                Ok(picture) => return Ok(picture),
                Err(error) if error.is_again() && sent.is_err_and(|error| error.is_again()) => {
                    sent = self.decoder.send_pending_data();
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

fn check(width: u32, height: u32, limits: &Limits) -> Result<(), PhotoError> {
    check_size(width, height, u64::from(width) * u64::from(height) * BYTES_PER_PIXEL, limits)
}

/// The colour description of an AV1 sequence header. The decoder's types have the numbers of ITU-T H.273.
fn coded(picture: &Picture) -> CodePoints {
    CodePoints {
        primaries: picture.color_primaries() as u8,
        transfer: picture.transfer_characteristic() as u8,
        matrix: picture.matrix_coefficients() as u8,
        full_range: picture.color_range() == YUVRange::Full,
    }
}

fn range(full: bool) -> YuvRange {
    if full { YuvRange::Full } else { YuvRange::Limited }
}

/// A plane in 8 bits: its samples, and the number of samples per row.
fn plane(picture: &Picture, component: Component) -> Result<(Vec<u8>, u32), PhotoError> {
    let bytes = picture.plane(component);
    let stride = picture.stride(component);
    let bits = picture.bits_per_component().map_or(8, |bits| bits.0);
    if bits == 8 {
        return Ok((bytes.to_vec(), stride));
    }
    let (shift, half) = (bits - 8, 1_u16 << (bits - 9));
    let (samples, []) = bytes.as_chunks::<2>() else { return Err(broken("a plane ends within a sample")) };
    let eight =
        |sample: &[u8; 2]| u8::try_from(u16::from_ne_bytes(*sample).saturating_add(half) >> shift).unwrap_or(u8::MAX);
    Ok((samples.iter().map(eight).collect(), stride / 2))
}

/// The luma plane of an image, scaled to full range.
fn levels(picture: &Picture, range: YuvRange) -> Result<GrayImage, PhotoError> {
    let (width, height) = (picture.width(), picture.height());
    let (samples, stride) = plane(picture, Component::Y)?;
    let full = |sample: u8| match range {
        YuvRange::Full => sample,
        YuvRange::Limited => {
            let above = u32::from(sample.clamp(16, 235) - 16);
            u8::try_from((above * 255 + 109) / 219).unwrap_or(u8::MAX)
        }
    };
    let rows = samples.chunks(stride as usize).take(height as usize);
    let levels = rows.flat_map(|row| row.iter().take(width as usize)).map(|&sample| full(sample)).collect();
    GrayImage::from_raw(width, height, levels).ok_or_else(|| broken("a plane is too short"))
}

fn to_rgb(picture: &Picture, colours: CodePoints) -> Result<RgbImage, PhotoError> {
    let (width, height) = (picture.width(), picture.height());
    let range = range(colours.full_range);
    let layout = picture.pixel_layout();
    let (y_plane, y_stride) = plane(picture, Component::Y)?;
    let mut rgb = RgbImage::new(width, height);
    let row = width * 3;
    // Monochrome is the same in any matrix.
    let matrix = match colours.matrix {
        1 => Some(YuvStandardMatrix::Bt709),
        4 => Some(YuvStandardMatrix::Fcc),
        // Unspecified is BT.601, as in libavif.
        2 | 5 | 6 => Some(YuvStandardMatrix::Bt601),
        7 => Some(YuvStandardMatrix::Smpte240),
        9 => Some(YuvStandardMatrix::Bt2020),
        _ => None,
    };
    if layout == PixelLayout::I400 {
        let grey = YuvGrayImage { y_plane: &y_plane, y_stride, width, height };
        yuv::yuv400_to_rgb(&grey, &mut rgb, row, range, YuvStandardMatrix::Bt601).map_err(broken)?;
        return Ok(rgb);
    }
    let (u_plane, u_stride) = plane(picture, Component::U)?;
    let (v_plane, v_stride) = plane(picture, Component::V)?;
    let planes = YuvPlanarImage {
        y_plane: &y_plane,
        y_stride,
        u_plane: &u_plane,
        u_stride,
        v_plane: &v_plane,
        v_stride,
        width,
        height,
    };
    let unread =
        || broken(format!("matrix coefficients {} are not supported with this chroma sampling", colours.matrix));
    let converted = match (colours.matrix, layout, matrix) {
        (0, PixelLayout::I444, _) => yuv::gbr_to_rgb(&planes, &mut rgb, row, range),
        (8, PixelLayout::I444, _) => yuv::ycgco444_to_rgb(&planes, &mut rgb, row, range),
        (8, PixelLayout::I422, _) => yuv::ycgco422_to_rgb(&planes, &mut rgb, row, range),
        (8, PixelLayout::I420, _) => yuv::ycgco420_to_rgb(&planes, &mut rgb, row, range),
        (_, PixelLayout::I444, Some(matrix)) => yuv::yuv444_to_rgb(&planes, &mut rgb, row, range, matrix),
        (_, PixelLayout::I422, Some(matrix)) => yuv::yuv422_to_rgb(&planes, &mut rgb, row, range, matrix),
        (_, PixelLayout::I420, Some(matrix)) => yuv::yuv420_to_rgb(&planes, &mut rgb, row, range, matrix),
        _ => return Err(unread()),
    };
    converted.map_err(broken)?;
    Ok(rgb)
}

/// The combined effect of a file's `irot` (anticlockwise) followed by its `imir`. Axis 0 swaps top and bottom, axis 1
/// left and right (ISO/IEC 23008-12, 6.5.12).
fn orientation(file: &AvifParser<'_>) -> Orientation {
    let angle = file.rotation().map_or(0, |rotation| rotation.angle);
    match (file.mirror().map(|mirror| mirror.axis), angle) {
        (None, 90) => Orientation::Rotate270,
        (None, 180) => Orientation::Rotate180,
        (None, 270) => Orientation::Rotate90,
        (None, _) => Orientation::NoTransforms,
        (Some(0), 90) | (Some(1), 270) => Orientation::Rotate90FlipH,
        (Some(0), 270) | (Some(_), 90) => Orientation::Rotate270FlipH,
        (Some(0), 180) => Orientation::FlipHorizontal,
        (Some(0), _) | (Some(_), 180) => Orientation::FlipVertical,
        (Some(_), _) => Orientation::FlipHorizontal,
    }
}

/// Left, top, width and height of a clean aperture (ISO/IEC 14496-12, 12.1.4) that is on whole pixels within an image
/// of that size and begins at its top left corner. Any other is ignored, as in Chromium.
fn window(crop: &CleanAperture, (wide, high): (u32, u32)) -> Option<[u32; 4]> {
    let side = |length: u32, part: (u32, u32), offset: (i32, u32)| {
        let whole = |numerator: i64, denominator: u32| {
            let denominator = i64::from(denominator);
            (denominator > 0 && numerator % denominator == 0).then(|| numerator / denominator)
        };
        let kept = whole(i64::from(part.0), part.1)?;
        // The middle of the window is offset from that of the image, perhaps by a half, so all numbers are doubled.
        let doubled = i64::from(length) - kept + whole(2 * i64::from(offset.0), offset.1)?;
        let start = (doubled % 2 == 0).then_some(doubled / 2)?;
        let within = kept > 0 && start >= 0 && start + kept <= i64::from(length);
        within.then(|| Some((u32::try_from(start).ok()?, u32::try_from(kept).ok()?)))?
    };
    let (left, width) = side(wide, (crop.width_n, crop.width_d), (crop.horiz_off_n, crop.horiz_off_d))?;
    let (top, height) = side(high, (crop.height_n, crop.height_d), (crop.vert_off_n, crop.vert_off_d))?;
    (left == 0 && top == 0).then_some([left, top, width, height])
}
