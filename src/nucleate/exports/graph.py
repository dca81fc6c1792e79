"""A network as an ONNX graph that takes raw rows and answers in the target's own terms."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import polars as pl
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper

from nucleate._files import CHECKSUM, mark, seal
from nucleate._wording import say_error
from nucleate.errors import ArchitectureError
from nucleate.network import Network
from nucleate.problems import IDENTITY, SOFTMAX, Column, Loss, Preprocessing
from nucleate.tables.cells import MISSING
from nucleate.tables.spellings import spellings

NUMBERS, TEXTS = "numbers", "texts"
_ML = "ai.onnx.ml"
_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8
_TEXT_OPSET, _TEXT_IR_VERSION = 20, 9
"""The first that match texts with patterns."""
_SPACES = r"[\x{9}-\x{d}\x{85}\pZ]*"
"""What the reader strips."""
_FEW_WEIGHTS, _FAR = 512, 1e6
"""Up to so many first weights on numbers one product in double costs less than standardizing the rows before it; it is
exact enough where no column's mean exceeds so many of its standard deviations."""


@dataclass(frozen=True)
class _Graph:
    """Nodes and constants in the order in which they are added; numbers have the graph's dtype."""

    dtype: type[np.floating[Any]] = np.float32
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    @property
    def in_double(self) -> "_Graph":
        """The same graph, to which numbers are added in double precision."""
        return replace(self, dtype=np.float64)

    def add(self, kind: str, *inputs: str, outputs: Sequence[str] = (), domain: str = "", **attributes: Any) -> str:
        """A node; returns the name of its first output."""
        outputs = outputs or [f"{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(self, value: Any) -> str:
        """A constant as it is; returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def number(self, value: Any) -> str:
        """A number, or an array of them; returns its name."""
        return self.constant(np.asarray(value, self.dtype))

    def affine(self, signal: str, layer: "_Affine", outputs: Sequence[str] = ()) -> str:
        """``W h + b`` for each row; returns its name."""
        weights, bias = layer
        biases = [self.number(bias)] if bias.any() else []
        return self.add("Gemm", signal, self.number(weights), *biases, transB=1, outputs=outputs)


_Affine = tuple[Float[np.ndarray, "fan_out fan_in"], Float[np.ndarray, " fan_out"]]


def has_onnx_form(network: Network, loss: Loss) -> bool:
    """Whether a network trained with this loss can be an ONNX file: its activation and the loss's link have a form."""
    return network.activation.onnx is not None and (loss.link == SOFTMAX or loss.link.onnx is not None)


def say_forms(network: Network, loss: Loss) -> str:
    """The definitions whose ONNX forms a graph is made of, for a sentence: those of one's own, if there are any."""
    own = [] if network.activation.is_built_in else [f"the activation {network.activation.name!r}"]
    own += [] if loss.link.is_built_in else [f"the link {loss.link.name!r}"]
    return " or ".join(own) or f"the activation {network.activation.name!r}"


def _form(whose: str, form: Callable[[Any, str], str] | None) -> Callable[["_Graph", str], str]:
    """An ONNX form, which there is, that says in one sentence what is wrong with it."""
    assert form is not None

    def add(graph: "_Graph", z: str) -> str:
        try:
            name = form(graph, z)
        except Exception as error:
            raise ArchitectureError(
                f"The ONNX form of the {whose} failed ({say_error(error)[:160]}); it is a function onnx(graph, z) that "
                "adds nodes by graph.add(kind, *names) and graph.number(value)."
            ) from error
        known = {z, *(output for node in graph.nodes for output in node.output), *(one.name for one in graph.constants)}
        if not isinstance(name, str) or name not in known:
            raise ArchitectureError(
                f"The ONNX form of the {whose} returned {name!r:.60}; it must return the name that graph.add gave."
            )
        return name

    return add


def onnx_bytes(
    network: Network, preprocessing: Preprocessing, loss: Loss, metadata: Mapping[str, str] | None = None
) -> bytes:
    """An ONNX file's bytes, in float32 but where raw numbers come in and the target's own units go out.

    Its inputs are ``numbers`` (rows, k) in double and ``texts`` (rows, j), of the raw columns that the metadata name in
    that order (either may be missing; truth values are the texts "True" and "False"); its outputs ``prediction`` for
    amounts, ``label`` and ``probabilities`` for classes, and where there are texts ``unknown``: how many of a row's
    texts are missing or were not in training. As when a file is read, spaces around a text do not count, nor do upper
    and lower case and full and half width, where they do not tell one category from another.

    A missing number is NaN, a missing text is "", or what stands for no value in a file, such as NA. A preprocessing
    that imputes does so in the graph. Otherwise a row without a number has NaN for its predictions and probabilities
    (its label is "" if labels are texts, else it means nothing), and a missing text is an unknown one.

    Parameters
    ----------
    network : Network
    preprocessing : Preprocessing
        Becomes part of the graph.
    loss : Loss
        Its link becomes part of the graph.
    metadata : mapping of str to str, optional
        Kept in the file.

    Returns
    -------
    bytes

    Raises
    ------
    ArchitectureError
        For an activation or a link without an ONNX form.
    """
    of_activation, of_link = f"activation {network.activation.name!r}", f"link {loss.link.name!r}"
    if not has_onnx_form(network, loss):
        without = of_activation if network.activation.onnx is None else of_link
        raise ArchitectureError(
            f"The {without} has no ONNX form; give its definition one (onnx=), or export to a .safetensors file."
        )
    graph, activate = _Graph(), _form(of_activation, network.activation.onnx)
    numeric, texts = _read(preprocessing, "numeric"), _read(preprocessing, "categorical")
    first, *between, last = _layers(network)
    numbers = _imputed(graph, numeric)
    signal = activate(graph, _first(graph, first, preprocessing, numbers))
    for layer in between:
        signal = activate(graph, graph.affine(signal, layer))
    gap = _gap(graph) if numeric and preprocessing.impute is None else None
    outputs = (_classes if preprocessing.labels else _amounts)(graph, signal, last, preprocessing, loss, gap)
    outputs += [_unknown(graph, len(texts))] if texts else []
    inputs = [
        helper.make_tensor_value_info(name, kind, ["rows", len(columns)])
        for name, kind, columns in ((NUMBERS, TensorProto.DOUBLE, numeric), (TEXTS, TensorProto.STRING, texts))
        if columns
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "nucleate", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _TEXT_OPSET if texts else _OPSET), helper.make_opsetid(_ML, _ML_OPSET)],
        ir_version=_TEXT_IR_VERSION if texts else _IR_VERSION,
        producer_name="nucleate",
    )
    named = {NUMBERS: json.dumps([c.name for c in numeric]), TEXTS: json.dumps([c.name for c in texts])}
    kept = {"preprocessing": preprocessing.to_json(), "loss": loss.name}
    helper.set_model_props(model, {**(metadata or {}), **kept, **named, CHECKSUM: mark()})
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise ArchitectureError(
            f"The ONNX form of {say_forms(network, loss)} makes no valid graph ({say_error(error)[:160]}); correct the "
            "kinds, inputs and attributes of its nodes, which are those of onnx.ai/onnx/operators."
        ) from error
    return seal(model.SerializeToString())


