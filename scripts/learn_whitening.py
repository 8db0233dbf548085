#!/usr/bin/env python3
"""Learns a whitening of EfficientNet-Lite0's middle layers from photos and edited copies: where touchstone-open's training begins.

    scripts/with-python-tools "numpy==2.2.6 onnx==1.18.0 protobuf==6.31.1 onnxruntime==1.32.0 pillow==11.3.0" \\
        scripts/learn_whitening.py CHECKPOINT PHOTOS [--edits 5] [--seed 11]

PHOTOS is a folder with a manifest.csv (columns path, sha256, source_repo, licence) and the photos. Writes
models/whitening/touchstone-open.npz and .json, which names the photos' sources and licences. About two and a half
minutes on two cores. With the same photos, seed and package versions, it writes the same bytes on the same kind of processor.

Method (Mikolajczyk and Matas 2007; Radenovic et al. 2018, arXiv 1711.02512): directions in which a photo and its edited
copies differ are shrunk, by the inverse square root of the covariance of these differences; then the 512 directions in
which photos differ most are kept, and evened out a little.
"""

import argparse
import collections
import csv
import hashlib
import io
import json
import multiprocessing
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
# Says which packages are missing, if they are.
import export_efficientnet_lite0 as lite0

try:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper
    from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps
except ImportError as error:
    sys.exit(f"error: {error}; this script needs the Python packages numpy, onnx, onnxruntime and pillow")

WHITENING = Path(__file__).resolve().parent.parent / "models" / "whitening" / "touchstone-open.npz"
SIZE = lite0.IMAGE_SIZE
# The tensors that are pooled, and how much each counts: the deeper one finds more copies.
TAPS = [("block7.depthwise.relu6", 480, 0.7), ("block10.depthwise.relu6", 672, 1.0)]
EXPONENT = 3.0
DIMENSIONS = 512
# Share of the identity that is added to the covariance of differences, which a few thousand photos do not determine.
SHRINKAGE = 0.1
# How far the kept directions are evened out: 0 leaves their variances, 0.5 makes them equal.
EVENING = 0.25
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"


def colour(rng):
    return tuple(int(value) for value in rng.integers(0, 256, 3))


def crop(photo, rng):
    area, aspect = rng.uniform(0.3, 0.9), np.exp(rng.uniform(-0.3, 0.3))
    share = min(1, (area * aspect) ** 0.5)
    width, height = max(24, int(photo.width * share)), max(24, int(photo.height * min(1, area / share)))
    x = int(rng.integers(0, photo.width - width + 1)) if photo.width > width else 0
    y = int(rng.integers(0, photo.height - height + 1)) if photo.height > height else 0
    return photo.crop((x, y, x + width, y + height))


def mirror(photo, rng):
    return ImageOps.mirror(photo)


def compress(photo, rng):
    packed = io.BytesIO()
    photo.save(packed, "JPEG", quality=int(rng.integers(15, 70)))
    return Image.open(packed).convert("RGB")


def blur(photo, rng):
    return photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.003, 0.012) * max(photo.size)))


def tone(photo, rng):
    photo = ImageEnhance.Brightness(photo).enhance(rng.uniform(0.55, 1.5))
    photo = ImageEnhance.Contrast(photo).enhance(rng.uniform(0.6, 1.6))
    return ImageEnhance.Color(photo).enhance(rng.uniform(0, 1.8))


def tint(photo, rng):
    tinted = np.asarray(photo, np.float32) * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    return Image.fromarray(tinted.clip(0, 255).astype(np.uint8))


def grey(photo, rng):
    return ImageOps.grayscale(photo).convert("RGB")


