"""A network as an ONNX graph that takes raw rows and answers in the target's own terms."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper

from nucleate.activations import Activation
from nucleate.errors import NetworkError
from nucleate.network import Network
from nucleate.problems import Column, Preprocessing

NUMBERS, TEXTS = "numbers", "texts"
_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8
_TIMED_CALLS = 30


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """A node; returns the name of its output."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))


def _silu(graph: _Graph, z: str) -> str:
    return graph.add("Mul", z, graph.add("Sigmoid", z))


def _gelu(graph: _Graph, z: str) -> str:
    error = graph.add("Erf", graph.add("Mul", z, graph.number(0.5**0.5)))
    return graph.add("Mul", graph.add("Mul", z, graph.number(0.5)), graph.add("Add", error, graph.number(1.0)))


def _sigmoid_shifted(graph: _Graph, z: str) -> str:
    return graph.add("Mul", graph.add("Tanh", graph.add("Mul", z, graph.number(0.5))), graph.number(0.5))


_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "linear": lambda graph, z: z,
    "tanh": lambda graph, z: graph.add("Tanh", z),
    "relu": lambda graph, z: graph.add("Relu", z),
    "leaky_relu": lambda graph, z: graph.add("LeakyRelu", z, alpha=0.01),
    "xtanh": lambda graph, z: graph.add("Mul", z, graph.add("Tanh", z)),
    "sigmoid_shifted": _sigmoid_shifted,
    "softplus_shifted": lambda graph, z: graph.add("Sub", graph.add("Softplus", z), graph.number(np.log(2.0))),
    "gelu": _gelu,
    "silu": _silu,
}


def has_onnx_form(activation: Activation) -> bool:
    """Whether networks with this activation can be exported to ONNX."""
    return activation.name in _ACTIVATIONS