def raw_rows(preprocessing: Preprocessing, x: Float[np.ndarray, "n d"]) -> pl.DataFrame:
    """Raw rows that encode to ``x``, without the constant columns; a category that training did not have is ""."""
    table: dict[str, Any] = {}
    for column, places in _places(preprocessing):
        part = x[:, places]
        if column.kind == "numeric":
            table[column.name] = part[:, 0] * column.std + column.mean
        elif column.kind == "categorical":
            known = [str(category) for category in column.categories]
            table[column.name] = [known[row.argmax()] if row.any() else "" for row in part]
    return pl.DataFrame(table)


def _read(preprocessing: Preprocessing, kind: str) -> list[Column]:
    return [column for column in preprocessing.inputs if column.kind == kind]


def _places(preprocessing: Preprocessing) -> Iterator[tuple[Column, range]]:
    """Each raw column, and which of the network's inputs it becomes."""
    at = 0
    for column in preprocessing.inputs:
        width = {"numeric": 1, "categorical": len(column.categories), "constant": 0}[column.kind]
        yield column, range(at, at + width)
        at += width


def _layers(network: Network) -> list[_Affine]:
    """Weights and biases in float64, a missing bias being zero."""
    return [
        (np.asarray(weights, np.float64), np.zeros(len(weights)) if bias is None else np.asarray(bias, np.float64))
        for weights, bias in zip(network.weights, network.biases, strict=True)
    ]


