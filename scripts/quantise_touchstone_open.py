#!/usr/bin/env python3
"""Finds the 8-bit scales of the trained model touchstone-open, and stores what its export needs.

    scripts/with-python-tools "numpy==2.2.6 onnx==1.18.0 protobuf==6.31.1 onnxruntime==1.32.0 pillow==11.3.0" \\
        scripts/quantise_touchstone_open.py CHECKPOINT PHOTOS TRAINED [--ranges average]

PHOTOS is the folder of train_touchstone_open.py, TRAINED what it wrote. Writes models/open/touchstone-open.npz and .json. The
scales come from photos and edited copies that training saw; the agreement with the exact model is measured on those that
it did not see. About a minute.

--ranges says which values a tensor's 8 bits must hold: `all` that were seen; `average`, from the average photo's least to its
greatest; or `most`, all but one in ten thousand.
"""

import argparse
import csv
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import copy_edits
import export_touchstone_open as export

try:
    import numpy as np
    import onnxruntime
    from PIL import Image
except ImportError as error:
    sys.exit(f"error: {error}; this script needs the Python packages numpy, onnx, onnxruntime and pillow")

# As train_touchstone_open.py holds photos out.
HELD_OUT = 10
PHOTOS, SEED = 100, 5
RANGES = ("all", "average", "most")


def learnt_from(checkpoint, trained):
    """What training changed, in 16 bits, and the projection. A factor of the matrix changes no embedding."""
    learnt = {}
    for name, parts in export.convolutions(checkpoint).items():
        for kind, untrained in zip(("weight", "bias"), parts):
            learnt[f"{name}.{kind}"] = (trained[f"{name}.{kind}"].astype(np.float64) - untrained).astype(np.float16)
    matrix = trained["matrix"]
    learnt["mean"] = trained["mean"].astype(np.float32)
    learnt["matrix"] = (matrix / np.abs(matrix).max()).astype(np.float16)
    return learnt


def pictures(folder, rows, rng):
    """Each photo, and an edited copy of it."""
    photos = [Image.open(folder / row["path"]).convert("RGB") for row in rows]
    for place, photo in enumerate(photos):
        others = [photos[int(rng.integers(len(photos)))] for _ in range(3)]
        for picture in (photo, copy_edits.edited(photo, rng, others)[0]):
            yield np.asarray(picture.resize((export.SIZE, export.SIZE), Image.BILINEAR))[None]


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def ranges(checkpoint, learnt, images):
    """For each tensor that is quantised: its least, low, high and greatest value in each image."""
    names = [name for name, *_ in export.layers()]
    plain = export.build_exact(checkpoint, learnt)
    names += [node.output[0] for node in plain.graph.node if node.output[0].endswith("-add")]
    exact = session(export.build_exact(checkpoint, learnt, outputs=names))
    seen = {name: [] for name in names}
    for image in images:
        for name, values in zip(names, exact.run(names, {"image": image})):
            tail = values.size // 10_000
            parted = np.partition(values.ravel(), (tail, values.size - 1 - tail))
            seen[name].append((parted.min(), parted[tail], parted[-1 - tail], parted.max()))
    return {name: np.array(rows) for name, rows in seen.items()}


def scales_of(seen, kind):
    scales = {}
    for name, rows in seen.items():
        if kind == "all":
            low, high = rows[:, 0].min(), rows[:, 3].max()
        elif kind == "average":
            low, high = rows[:, 0].mean(), rows[:, 3].mean()
        else:
            low, high = rows[:, 1].min(), rows[:, 2].max()
        low, high = min(0.0, float(low)), max(1e-3, float(high))
        scale = np.float32((high - low) / 255)
        scales[name] = scale, int(np.clip(np.rint(-low / scale), 0, 255))
    return scales


def agreement(checkpoint, learnt, scales, images):
    exact, quantised = session(export.build_exact(checkpoint, learnt)), session(export.build_quantised(checkpoint, learnt, scales))
    cosines = [float((exact.run(None, {"image": image})[0] * quantised.run(None, {"image": image})[0]).sum()) for image in images]
    return {"mean": round(float(np.mean(cosines)), 4), "least": round(min(cosines), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos", type=Path)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--ranges", choices=RANGES, default="average", help="default: average")
    args = parser.parse_args()
    rows = sorted(csv.DictReader((args.photos / "manifest.csv").open(encoding="utf-8")), key=lambda row: row["path"])
    rng = np.random.default_rng(SEED)
    seen_rows = [row for place, row in enumerate(rows) if place % HELD_OUT]
    chosen = [seen_rows[place] for place in rng.permutation(len(seen_rows))[:PHOTOS]]
    learnt = learnt_from(args.checkpoint, np.load(args.trained / "weights.npz"))
    seen = ranges(args.checkpoint, learnt, pictures(args.photos, chosen, rng))
    unseen = list(pictures(args.photos, rows[::HELD_OUT][:PHOTOS], rng))
    agreements = {kind: agreement(args.checkpoint, learnt, scales_of(seen, kind), unseen) for kind in RANGES}
    print(json.dumps(agreements), flush=True)
    scales = scales_of(seen, args.ranges)
    learnt |= {"scaled": np.array(list(scales)), "scales": np.array([scale for scale, _ in scales.values()], np.float32),
               "zeros": np.array([zero for _, zero in scales.values()], np.uint8)}
    export.LEARNT.parent.mkdir(exist_ok=True)
    np.savez(export.LEARNT, **learnt)
    about = json.loads((args.trained / "about.json").read_text()) | {
        "trained_sha256": hashlib.sha256((args.trained / "weights.npz").read_bytes()).hexdigest(),
        "sha256": hashlib.sha256(export.LEARNT.read_bytes()).hexdigest(),
        "ranges": args.ranges, "cosine_with_exact_model": agreements,
    }
    export.LEARNT.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