def stickers(photo, rng):
    photo = photo.copy()
    draw = ImageDraw.Draw(photo)
    for _ in range(int(rng.integers(1, 6))):
        width, height = int(photo.width * rng.uniform(0.08, 0.3)), int(photo.height * rng.uniform(0.05, 0.25))
        x, y = int(rng.uniform(-0.1, 0.95) * photo.width), int(rng.uniform(-0.1, 0.95) * photo.height)
        kind, fill = int(rng.integers(3)), colour(rng)
        if kind == 0:
            draw.ellipse((x, y, x + width, y + height), fill=fill)
        elif kind == 1:
            draw.rectangle((x, y, x + width, y + height), fill=fill)
        else:
            draw.polygon([(x, y), (x + width, y + height // 3), (x + width // 3, y + height)], fill=fill)
    return photo


def text(photo, rng):
    layer = Image.new("RGBA", photo.size, (0, 0, 0, 0))
    draw, opacity, many = ImageDraw.Draw(layer), int(rng.integers(70, 256)), rng.random() < 0.4
    for _ in range(int(rng.integers(6, 20)) if many else int(rng.integers(1, 4))):
        words = "".join(LETTERS[index] for index in rng.integers(0, len(LETTERS), int(rng.integers(3, 14))))
        font = ImageFont.load_default(size=max(8, int(photo.width * rng.uniform(0.04, 0.13))))
        place = (rng.uniform(-0.1, 0.9) * photo.width, rng.uniform(-0.05, 0.95) * photo.height)
        draw.text(place, words, font=font, fill=(*colour(rng), opacity))
    if many:
        layer = layer.rotate(rng.uniform(-40, 40))
    return Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB")


def banner(photo, rng):
    height = int(photo.height * rng.uniform(0.08, 0.25))
    larger = Image.new("RGB", (photo.width, photo.height + height), colour(rng))
    larger.paste(photo, (0, height if rng.random() < 0.5 else 0))
    return text(larger, rng) if rng.random() < 0.5 else larger


def border(photo, rng):
    sides = tuple(int(max(photo.size) * share) for share in rng.uniform(0, 0.2, 4))
    return ImageOps.expand(photo, sides, fill=colour(rng))


def rotate(photo, rng):
    expand = bool(rng.random() < 0.5)
    return photo.rotate(rng.uniform(-18, 18), resample=Image.BICUBIC, expand=expand, fillcolor=colour(rng))


def tilt(photo, rng):
    width, height = photo.size
    jitter = rng.uniform(0, 0.16, 8)
    source = [(0, 0), (width, 0), (width, height), (0, height)]
    target = [(width * jitter[0], height * jitter[1]), (width * (1 - jitter[2]), height * jitter[3]),
              (width * (1 - jitter[4]), height * (1 - jitter[5])), (width * jitter[6], height * (1 - jitter[7]))]
    rows = []
    for (x, y), (u, v) in zip(target, source):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    found = np.linalg.solve(np.array(rows), np.array([value for point in source for value in point], float))
    return photo.transform((width, height), Image.PERSPECTIVE, list(found), Image.BICUBIC, fillcolor=colour(rng))


def paste(photo, rng, other):
    ground = ImageOps.fit(other, (int(rng.integers(260, 420)), int(rng.integers(260, 420))))
    width = int(ground.width * rng.uniform(0.4, 0.85))
    height = max(16, int(width * photo.height / photo.width))
    if height > ground.height:
        width, height = max(16, int(ground.height * photo.width / photo.height)), ground.height
    width = min(width, ground.width)
    place = int(rng.integers(0, ground.width - width + 1)), int(rng.integers(0, ground.height - height + 1))
    ground.paste(photo.resize((width, height)), place)
    return ground


def collage(photo, rng, other):
    columns, rows = [(2, 1), (1, 2), (2, 2)][int(rng.integers(3))]
    side, gap, own = 220, int(rng.integers(0, 10)), int(rng.integers(columns * rows))
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + gap) + gap), colour(rng))
    for cell in range(columns * rows):
        place = gap + cell % columns * (side + gap), gap + cell // columns * (side + gap)
        sheet.paste(ImageOps.fit(photo if cell == own else other, (side, side)), place)
    return sheet


def screenshot(photo, rng, other):
    width = 400
    screen = Image.new("RGB", (width, int(width * rng.uniform(1.5, 2.1))), "white" if rng.random() < 0.6 else (20, 20, 22))
    height = min(int(width * photo.height / photo.width), int(screen.height * 0.6))
    screen.paste(ImageOps.fit(photo, (width, height)), (0, int(screen.height * 0.1)))
    screen = text(screen, rng)
    screen.paste(ImageOps.fit(other, (110, 110)), (20, screen.height - 130))
    return screen


EDITS = [crop, mirror, compress, blur, tone, tint, grey, stickers, text, banner, border, rotate, tilt]
LAYOUTS = [(0.12, paste), (0.2, collage), (0.28, screenshot)]


def edited(photo, rng, other):
    """The photo after one to three edits, and, more than a quarter of the time, on another photo, in a collage or a screenshot."""
    count, lot = int(rng.integers(1, 4)), rng.random()
    for index in rng.permutation(len(EDITS))[:count]:
        photo = EDITS[index](photo, rng)
    layout = next((layout for limit, layout in LAYOUTS if lot < limit), None)
    if layout:
        photo = layout(photo, rng, other)
    return compress(photo, rng) if rng.random() < 0.3 else photo


def pooled(builder):
    """The nodes up to the last tap, and the pooled, normalised and weighted taps in one vector."""
    builder.network()
    names = [node.output[0] for node in builder.nodes]
    builder.nodes = builder.nodes[: names.index(TAPS[-1][0]) + 1]
    builder.constant("exponent", np.array(EXPONENT))
    builder.constant("inverse", np.array(1.0 / EXPONENT))
    parts = []
    for tap, _, weight in TAPS:
        name = tap.split(".")[0]
        powered = builder.node("Pow", [tap, "exponent"], f"{name}.power")
        mean = builder.node("GlobalAveragePool", [powered], f"{name}.mean")
        root = builder.node("Pow", [mean, "inverse"], f"{name}.root")
        flat = builder.node("Flatten", [root], f"{name}.flat", axis=1)
        unit = builder.node("LpNormalization", [flat], f"{name}.unit", axis=1, p=2)
        parts.append(builder.node("Mul", [unit, builder.constant(f"{name}.weight", np.array(weight))], f"{name}.part"))
    return builder.node("Concat", parts, "pooled", axis=1)