def _imputed(graph: _Graph, columns: Sequence[Column]) -> str:
    """The raw numbers, what is missing among them being what it counts as."""
    if not columns or columns[0].fill is None:
        return NUMBERS
    fills = graph.constant(np.array([column.fill for column in columns], np.float64))
    return graph.add("Where", graph.add("IsNaN", NUMBERS), fills, NUMBERS)


def _gap(graph: _Graph) -> str:
    """NaN for a row without one of its numbers, else 0: some activations would make a number of NaN."""
    nothing = graph.add("Mul", NUMBERS, graph.in_double.number(0.0))
    return graph.add("ReduceSum", nothing, graph.constant(np.array([1])), keepdims=1)


def _first(graph: _Graph, layer: _Affine, preprocessing: Preprocessing, raw: str) -> str:
    """What enters the first hidden layer, for raw rows whose numbers have this name."""
    numbers, categories = (
        [place for column, places in _places(preprocessing) if column.kind == kind for place in places]
        for kind in ("numeric", "categorical")
    )
    (weights, bias), parts = layer, []
    if numbers:
        parts.append(_of_numbers(graph, (weights[:, numbers], bias), _read(preprocessing, "numeric"), raw))
        bias = np.zeros_like(bias)
    if categories:
        encoded = _encoded(graph, _read(preprocessing, "categorical"), preprocessing)
        parts.append(graph.affine(encoded, (weights[:, categories], bias)))
    return graph.add("Add", *parts) if len(parts) == 2 else parts[0]


def _of_numbers(graph: _Graph, layer: _Affine, columns: Sequence[Column], raw: str) -> str:
    weights, bias = layer
    mean, std = (np.array([getattr(column, name) for column in columns]) for name in ("mean", "std"))
    if weights.size <= _FEW_WEIGHTS and (np.abs(mean) <= _FAR * std).all():
        folded = weights / std, bias - weights / std @ mean
        return graph.add("Cast", graph.in_double.affine(raw, folded), to=TensorProto.FLOAT)
    scaled = graph.add("Div", graph.add("Sub", raw, graph.constant(mean)), graph.constant(std))
    return graph.affine(graph.add("Cast", scaled, to=TensorProto.FLOAT), layer)


def _encoded(graph: _Graph, texts: Sequence[Column], preprocessing: Preprocessing) -> str:
    parts, no_value = [], "|".join(map(_literally, (*MISSING, *preprocessing.form.missing)))
    for place, column in enumerate(texts):
        cells = graph.add("Gather", TEXTS, graph.constant(np.array([place])), axis=1)
        for category in column.categories:
            pattern = _pattern(column, category)
            pattern = f"(?:{pattern}|{no_value})" if category == column.fill else pattern
            matches = graph.add("RegexFullMatch", cells, pattern=_SPACES + pattern + _SPACES)
            parts.append(graph.add("Cast", matches, to=TensorProto.FLOAT))
    # A category that training did not have is all zeros.
    return graph.add("Concat", *parts, axis=1, outputs=["encoded"])


