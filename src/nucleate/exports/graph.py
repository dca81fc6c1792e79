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
from nucleate.errors import ArchitectureError
from nucleate.network import Network
from nucleate.problems import Column, Preprocessing
from nucleate.reduction.layers import Affine, layers_of

NUMBERS, TEXTS = "numbers", "texts"
_ML = "ai.onnx.ml"
_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8
_TIMED_CALLS = 30
_FEW_WEIGHTS, _FAR = 512, 1e6
"""Up to so many first weights on numbers one product in double costs less than standardising the rows before it; it is
exact enough where no column's mean exceeds so many of its standard deviations."""


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, outputs: Sequence[str] = (), domain: str = "", **attributes: Any) -> str:
        """A node; returns the name of its first output."""
        outputs = outputs or [f"{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

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
    """An ONNX file's bytes, in float32 but where raw numbers come in and the target's own units go out.

    Its inputs are ``numbers`` (rows, k) in double and ``texts`` (rows, j), of the raw columns that the metadata name in
    that order (either may be missing; truth values are the texts "True" and "False"); its outputs ``prediction`` for
    regression, ``label`` and ``probabilities`` for classification.

    Raises
    ------
    ArchitectureError
        For an activation that has no ONNX form here.
    """
    if not has_onnx_form(network.activation):
        raise ArchitectureError(
            f"The activation {network.activation.name!r} has no ONNX form here; export to a .safetensors file instead."
        )
    graph = _Graph()
    numeric, texts = _read(preprocessing, "numeric"), _read(preprocessing, "categorical")
    first, *between, last = layers_of(network)
    activate = _ACTIVATIONS[network.activation.name]
    signal = activate(graph, _first(graph, first, preprocessing))
    for layer in between:
        signal = activate(graph, _gemm(graph, signal, layer, np.float32))
    outputs = _answers(graph, signal, last, preprocessing)
    inputs = [
        helper.make_tensor_value_info(name, kind, ["rows", len(columns)])
        for name, kind, columns in ((NUMBERS, TensorProto.DOUBLE, numeric), (TEXTS, TensorProto.STRING, texts))
        if columns
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "nucleate", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_ML, _ML_OPSET)],
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
            # Row by row in memory: columns would be copied in every call.
            feeds[NUMBERS] = np.ascontiguousarray(numbers.cast(pl.Float64).to_numpy())
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
        width = _width(column)
        part, at = x[:, at : at + width], at + width
        if column.kind == "numeric":
            table[column.name] = part[:, 0] * column.std + column.mean
        elif column.kind == "categorical":
            known = [str(category) for category in column.categories]
            table[column.name] = [known[row.argmax()] if row.any() else "" for row in part]
    return pl.DataFrame(table)


def _read(preprocessing: Preprocessing, kind: str) -> list[Column]:
    return [column for column in preprocessing.inputs if column.kind == kind]


def _width(column: Column) -> int:
    """How many of the network's inputs a column becomes."""
    return {"numeric": 1, "categorical": len(column.categories), "constant": 0}[column.kind]


def _places(preprocessing: Preprocessing) -> tuple[list[int], list[int]]:
    """Which of the network's inputs are numbers, and which the categories of texts."""
    places: dict[str, list[int]] = {"numeric": [], "categorical": []}
    at = 0
    for column in preprocessing.inputs:
        if column.kind != "constant":
            places[column.kind] += range(at, at + _width(column))
        at += _width(column)
    return places["numeric"], places["categorical"]


def _gemm(graph: _Graph, signal: str, layer: Affine, dtype: type[np.floating[Any]], outputs: Sequence[str] = ()) -> str:
    biases = [graph.constant(layer.bias.astype(dtype))] if layer.bias.any() else []
    return graph.add("Gemm", signal, graph.constant(layer.weights.astype(dtype)), *biases, transB=1, outputs=outputs)


def _first(graph: _Graph, layer: Affine, preprocessing: Preprocessing) -> str:
    """What enters the first hidden layer, for raw rows."""
    numbers, categories = _places(preprocessing)
    bias, parts = layer.bias, []
    if numbers:
        parts.append(_of_numbers(graph, Affine(layer.weights[:, numbers], bias), _read(preprocessing, "numeric")))
        bias = np.zeros_like(bias)
    if categories:
        encoded = _encoded(graph, _read(preprocessing, "categorical"))
        parts.append(_gemm(graph, encoded, Affine(layer.weights[:, categories], bias), np.float32))
    return graph.add("Add", *parts) if len(parts) == 2 else parts[0]


def _of_numbers(graph: _Graph, layer: Affine, columns: Sequence[Column]) -> str:
    mean, std = (np.array([getattr(column, name) for column in columns]) for name in ("mean", "std"))
    if layer.weights.size <= _FEW_WEIGHTS and (np.abs(mean) <= _FAR * std).all():
        weights = layer.weights / std
        folded = Affine(weights, layer.bias - weights @ mean)
        return graph.add("Cast", _gemm(graph, NUMBERS, folded, np.float64), to=TensorProto.FLOAT)
    scaled = graph.add("Div", graph.add("Sub", NUMBERS, graph.constant(mean)), graph.constant(std))
    return _gemm(graph, graph.add("Cast", scaled, to=TensorProto.FLOAT), layer, np.float32)


def _encoded(graph: _Graph, texts: Sequence[Column]) -> str:
    parts = []
    for place, column in enumerate(texts):
        cells = graph.add("Gather", TEXTS, graph.constant(np.array(place)), axis=1)
        categories = [str(category) for category in column.categories]
        # A category that training did not have becomes all zeros.
        parts.append(graph.add("OneHotEncoder", cells, domain=_ML, cats_strings=categories, zeros=1))
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _answers(graph: _Graph, signal: str, layer: Affine, preprocessing: Preprocessing) -> list[onnx.ValueInfoProto]:
    targets = preprocessing.targets
    if preprocessing.task == "regression":
        mean, std = (np.array([getattr(column, name) for column in targets]) for name in ("mean", "std"))
        in_units = Affine(layer.weights * std[:, None], layer.bias * std + mean)
        wide = graph.add("Cast", signal, to=TensorProto.DOUBLE)
        _gemm(graph, wide, in_units, np.float64, ["prediction"])
        return [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["rows", len(targets)])]
    labels = np.array(targets[0].categories)
    texts = labels.dtype.kind == "U"
    kind = TensorProto.STRING if texts else helper.np_dtype_to_tensor_dtype(labels.dtype)
    known = {"classlabels_strings": labels.tolist()} if texts else {"classlabels_ints": list(range(len(labels)))}
    likeliest = graph.add(
        "LinearClassifier",
        signal,
        outputs=["label" if texts else "likeliest", "probabilities"],
        domain=_ML,
        coefficients=layer.weights.ravel().tolist(),
        intercepts=layer.bias.tolist(),
        post_transform="SOFTMAX",
        **known,
    )
    if not texts:
        graph.add("Gather", graph.constant(labels), likeliest, outputs=["label"])
    return [
        helper.make_tensor_value_info("label", kind, ["rows"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(labels)]),
    ]
