#!/usr/bin/env python3
"""Trains the model touchstone-open to find edited copies, on a CPU.

    scripts/with-python-tools "numpy==2.2.6 onnx==1.18.0 protobuf==6.31.1 onnxruntime==1.32.0 pillow==11.3.0 torch==2.6.0" \\
        scripts/train_touchstone_open.py CHECKPOINT PHOTOS OUT [--steps 1000] [--minutes 40] [--seed 20]

CHECKPOINT is that of export_efficientnet_lite0.py. PHOTOS is a folder with a manifest.csv (columns path, sha256,
source_repo, licence) and the photos. Writes OUT/weights.npz, which export_touchstone_open.py reads, OUT/about.json and
OUT/log.jsonl. Training ends after --steps steps or --minutes minutes, whichever comes first. Set GOMP_SPINCOUNT=0 if
other programs need the processor too.

Method. A photo and its edited copy must be nearer to each other than to all other photos of the step: InfoNCE. Photos that an edit
mixes in do not count as wrong. As in SSCD (Pizzi et al. 2022, arXiv 2202.10261), an entropy term pushes each photo away from
its nearest neighbour. Batch norms are folded into the convolutions beforehand; the blocks 0 to 4 stay as they are. The projection
begins as the whitening that learn_whitening.py learnt. The first photos are small, the last ones larger. The exported
weights are a moving average. A tenth of the photos is held out.
"""

import argparse
import collections
import csv
import hashlib
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import copy_edits
import export_efficientnet_lite0 as lite0
import export_touchstone_open as export
import learn_whitening

try:
    import numpy as np
    import torch
    import torch.nn.functional as functional
    from PIL import Image, ImageOps
except ImportError as error:
    sys.exit(f"error: {error}; this script needs the Python packages numpy, onnx, pillow and torch")

LAST_BLOCK = export.LAST_BLOCK
# The blocks up to this one stay as they are: they cost most, and know edges and textures already.
FROZEN = 4
# Blocks whose depthwise outputs are pooled, and their channels.
TAPS = {7: 480, 10: 672}
# The projection begins as the whitening of the untrained layers, by learn_whitening.py, whose parts have these weights.
WHITENING = learn_whitening.WHITENING
PART_WEIGHTS = (0.7, 1.0)
CACHED_SIDE = 320
SMALL, LARGE, MODEL_SIDE = 160, 208, 224
# Share of the training with small photos, and of the time in which the learning rate rises or falls.
SMALL_UNTIL, WARM_UP, COOL_DOWN = 0.75, 0.05, 0.6
BATCH = 56
TEMPERATURE, ENTROPY = 0.05, 1.0
# The learning rate is this share of the root mean square of each tensor.
RATE, PROJECTION_RATE, DECAY = 6e-4, 2e-3, 1e-2
AVERAGE = 0.97
HELD_OUT = 10
NOTED = ("contrast", "entropy", "gradient")
VALIDATION_GALLERY, VALIDATION_EDITS = 1200, 2


class Convolution(torch.nn.Module):
    def __init__(self, weight, bias, stride, groups, relu6):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float32))
        self.bias = torch.nn.Parameter(torch.tensor(bias, dtype=torch.float32))
        self.stride, self.groups, self.relu6 = stride, groups, relu6

    def forward(self, x):
        kernel, size = self.weight.shape[2], x.shape[2]
        (before, _, after, _), _ = lite0.same_padding(size, kernel, self.stride)
        if before != after:
            x, before = functional.pad(x, (before, after, before, after)), 0
        x = functional.conv2d(x, self.weight, self.bias, self.stride, before, 1, self.groups)
        return functional.relu6(x) if self.relu6 else x