def _pattern(column: Column, category: bool | int | float | str) -> str:
    """What matches a category's text, in any case and width where that tells it from the others."""
    if isinstance(category, bool):
        # A file's true, TRUE and True are one.
        return f"(?i:{category})"
    if category not in column.folded:
        return _literally(str(category))
    letters = (map(_literally, spellings(letter)) for letter in column.folded[str(category)])
    return "".join(f"(?:{'|'.join(spelled)})" for spelled in letters)


def _literally(text: str) -> str:
    return "".join(one if one.isalnum() else rf"\x{{{ord(one):x}}}" for one in text)


def _unknown(graph: _Graph, columns: int) -> onnx.ValueInfoProto:
    """How many of a row's texts are no category of training."""
    known = graph.add("ReduceSum", "encoded", graph.constant(np.array([1])), keepdims=0)
    count = graph.add("Sub", graph.number(columns), known)
    graph.add("Cast", count, to=TensorProto.INT64, outputs=["unknown"])
    return helper.make_tensor_value_info("unknown", TensorProto.INT64, ["rows"])


def _amounts(
    graph: _Graph, signal: str, layer: _Affine, preprocessing: Preprocessing, loss: Loss, gap: str | None
) -> list[onnx.ValueInfoProto]:
    """The answers in the targets' own units; NaN where the gap is."""
    answer = ["prediction"] if gap is None else []
    (weights, bias), double, link = layer, graph.in_double, loss.link
    units, means = preprocessing.units, np.array([column.mean for column in preprocessing.targets])
    wide = graph.add("Cast", signal, to=TensorProto.DOUBLE)
    if link == IDENTITY:
        predicted = double.affine(wide, (weights * units[:, None], bias * units + means), answer)
    else:
        form = _form(f"link {link.name!r}", link.onnx)
        predicted = graph.add("Mul", form(double, double.affine(wide, layer)), double.number(units))
        predicted = graph.add("Add", predicted, double.number(means), outputs=answer)
    if gap is not None:
        graph.add("Add", predicted, gap, outputs=["prediction"])
    return [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["rows", len(units)])]


def _classes(
    graph: _Graph, signal: str, layer: _Affine, preprocessing: Preprocessing, loss: Loss, gap: str | None
) -> list[onnx.ValueInfoProto]:
    """The likeliest label and the probabilities; none and NaN where the gap is."""
    labels, (weights, bias), link = np.array(preprocessing.labels), layer, loss.link
    texts = labels.dtype.kind == "U"
    known_label, probable = ("label", "probabilities") if gap is None else ("likely_label", "probable")
    if link == SOFTMAX:
        # One node for all, which is faster than several.
        known = {"classlabels_strings": labels.tolist()} if texts else {"classlabels_ints": list(range(len(labels)))}
        likeliest = graph.add(
            "LinearClassifier",
            signal,
            outputs=[known_label if texts else "likeliest", probable],
            domain=_ML,
            coefficients=weights.ravel().tolist(),
            intercepts=bias.tolist(),
            post_transform="SOFTMAX",
            **known,
        )
    else:
        predicted = _form(f"link {link.name!r}", link.onnx)(graph, graph.affine(signal, layer))
        graph.add("Identity", predicted, outputs=[probable])
        likeliest = graph.add("ArgMax", predicted, axis=1, keepdims=0)
    if likeliest != known_label:
        graph.add("Gather", graph.constant(labels), likeliest, outputs=[known_label])
    if gap is not None:
        graph.add("Add", probable, graph.add("Cast", gap, to=TensorProto.FLOAT), outputs=["probabilities"])
        if texts:
            rows = graph.add("Squeeze", graph.add("IsNaN", gap), graph.constant(np.array([1])))
            graph.add("Where", rows, graph.constant(np.array("")), known_label, outputs=["label"])
        else:
            graph.add("Identity", known_label, outputs=["label"])
    kind = TensorProto.STRING if texts else helper.np_dtype_to_tensor_dtype(labels.dtype)
    return [
        helper.make_tensor_value_info("label", kind, ["rows"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(labels)]),
    ]
