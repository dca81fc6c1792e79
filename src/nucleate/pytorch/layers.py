"""What PyTorch's layers hold: how their weights lie, what norms take means over, and what acts on each unit alone."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nucleate.pytorch.exchange import import_torch


@dataclass(frozen=True)
class Weights:
    """How an array of weights lies, whose axes behind the first two are places of a kernel.

    PyTorch's attention has one array of queries, keys and values, "attention", or one of each, and writes its "output".
    """

    kind: str
    units: int = 0
    """Which of the first two axes has the units; the other one has what they read."""
    groups: int = 1
    """The first axis is of so many groups, the second one of a single group."""
    blocks: int = 1
    """How many rows a unit has, in as many blocks: of gates, or of query, key and value."""

    def fans(self, shape: Sequence[int]) -> tuple[int, int]:
        """How many numbers a unit reads, and how many units there are."""
        rows = shape[self.units] * (self.groups if self.units == 1 else 1)
        return math.prod(shape) // max(rows, 1), rows // self.blocks


def weights_in(module: Any) -> Mapping[str, Weights]:
    """The weights of one of PyTorch's layers, or of transformers' Conv1D, by name; none of other modules."""
    nn = import_torch().nn
    if isinstance(module, nn.MultiheadAttention):
        parts = {f"{part[0]}_proj_weight": Weights(part) for part in ("query", "key", "value")}
        return {"in_proj_weight": Weights("attention", blocks=3)} | parts
    if isinstance(module, nn.RNNBase):
        gates = Weights("recurrent", blocks=count_gates(module.mode))
        names = [name for name in module._flat_weights_names if name.startswith("weight")]
        return {name: Weights("linear") if name.startswith("weight_hr") else gates for name in names}
    if isinstance(module, nn.RNNCellBase):
        rows, columns = module.weight_hh.shape
        return dict.fromkeys(("weight_ih", "weight_hh"), Weights("recurrent", blocks=rows // columns))
    groups = getattr(module, "groups", 1)
    kinds: tuple[tuple[Any, Weights], ...] = (
        (nn.modules.linear.NonDynamicallyQuantizableLinear, Weights("output")),
        (nn.Linear, Weights("linear")),
        (nn.modules.conv._ConvTransposeNd, Weights("kernel", units=1, groups=groups)),
        (nn.modules.conv._ConvNd, Weights("kernel", groups=groups)),
        (nn.Embedding | nn.EmbeddingBag, Weights("embedding")),
        (nn.Bilinear, Weights("bilinear")),
    )
    if is_conv1d(module):
        return {"weight": Weights("linear", units=1)}
    return next(({"weight": weights} for kind, weights in kinds if isinstance(module, kind)), {})


def kind_of(module: Any) -> str:
    """The kind of a layer's (first) weights; empty where `weights_in` knows none."""
    return next((weights.kind for weights in weights_in(module).values()), "")


def is_linear(module: Any) -> bool:
    """Whether it is a layer that adds up what it is given: a linear one or a convolution."""
    return kind_of(module) in ("linear", "output", "kernel")


def is_reader(module: Any) -> bool:
    """Whether each unit that a layer reads is multiplied with a slice of its weights."""
    return is_linear(module) and weights_in(module)["weight"].groups == 1


def is_conv1d(layer: Any) -> bool:
    """Whether it is transformers' Conv1D, a linear layer whose weight is stored transposed."""
    if not (any(kind.__name__ == "Conv1D" for kind in type(layer).__mro__) and hasattr(layer, "nf")):
        return False
    nn, own = import_torch().nn, layer._parameters.get("weight")
    if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
        return False
    # What is asked of a parametrized one would make its weight anew, and draw on its state.
    return own.ndim == 2 if own is not None else "weight" in getattr(layer, "parametrizations", ())


def count_gates(kind: str) -> int:
    """How many blocks of rows the weights of a recurrent layer have, by what it is called."""
    return next((count for name, count in (("LSTM", 4), ("GRU", 3)) if name in kind), 1)


EXPERTS = ("gate_up_proj", "down_proj")
"""What mixtures of experts call the matrices of all their experts, where these are in one array each."""


def fans_of_experts(part: Any) -> dict[str, tuple[int, int]]:
    """Of a mixture of experts that has the matrices of all of them in one array each, fan-in and fan-out of one."""
    both = [part._parameters.get(name) for name in EXPERTS]
    if any(one is None or one.ndim != 3 for one in both):
        return {}
    (_, *first), (_, *second) = (one.shape for one in both)
    # Some have their outputs first, others last.
    for (rows, reads), (writes, hidden) in ((first, second), (first[::-1], second[::-1])):
        if (rows, reads) == (2 * hidden, writes):
            return {"gate_up_proj": (reads, hidden), "down_proj": (hidden, writes)}
    return {}


def maker_of(module: Any) -> str:
    """What makes a module's weights of other parameters before each forward pass; empty where nothing does."""
    # A hook of one's own may be a child of one of PyTorch's, as ways of pruning are.
    hooks = [kind for hook in module._forward_pre_hooks.values() for kind in type(hook).__mro__]
    known = next((hook.__name__ for hook in hooks if hook.__module__.startswith("torch.nn.utils")), "")
    return known or ("a parametrization" if getattr(module, "parametrizations", None) else "")


def norm_of(module: Any) -> str:
    """Over what a norm takes its means: "batch", "instance", "group", "layer" or "rms"; empty of what is none."""
    nn = import_torch().nn
    kinds = {
        "batch": nn.modules.batchnorm._BatchNorm, "instance": nn.modules.instancenorm._InstanceNorm,
        "group": nn.GroupNorm, "layer": nn.LayerNorm,
    }  # fmt: skip
    known = next((name for name, kind in kinds.items() if isinstance(module, kind)), "")
    return known or ("rms" if type(module).__name__.endswith("RMSNorm") else "")


def is_dropout(module: Any) -> bool:
    """Whether it is one of PyTorch's dropouts."""
    return isinstance(module, import_torch().nn.modules.dropout._DropoutNd)


_MIXES = ("Softmax", "LogSoftmax", "Softmin", "Softmax2d", "GLU", "MultiheadAttention")
"""What PyTorch has among its activations that acts on several units at once."""


def activation_of(module: Any) -> str:
    """Which of PyTorch's activations of each unit alone a module's forward pass is; empty where it is none."""
    forward = type(module).forward
    name = str(getattr(forward, "__qualname__", "")).partition(".")[0]
    is_of_torch = getattr(forward, "__module__", "") == "torch.nn.modules.activation"
    return name if is_of_torch and name not in _MIXES else ""


QUERY_HEADS = (
    "num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "encoder_attention_heads", "heads",
    "nhead",
)  # fmt: skip
"""What configurations and modules call the number of heads, and below that of keys and values."""
KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_kv_head")


def first_number(get: Callable[[str, None], Any], names: Iterable[str]) -> int | None:
    """The first of these settings that is a number above zero."""
    return next((value for name in names if isinstance(value := get(name, None), int) and value > 0), None)
