"""Edited copies of photos, to learn from: those of learn_whitening.py, and harsher ones. Needs numpy and pillow."""

import learn_whitening as mild

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps


def moire(photo, rng):
    pixels = np.asarray(photo, np.float32)
    rows, columns = np.mgrid[: photo.height, : photo.width].astype(np.float32)
    first, second, slant = rng.uniform(1.2, 2.6), rng.uniform(1.2, 2.6), rng.uniform(0, 0.3)
    waves = np.sin(columns * first + rows * slant) * np.sin(rows * second - columns * slant)
    pixels = pixels * (0.88 + rng.uniform(0.06, 0.2) * waves)[..., None] + 10
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1)))


def dark(photo, rng):
    return ImageEnhance.Brightness(photo).enhance(rng.uniform(0.1, 0.45))


def fog(photo, rng):
    return Image.blend(photo, Image.new("RGB", photo.size, (int(rng.integers(120, 256)),) * 3), rng.uniform(0.4, 0.87))


def fade(photo, rng):
    return ImageEnhance.Contrast(photo).enhance(rng.uniform(0.2, 0.6))


def hue(photo, rng):
    channels = photo.convert("HSV").split()
    turned = channels[0].point(lambda value, by=int(rng.integers(256)): (value + by) % 256)
    return Image.merge("HSV", (turned, *channels[1:])).convert("RGB")


def sharpen(photo, rng):
    return photo.filter(ImageFilter.UnsharpMask(radius=2, percent=int(rng.integers(120, 400)), threshold=0))


def motion(photo, rng):
    line = [0] * 10 + [1] * 5 + [0] * 10 if rng.random() < 0.5 else [0, 0, 1, 0, 0] * 5
    return photo.filter(ImageFilter.Kernel((5, 5), line, 5))


def thumbnail(photo, rng):
    return ImageOps.contain(photo, (int(rng.integers(56, 140)),) * 2)


def grid(photo, rng):
    photo, step = photo.copy(), int(rng.integers(8, 40))
    draw, fill, width = ImageDraw.Draw(photo), mild.colour(rng) if rng.random() < 0.5 else (255, 255, 255), int(rng.integers(1, 3))
    for x in range(0, photo.width, step):
        draw.line((x, 0, x, photo.height), fill=fill, width=width)
    for y in range(0, photo.height, step):
        draw.line((0, y, photo.width, y), fill=fill, width=width)
    return photo


def many_stickers(photo, rng):
    photo = photo.copy()
    draw, scale = ImageDraw.Draw(photo), max(photo.size) / 600
    for _ in range(int(rng.integers(8, 42))):
        x, y, radius = rng.uniform(0, photo.width), rng.uniform(0, photo.height), rng.uniform(20, 60) * scale
        box = (x - radius, y - radius, x + radius, y + radius)
        (draw.ellipse if rng.random() < 0.7 else draw.rectangle)(box, fill=mild.colour(rng))
    return photo


def text_lines(photo, rng):
    photo, size = photo.copy(), max(9, int(photo.height * rng.uniform(0.04, 0.09)))
    draw, fill, font = ImageDraw.Draw(photo), mild.colour(rng), mild.ImageFont.load_default(size=size)
    for y in range(int(rng.integers(size)), photo.height, int(size * rng.uniform(1.6, 3))):
        words = "".join(mild.LETTERS[index] for index in rng.integers(0, len(mild.LETTERS), 24))
        draw.text((rng.uniform(-0.1, 0.1) * photo.width, y), words, font=font, fill=fill)
    return photo