def build_pooled(checkpoint):
    """The pooled middle layers, from which the whitening is learnt."""
    builder = lite0.Builder(lite0.read_checkpoint(checkpoint))
    pooled(builder)
    used = {name for node in builder.nodes for name in node.input}
    graph = helper.make_graph(
        builder.nodes, "touchstone-open",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", sum(channels for _, channels, _ in TAPS)])],
        [constant for constant in builder.constants if constant.name in used],
    )
    return lite0.model_of(graph, {})


class Learner:
    """In each process: the model, and the photos by their place in the list."""

    def __init__(self, model, folder, photos, edits, seed):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options)
        self.folder, self.photos, self.edits, self.seed = folder, photos, edits, seed

    def load(self, index):
        path, expected = self.photos[index]
        data = (self.folder / path).read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise OSError(f"{path} does not have the SHA-256 that manifest.csv names")
        return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")

    def pooled(self, photo):
        pixels = np.asarray(photo.resize((SIZE, SIZE), Image.BILINEAR), np.float32)
        image = np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1)[None])
        return self.session.run(None, {"image": image})[0][0]

    def learn_from(self, index):
        photo = self.load(index)
        rows = [self.pooled(photo)]
        for number in range(self.edits):
            rng = np.random.default_rng([index, number, self.seed])
            other = self.load(int(rng.integers(len(self.photos))))
            rows.append(self.pooled(edited(photo, rng, other)))
        return np.stack(rows)


learner = None


def start(*arguments):
    global learner
    learner = Learner(*arguments)


def learn_from(index):
    return learner.learn_from(index)


def whitening(rows):
    """Mean and matrix from [photos, 1 + edits, dimensions]; the photo itself comes first."""
    originals = rows[:, 0].astype(np.float64)
    mean = originals.mean(0)
    differences = (rows[:, 1:] - rows[:, :1]).reshape(-1, rows.shape[-1]).astype(np.float64)
    within = differences.T @ differences / len(differences)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    shrink = (vectors * values**-0.5) @ vectors.T
    variances, directions = np.linalg.eigh(np.cov(((originals - mean) @ shrink).T))
    kept = np.argsort(-variances)[:DIMENSIONS]
    matrix = shrink @ (directions[:, kept] * variances[kept] ** -EVENING)
    # An eigenvector's sign is arbitrary, and a factor of all changes no embedding.
    matrix *= np.sign(matrix[np.abs(matrix).argmax(0), np.arange(matrix.shape[1])])
    return mean.astype(np.float32), (matrix / np.abs(matrix).max()).astype(np.float16)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--edits", type=int, default=5, help="edited copies of each photo, at least 1 (default: 5)")
    parser.add_argument("--seed", type=int, default=11, help="of the edits (default: 11)")
    args = parser.parse_args()
    try:
        return learn(args)
    except (OSError, lite0.BadCheckpoint) as error:
        return f"error: {error}"


def learn(args):
    rows = sorted(csv.DictReader((args.photos / "manifest.csv").open(encoding="utf-8")), key=lambda row: row["path"])
    if args.edits < 1 or len(rows) <= DIMENSIONS:
        return f"error: {len(rows)} photos with {args.edits} edits, expected more than {DIMENSIONS} with at least one"
    model = build_pooled(args.checkpoint).SerializeToString(deterministic=True)
    arguments = (model, args.photos, [(row["path"], row["sha256"]) for row in rows], args.edits, args.seed)
    with multiprocessing.Pool(initializer=start, initargs=arguments) as pool:
        learnt = np.stack(pool.map(learn_from, range(len(rows)), chunksize=8))
    mean, matrix = whitening(learnt)
    WHITENING.parent.mkdir(exist_ok=True)
    np.savez(WHITENING, mean=mean, matrix=matrix)
    sources = collections.Counter((row["source_repo"], row["licence"]) for row in rows)
    digest = hashlib.sha256("".join(f"{row['sha256']}\n" for row in rows).encode()).hexdigest()
    about = {
        "sha256": hashlib.sha256(WHITENING.read_bytes()).hexdigest(),
        "photos": len(rows), "photos_sha256": digest, "edits": args.edits, "seed": args.seed,
        "sources": [{"repository": name, "licence": licence, "photos": count} for (name, licence), count in sorted(sources.items())],
    }
    WHITENING.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    print(json.dumps(about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