class Network(torch.nn.Module):
    """The blocks of EfficientNet-Lite0 up to the last tap, with pooling and a linear projection."""

    def __init__(self, checkpoint):
        super().__init__()
        folded = export.convolutions(checkpoint)
        self.layers, self.skips = torch.nn.ModuleDict(), {}
        for name, _, shape, stride, groups, relu6 in export.layers():
            block, _, kind = name.partition("-")
            self.layers[name] = Convolution(*folded[name], stride, groups, relu6)
            if kind == "expand":
                self.skips[block] = shape[1]
            elif kind == "depthwise" and stride > 1:
                self.skips.pop(block, None)
            elif kind == "project" and self.skips.get(block) != shape[0]:
                self.skips.pop(block, None)
        whitening, weights = np.load(WHITENING), np.repeat(PART_WEIGHTS, list(TAPS.values())).astype(np.float32)
        matrix = whitening["matrix"].astype(np.float32) * weights[:, None]
        self.mean = torch.nn.Parameter(torch.from_numpy(whitening["mean"] / weights))
        self.matrix = torch.nn.Parameter(torch.from_numpy(matrix / matrix.std()))

    def block(self, index, x):
        """The block's output, and that of its depthwise convolution."""
        y = self.layers[f"block{index}-expand"](x) if f"block{index}-expand" in self.layers else x
        wide = self.layers[f"block{index}-depthwise"](y)
        if index == LAST_BLOCK:
            return wide, wide
        y = self.layers[f"block{index}-project"](wide)
        return x + y if f"block{index}" in self.skips else y, wide

    def pooled(self, x):
        parts = []
        with torch.no_grad():
            x = self.layers["stem"](x)
            for index in range(FROZEN + 1):
                x, _ = self.block(index, x)
        for index in range(FROZEN + 1, LAST_BLOCK + 1):
            x, wide = self.block(index, x)
            if index in TAPS:
                parts.append(functional.normalize(((wide**export.EXPONENT).mean((2, 3)) + export.SMALL) ** (1 / export.EXPONENT)))
        return torch.cat(parts, 1)

    def learnable(self):
        """The tensors that learn, and whether each belongs to the projection."""
        for name, layer in self.layers.items():
            if name != "stem" and int(name.partition("-")[0][5:]) > FROZEN:
                yield from ((value, False) for value in layer.parameters())
        yield self.mean, True
        yield self.matrix, True

    def forward(self, x):
        return functional.normalize((self.pooled(x) - self.mean) @ self.matrix)


def images(arrays):
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    return ((stacked.float() - 127) / 128).contiguous(memory_format=torch.channels_last)


def scaled(photo, size):
    return np.asarray(photo.resize((size, size), Image.BILINEAR))