def strips(photo, rng):
    count, gap = int(rng.integers(3, 9)), int(rng.uniform(0.01, 0.05) * photo.height) + 1
    height = max(1, photo.height // count)
    sheet = Image.new("RGB", (photo.width, photo.height + count * gap), "white" if rng.random() < 0.5 else mild.colour(rng))
    for index in range(count):
        sheet.paste(photo.crop((0, index * height, photo.width, (index + 1) * height)), (0, index * (height + gap)))
    return sheet


def tight_crop(photo, rng):
    area, aspect = rng.uniform(0.2, 0.5), np.exp(rng.uniform(-0.3, 0.3))
    share = min(1, (area * aspect) ** 0.5)
    width, height = max(24, int(photo.width * share)), max(24, int(photo.height * min(1, area / share)))
    x, y = int(rng.uniform(0, max(1, photo.width - width))), int(rng.uniform(0, max(1, photo.height - height)))
    return photo.crop((x, y, x + width, y + height))


def tilted_crop(photo, rng):
    return tight_crop(mild.tilt(photo, rng), rng)


def on_blur(photo, rng):
    width = int(rng.integers(200, 340))
    ground = ImageOps.fit(photo, (width, int(width * rng.uniform(1, 1.8)))).filter(ImageFilter.GaussianBlur(rng.uniform(4, 12)))
    laid = ImageOps.contain(photo, (int(ground.width * rng.uniform(0.6, 1)), ground.height))
    ground.paste(laid, ((ground.width - laid.width) // 2, (ground.height - laid.height) // 2))
    return ground


def outline(size, rng):
    mask, share = Image.new("L", size, 0), rng.uniform(0.6, 0.95)
    x, y = size[0] * rng.uniform(0.45, 0.55), size[1] * rng.uniform(0.45, 0.55)
    width, height = size[0] * share / 2, size[1] * min(0.98, share * rng.uniform(0.9, 1.15)) / 2
    draw = ImageDraw.Draw(mask)
    (draw.ellipse if rng.random() < 0.7 else draw.rectangle)((x - width, y - height, x + width, y + height), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(1))


def cut_out(photo, rng):
    ground = Image.new("RGB", photo.size, "white" if rng.random() < 0.6 else mild.colour(rng))
    if rng.random() < 0.3:
        ground = photo.filter(ImageFilter.GaussianBlur(8))
    ground.paste(photo, (0, 0), outline(photo.size, rng))
    return ground


def cut_out_on_other(photo, rng, others):
    ground = ImageOps.fit(others[0], photo.size)
    ground.paste(photo, (0, 0), outline(photo.size, rng))
    return ground, [0]


def blend(photo, rng, others):
    return Image.blend(photo, ImageOps.fit(others[0], photo.size), rng.uniform(0.2, 0.48)), [0]


def small_on_other(photo, rng, others):
    ground = ImageOps.fit(others[0], (int(rng.integers(240, 340)), int(rng.integers(200, 360))))
    laid = ImageOps.contain(photo, (int(ground.width * rng.uniform(0.3, 0.7)), int(ground.height * 0.95)))
    mask = Image.new("L", laid.size, 255)
    if rng.random() < 0.4:
        angle = rng.uniform(-14, 14)
        laid, mask = laid.rotate(angle, expand=True, resample=Image.BILINEAR), mask.rotate(angle, expand=True)
    x, y = int(rng.integers(0, max(1, ground.width - laid.width))), int(rng.integers(0, max(1, ground.height - laid.height)))
    ground.paste(laid, (x, y), mask)
    return ground, [0]


def sheet(photo, rng, others):
    cells = [(2, 1), (1, 2), (3, 1), (1, 3), (2, 2)][int(rng.integers(5))]
    side, gap, own, used = int(rng.integers(90, 170)), int(rng.integers(0, 8)), int(rng.integers(cells[0] * cells[1])), []
    ground = Image.new("RGB", (cells[0] * (side + gap) + gap, cells[1] * (side + gap) + gap), mild.colour(rng))
    for cell in range(cells[0] * cells[1]):
        if cell != own:
            used.append(len(used) % len(others))
        picture = photo if cell == own else others[used[-1]]
        place = gap + cell % cells[0] * (side + gap), gap + cell // cells[0] * (side + gap)
        ground.paste(ImageOps.fit(picture, (side, side)), place)
    return ground, sorted(set(used))


def screen(photo, rng, others):
    width = int(rng.integers(200, 300))
    ground = Image.new("RGB", (width, int(width * rng.uniform(1.4, 2.2))), "white" if rng.random() < 0.6 else (20, 20, 22))
    margin = int(width * rng.uniform(0, 0.06))
    height = min(int((width - 2 * margin) * photo.height / photo.width), int(ground.height * 0.55))
    draw, top = ImageDraw.Draw(ground), int(ground.height * rng.uniform(0.03, 0.14))
    draw.rectangle((0, top // 2, width, top), fill=mild.colour(rng))
    ground.paste(ImageOps.fit(photo, (width - 2 * margin, height)), (margin, top))
    font, below = mild.ImageFont.load_default(size=max(9, width // 16)), top + height + 6
    for line in range(3):
        words = "".join(mild.LETTERS[index] for index in rng.integers(0, len(mild.LETTERS), 16))
        draw.text((width * 0.05, below + line * width * 0.09), words, font=font, fill=mild.colour(rng))
    draw.rectangle((width * 0.05, below + width * 0.3, width * 0.95, below + width * 0.4), fill=mild.colour(rng))
    side, used = int(width * 0.28), []
    for place, other in enumerate(others):
        if rng.random() < 0.7 and below + width * 0.43 + side < ground.height:
            ground.paste(ImageOps.fit(other, (side, side)), (int(width * (0.05 + 0.31 * place)), int(below + width * 0.43)))
            used.append(place)
    return ground, used


HARSH = [moire, dark, fog, fade, hue, sharpen, motion, thumbnail, grid, many_stickers, text_lines, strips, tight_crop, tilted_crop,
         tilted_crop, on_blur, cut_out]
LAYOUTS = [(0.14, small_on_other), (0.28, sheet), (0.36, screen), (0.41, cut_out_on_other), (0.46, blend)]


def edited(photo, rng, others):
    """The photo after one to three edits and, nearly half of the time, together with others; and which others it shows."""
    edits = mild.EDITS + HARSH
    lot, count = rng.random(), int(rng.choice([0, 1, 2, 3], p=[0.08, 0.42, 0.32, 0.18]))
    layout, used = next((layout for limit, layout in LAYOUTS if lot < limit), None), []
    for index in rng.permutation(len(edits))[: count if layout else max(1, count)]:
        photo = edits[index](photo, rng)
        if max(photo.size) > 420:
            photo.thumbnail((420, 420), Image.BILINEAR)
    if layout:
        photo, used = layout(photo, rng, others)
    return (mild.compress(photo, rng) if rng.random() < 0.3 else photo), used
