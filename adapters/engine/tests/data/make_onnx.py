#!/usr/bin/env python3
"""Makes the tiny ONNX models beside this file and what the reference implementation answers with them.

    python3 -m venv /tmp/make && /tmp/make/bin/pip install onnx onnxruntime numpy
    /tmp/make/bin/python make_onnx.py

The weights are random under a fixed seed; the answers are those of onnxruntime on the CPU.
"""

import json
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
ROWS = 5
RANDOM = numpy.random.default_rng(20)

FLOAT, WHOLE = TensorProto.FLOAT, TensorProto.INT64


def weight(name, *shape):
    values = RANDOM.normal(0, 0.7, shape).astype(numpy.float32)
    return numpy_helper.from_array(values, name)


def value(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(name, nodes, inputs, outputs, weights=(), domains=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, producer_name="make_onnx", opset_imports=opsets, ir_version=8)


def mlp():
    """Two layers, probabilities, and which of them is the largest."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h1"]),
        helper.make_node("Relu", ["h1"], ["h2"]),
        helper.make_node("Gemm", ["h2", "w2", "b2"], ["h3"]),
        helper.make_node("Softmax", ["h3"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    weights = [weight("w1", 4, 8), weight("b1", 8), weight("w2", 8, 3), weight("b2", 3)]
    outputs = [value("probabilities", FLOAT, "N", 3), value("label", WHOLE, "N")]
    return model("mlp", nodes, [value("x", FLOAT, "N", 4)], outputs, weights)


def conv():
    """Images of three colours to five scores; how many at once is open."""
    nodes = [
        helper.make_node("Conv", ["images", "k", "b"], ["c1"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["c2"]),
        helper.make_node("MaxPool", ["c2"], ["c3"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["c3"], ["c4"], axis=1),
        helper.make_node("Gemm", ["c4", "w"], ["scores"]),
    ]
    weights = [weight("k", 4, 3, 3, 3), weight("b", 4), weight("w", 4 * 4 * 4, 5)]
    images = value("images", FLOAT, "batch", 3, 8, 8)
    return model("conv", nodes, [images], [value("scores", FLOAT, "batch", 5)], weights)


def fixed():
    """Two inputs, one of whole numbers, and one row at a time: nothing is open."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["found"], axis=0),
        helper.make_node("Flatten", ["found"], ["flat"], axis=1),
        helper.make_node("Concat", ["flat", "y"], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "w"], ["out"]),
    ]
    inputs = [value("ids", WHOLE, 1, 2), value("y", FLOAT, 1, 3)]
    weights = [weight("table", 6, 2), weight("w", 7, 2)]
    return model("fixed", nodes, inputs, [value("out", FLOAT, 1, 2)], weights)


def log():
    """Nothing that can be written down for numbers below 0."""
    node = helper.make_node("Log", ["x"], ["y"])
    return model("log", [node], [value("x", FLOAT, "N", 1)], [value("y", FLOAT, "N", 1)])


def loose():
    """More is left open than how many rows there are."""
    node = helper.make_node("Relu", ["x"], ["y"])
    shape = ("N", "length")
    return model("loose", [node], [value("x", FLOAT, *shape)], [value("y", FLOAT, *shape)])


def unknown():
    """An operator that belongs to nobody's standard."""
    node = helper.make_node("Blur", ["x"], ["y"], name="first", domain="shop.example")
    inputs, outputs = [value("x", FLOAT, "N", 4)], [value("y", FLOAT, "N", 4)]
    return model("unknown", [node], inputs, outputs, domains=["shop.example"])


def dangling():
    """An output that nothing makes."""
    node = helper.make_node("Relu", ["x"], ["y"])
    return model("dangling", [node], [value("x", FLOAT, "N", 4)], [value("z", FLOAT, "N", 4)])


def numbers(shape, kind):
    if kind == WHOLE:
        return RANDOM.integers(0, 6, shape).astype(numpy.int64)
    return RANDOM.normal(0, 1, shape).astype(numpy.float32)


def case(made):
    """Rows, and what comes of each, as flat lists."""
    session = onnxruntime.InferenceSession(made.SerializeToString())
    names = [output.name for output in made.graph.output]
    rows, answers = [], {name: [] for name in names}
    for _ in range(ROWS):
        feed = {}
        for given in made.graph.input:
            kind = given.type.tensor_type
            shape = [dim.dim_value or 1 for dim in kind.shape.dim]
            feed[given.name] = numbers(shape, kind.elem_type)
        rows.append([float(one) for values in feed.values() for one in values.flatten()])
        for name, answer in zip(names, session.run(names, feed), strict=True):
            answers[name].append([float(one) for one in answer.flatten()])
    return {"rows": rows, "outputs": [{"name": name, "rows": answers[name]} for name in names]}


def main():
    cases = {}
    for make in (mlp, conv, fixed, log, loose, unknown, dangling):
        made = make()
        (HERE / f"{make.__name__}.onnx").write_bytes(made.SerializeToString())
        if make in (mlp, conv, fixed):
            onnx.checker.check_model(made, full_check=True)
            cases[make.__name__] = case(made)
    (HERE / "onnx.json").write_text(json.dumps(cases) + "\n")


main()