class Steps(torch.utils.data.Dataset):
    """The photos and edited copies of each step, made from the seed and the step's number."""

    def __init__(self, photos, seed, size):
        self.photos, self.seed, self.size = photos, seed, size
        self.epoch = len(photos) // BATCH

    def __len__(self):
        return 1_000_000

    def __getitem__(self, step):
        size = self.size.value
        order = np.random.default_rng([self.seed, 0, step // self.epoch]).permutation(len(self.photos))
        chosen = order[step % self.epoch * BATCH :][:BATCH]
        rng = np.random.default_rng([self.seed, 1, step])
        pictures, mixed = [scaled(self.photos[index], size) for index in chosen], []
        for index in chosen:
            others = [int(other) for other in rng.permutation(chosen) if other != index][:3]
            edit, used = copy_edits.edited(self.photos[index], rng, [self.photos[other] for other in others])
            pictures.append(scaled(edit, size))
            mixed.append([others[place] for place in used])
        return np.stack(pictures), torch.from_numpy(chosen), mixed


def load(folder, rows):
    photos = []
    for row in rows:
        data = folder / row["path"]
        if hashlib.sha256(data.read_bytes()).hexdigest() != row["sha256"]:
            raise OSError(f"{row['path']} does not have the SHA-256 that manifest.csv names")
        photo = ImageOps.exif_transpose(Image.open(data)).convert("RGB")
        photo.thumbnail((CACHED_SIDE, CACHED_SIDE), Image.BILINEAR)
        photos.append(photo)
    return photos


@torch.no_grad()
def embedded(network, arrays, part="forward"):
    run = getattr(network, part)
    return torch.cat([run(images(arrays[start : start + 32])) for start in range(0, len(arrays), 32)])


class Validation:
    """Edited copies of photos held out, among these and other photos."""

    def __init__(self, held_out, photos, seed):
        rng = np.random.default_rng([seed, 3])
        self.gallery = held_out + photos[: VALIDATION_GALLERY - len(held_out)]
        self.queries, self.truth = [], []
        for index, photo in enumerate(held_out):
            for _ in range(VALIDATION_EDITS):
                others = [photos[len(photos) - 1 - int(rng.integers(len(photos) // 2))] for _ in range(3)]
                self.queries.append(copy_edits.edited(photo, rng, others)[0])
                self.truth.append(index)

    def recall(self, network, size):
        gallery = embedded(network, [scaled(photo, size) for photo in self.gallery])
        similarity = embedded(network, [scaled(photo, size) for photo in self.queries]) @ gallery.T
        own = similarity[torch.arange(len(self.truth)), self.truth]
        ranks = (similarity > own[:, None]).sum(1)
        return {f"{name}_{size}": round(float((ranks < limit).float().mean()), 4) for name, limit in (("first", 1), ("of_eight", 8))}


def losses(network, pictures, chosen, mixed):
    vectors = network(images(pictures))
    both = torch.cat([chosen, chosen])
    similarity = vectors @ vectors.T
    same = both[:, None] == both[None, :]
    # An edit of a photo also shows the photos that were mixed in: they and their edits are no wrong answers.
    shown = same.clone()
    for row, others in enumerate(mixed, len(chosen)):
        for other in others:
            shown[row] |= both == other
    shown = shown | shown.T
    partner = torch.arange(len(both)).roll(len(chosen))
    wrong = similarity.masked_fill(shown, -1.0)
    logits = torch.cat([similarity[torch.arange(len(both)), partner][:, None], wrong], 1) / TEMPERATURE
    contrast = functional.cross_entropy(logits, torch.zeros(len(both), dtype=torch.long))
    entropy = -0.5 * torch.log((2 - 2 * wrong.max(1).values).clamp(min=1e-3)).mean()
    return contrast, entropy


def rate_at(progress):
    if progress < WARM_UP:
        return progress / WARM_UP
    return min(1.0, (1 - progress) / COOL_DOWN)


def save(network, path):
    np.savez(path, **{name.replace("layers.", "", 1): value.detach().numpy() for name, value in network.state_dict().items()})


def train(args):
    rows = sorted(csv.DictReader((args.photos / "manifest.csv").open(encoding="utf-8")), key=lambda row: row["path"])
    pictures = load(args.photos, rows)
    held_out, photos = pictures[::HELD_OUT], [photo for index, photo in enumerate(pictures) if index % HELD_OUT]
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    log = (args.out / "log.jsonl").open("w", encoding="utf-8")

    def note(**figures):
        log.write(json.dumps(figures) + "\n")
        log.flush()
        print(figures, flush=True)

    network = Network(args.checkpoint).to(memory_format=torch.channels_last)
    average = Network(args.checkpoint)
    average.load_state_dict(network.state_dict())
    average.to(memory_format=torch.channels_last)
    validation = Validation(held_out, photos, args.seed)
    groups = [{"params": [value], "top": (PROJECTION_RATE if last else RATE) * float(value.detach().square().mean().sqrt())}
              for value, last in network.learnable()]
    optimiser = torch.optim.AdamW(groups, weight_decay=DECAY, betas=(0.9, 0.99))
    size = torch.multiprocessing.get_context("fork").Value("i", SMALL)
    loader = torch.utils.data.DataLoader(
        Steps(photos, args.seed, size), batch_size=None, num_workers=args.workers, prefetch_factor=4, multiprocessing_context="fork")
    begun, sums, next_check = time.monotonic(), collections.deque(maxlen=25), 0.5
    for step, (batch, chosen, mixed) in enumerate(loader, 1):
        progress = max(step / args.steps, (time.monotonic() - begun) / 60 / args.minutes)
        if progress >= 1:
            break
        size.value = SMALL if progress < SMALL_UNTIL else LARGE
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * rate_at(progress)
        contrast, entropy = losses(network, batch.numpy(), chosen, mixed)
        optimiser.zero_grad()
        (contrast + ENTROPY * entropy).backward()
        gradient = torch.nn.utils.clip_grad_norm_([value for value, _ in network.learnable()], 100.0)
        optimiser.step()
        keep = min(AVERAGE, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), network.parameters()):
                mean.lerp_(value, 1 - keep)
        sums.append((contrast.item(), entropy.item(), gradient.item()))
        if step % 25 == 0:
            means = [round(sum(values) / len(values), 4) for values in zip(*sums)]
            note(step=step, minutes=round((time.monotonic() - begun) / 60, 2), size=batch.shape[1], **dict(zip(NOTED, means)))
        if progress > next_check:
            next_check += 1
            save(average, args.out / "weights.npz")
            note(step=step, **validation.recall(average, SMALL))
    minutes = (time.monotonic() - begun) / 60
    save(average, args.out / "weights.npz")
    figures = {name: value for side in (MODEL_SIDE,) for name, value in validation.recall(average, side).items()}
    note(step=step, **figures)
    sources = collections.Counter((row["source_repo"], row["licence"]) for row in rows)
    about = {
        "sha256": hashlib.sha256((args.out / "weights.npz").read_bytes()).hexdigest(),
        "photos": len(rows), "photos_sha256": hashlib.sha256("".join(f"{row['sha256']}\n" for row in rows).encode()).hexdigest(),
        "held_out": len(held_out), "seed": args.seed, "steps": step - 1, "minutes": round(minutes, 1), "validation": figures,
        "sources": [{"repository": name, "licence": licence, "photos": count} for (name, licence), count in sorted(sources.items())],
    }
    (args.out / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000, help="default: 1000")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end earlier, after so many minutes")
    parser.add_argument("--seed", type=int, default=20, help="default: 20")
    parser.add_argument("--workers", type=int, default=1, help="processes that edit photos (default: 1)")
    try:
        return train(parser.parse_args())
    except (OSError, lite0.BadCheckpoint) as error:
        return f"error: {error}"


if __name__ == "__main__":
    sys.exit(main())