def onnx_bytes(network: Network, preprocessing: Preprocessing, metadata: Mapping[str, str]) -> bytes:
    """An ONNX file's bytes, in float32 but for the standardisation.

    Its inputs are ``numbers`` (rows, k) in double and ``texts`` (rows, j), of the raw columns that the metadata name in
    that order (either may be missing; truth values are the texts "True" and "False"); its outputs ``prediction`` for
    regression, ``label`` and ``probabilities`` for classification.

    Raises
    ------
    NetworkError
        For an activation that has no ONNX form here.
    """
    if not has_onnx_form(network.activation):
        raise NetworkError(
            f"The activation {network.activation.name!r} has no ONNX form here; export to a .safetensors file instead."
        )
    graph = _Graph()
    numeric, texts = _read(preprocessing, "numeric"), _read(preprocessing, "categorical")
    signal = _encoded(graph, numeric, texts)
    for layer, (weights, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        matrix = np.asarray(weights, np.float32)
        if layer == 0:
            matrix = matrix[:, _encoded_order(preprocessing)]
        biases = [] if bias is None else [graph.constant(np.asarray(bias, np.float32))]
        signal = graph.add("Gemm", signal, graph.constant(matrix), *biases, transB=1)
        if layer < network.depth - 1:
            signal = _ACTIVATIONS[network.activation.name](graph, signal)
    outputs = _answers(graph, signal, preprocessing)
    inputs = [
        helper.make_tensor_value_info(name, kind, ["rows", len(columns)])
        for name, kind, columns in ((NUMBERS, TensorProto.DOUBLE, numeric), (TEXTS, TensorProto.STRING, texts))
        if columns
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "nucleate", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
        ir_version=_IR_VERSION,
        producer_name="nucleate",
    )
    named = {NUMBERS: json.dumps([c.name for c in numeric]), TEXTS: json.dumps([c.name for c in texts])}
    helper.set_model_props(model, {**metadata, **named})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


class Session:
    """An ONNX file run by onnxruntime on one thread."""

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        known: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return known

    def __call__(self, rows: pl.DataFrame) -> dict[str, np.ndarray]:
        """The graph's outputs for raw rows, by name."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, self.feeds(rows)), strict=True))

    def feeds(self, rows: pl.DataFrame) -> dict[str, np.ndarray]:
        """Raw rows as the graph's inputs."""
        numbers, texts = (rows.select(json.loads(self.metadata[name])) for name in (NUMBERS, TEXTS))
        feeds: dict[str, np.ndarray] = {}
        if numbers.width:
            feeds[NUMBERS] = numbers.cast(pl.Float64).to_numpy()
        if texts.width:
            feeds[TEXTS] = np.array([[str(value) for value in row] for row in texts.iter_rows()], object)
        return feeds

    def seconds(self, rows: pl.DataFrame) -> float:
        """The median time of a call on these rows."""
        feeds, times = self.feeds(rows), []
        for _ in range(_TIMED_CALLS + 3):
            started = time.perf_counter()
            self._session.run(None, feeds)
            times.append(time.perf_counter() - started)
        return float(np.median(times[3:]))


def raw_rows(preprocessing: Preprocessing, x: Float[np.ndarray, "n d"]) -> pl.DataFrame:
    """Raw rows that encode to ``x``, without the constant columns; a category that training did not have is ""."""
    table: dict[str, Any] = {}
    at = 0
    for column in preprocessing.inputs:
        width = {"numeric": 1, "categorical": len(column.categories), "constant": 0}[column.kind]
        part, at = x[:, at : at + width], at + width
        if column.kind == "numeric":
            table[column.name] = part[:, 0] * column.std + column.mean
        elif column.kind == "categorical":
            known = [str(category) for category in column.categories]
            table[column.name] = [known[row.argmax()] if row.any() else "" for row in part]
    return pl.DataFrame(table)


def _read(preprocessing: Preprocessing, kind: str) -> list[Column]:
    return [column for column in preprocessing.inputs if column.kind == kind]


def _encoded_order(preprocessing: Preprocessing) -> list[int]:
    """The network's inputs in the order of the graph: numbers first, then the categories of each text column."""
    numbers: list[int] = []
    categories: list[int] = []
    at = 0
    for column in preprocessing.inputs:
        if column.kind == "numeric":
            numbers.append(at)
            at += 1
        elif column.kind == "categorical":
            categories += range(at, at + len(column.categories))
            at += len(column.categories)
    return numbers + categories


def _encoded(graph: _Graph, numeric: Sequence[Column], texts: Sequence[Column]) -> str:
    parts = []
    if numeric:
        centred = graph.add("Sub", NUMBERS, graph.constant(np.array([column.mean for column in numeric])))
        scaled = graph.add("Div", centred, graph.constant(np.array([column.std for column in numeric])))
        parts.append(graph.add("Cast", scaled, to=TensorProto.FLOAT))
    for place, column in enumerate(texts):
        cells = graph.add("Gather", TEXTS, graph.constant(np.array(place)), axis=1)
        categories = [str(category) for category in column.categories]
        # A category that training did not have becomes all zeros.
        parts.append(graph.add("OneHotEncoder", cells, domain="ai.onnx.ml", cats_strings=categories, zeros=1))
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _answers(graph: _Graph, signal: str, preprocessing: Preprocessing) -> list[onnx.ValueInfoProto]:
    targets = preprocessing.targets
    if preprocessing.task == "regression":
        wide = graph.add("Cast", signal, to=TensorProto.DOUBLE)
        scaled = graph.add("Mul", wide, graph.constant(np.array([column.std for column in targets])))
        level = graph.constant(np.array([column.mean for column in targets]))
        graph.add("Add", scaled, level, output="prediction")
        return [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["rows", len(targets)])]
    labels = np.array(targets[0].categories)
    texts = labels.dtype.kind == "U"
    kind = TensorProto.STRING if texts else helper.np_dtype_to_tensor_dtype(labels.dtype)
    graph.add("Softmax", signal, output="probabilities", axis=1)
    likeliest = graph.add("ArgMax", signal, axis=1, keepdims=0)
    graph.add("Gather", graph.constant(labels.astype(object) if texts else labels), likeliest, output="label")
    return [
        helper.make_tensor_value_info("label", kind, ["rows"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(labels)]),
    ]
