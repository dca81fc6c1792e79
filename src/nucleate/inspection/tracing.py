"""Which layer alone reads the units of another, where `torch.fx` can follow a module's forward pass."""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nucleate._wording import first_line, listed
from nucleate.inspection.made import base_of, is_adapted
from nucleate.inspection.sources import Traced
from nucleate.pytorch import import_torch, same_random_numbers

MIXES = ("Softmax", "LogSoftmax", "Softmin", "Softmax2d", "GLU", "MultiheadAttention")
"""Modules beside PyTorch's activations that act on several units at once."""


def acts_alone(module: Any) -> bool:
    """Whether a module acts on each unit of a signal by itself."""
    nn, name = import_torch().nn, type(module).__name__
    if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.Identity)):
        return True
    if "Pool" in name and type(module).__module__.startswith("torch."):
        return True
    return type(module).__module__ == "torch.nn.modules.activation" and name not in MIXES


def is_reader(module: Any) -> bool:
    """Whether each unit that a module reads is multiplied with a slice of its weights."""
    nn, module = import_torch().nn, base_of(module)
    return isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)) and getattr(module, "groups", 1) == 1


def trace_layers(model: Any, modules: Mapping[str, Any]) -> Traced:
    """Which layer reads the units of which, of the other layers why none does alone, and what follows them.

    Parts that cannot be followed are left to their own parts. Parameters and buffers are no numbers while a forward
    pass is followed, so none is changed.

    Parameters
    ----------
    model : torch.nn.Module
    modules : mapping of str to modules
        The model's own, by the names that layers go by.

    Returns
    -------
    Traced
    """
    names = {module: name for name, module in modules.items()}
    readers: dict[str, str] = {}
    reasons: dict[str, str] = {}
    symmetric: dict[str, bool] = {}
    with same_random_numbers():
        _follow(model, names, is_whole=True, readers=readers, reasons=reasons, symmetric=symmetric)
    return Traced(readers, reasons, symmetric)


def _follow(
    part: Any,
    names: Mapping[Any, str],
    *,
    is_whole: bool,
    readers: dict[str, str],
    reasons: dict[str, str],
    symmetric: dict[str, bool],
) -> None:
    torch = import_torch()

    class Tracer(torch.fx.Tracer):  # type: ignore[misc, name-defined]
        proxy_buffer_attributes = True

        def is_leaf_module(self, module: Any, name: str) -> bool:
            is_leaf = next(module.children(), None) is None or is_adapted(module)
            return is_leaf or bool(super().is_leaf_module(module, name))

    try:
        graph = Tracer().trace(part)
    except Exception as error:
        why = "no effective neurons: which layer alone reads its units is not known, as torch.fx cannot follow the "
        why += f"model ({first_line(error)[:120]})"
        for name, module in part.named_modules():
            if name and is_reader(module):
                reasons.setdefault(names[module], why)
        for child in part.children():
            if next(child.children(), None) is not None and not is_adapted(child):
                _follow(child, names, is_whole=False, readers=readers, reasons=reasons, symmetric=symmetric)
        return
    calls: dict[Any, list[Any]] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls.setdefault(part.get_submodule(node.target), []).append(node)
    for module, nodes in calls.items():
        if not isinstance(base_of(module), (torch.nn.Linear, torch.nn.modules.conv._ConvNd)):
            continue
        name = names[module]
        follow = {one for node in nodes for one in _what_follows(node, part, is_whole=is_whole)}
        if len(follow) == 1 and (parity := follow.pop()) is not None:
            symmetric[name] = parity
        read_by = {end for node in nodes for end in _ends(node, part, set())}
        by = {names[end] for end in read_by if not isinstance(end, str)}
        mixed = sorted(end for end in read_by if isinstance(end, str) and end != _OUTPUT)
        if mixed:
            reasons[name] = f"no effective neurons: {listed(mixed)} mixes its units before they are read"
        elif _OUTPUT in read_by:
            outputs = "no effective neurons: its units are outputs of the model, which no layer reads"
            reasons[name] = outputs if is_whole else "no effective neurons: no layer that is known reads its units"
        elif len(by) > 1:
            reasons[name] = f"no effective neurons: its units are read by several: {listed(sorted(by))}"
        elif not by:
            reasons[name] = "no effective neurons: no layer that is known reads its units"
        else:
            readers[name] = by.pop()
            reasons.pop(name, None)


_OUTPUT = "the output"


def _ends(node: Any, part: Any, seen: set[Any]) -> Iterator[Any]:
    """The modules that read a signal, what mixes it before, or that it is given out."""
    for user in node.users:
        if user in seen:
            continue
        seen.add(user)
        if user.op == "output":
            yield _OUTPUT
        elif user.op == "call_module":
            module = part.get_submodule(user.target)
            if is_reader(module):
                yield module
            elif acts_alone(module) or isinstance(module, import_torch().nn.Flatten):
                yield from _ends(user, part, seen)
            else:
                yield f"{user.target} ({type(module).__name__})"
        elif _is_elementwise(user):
            yield from _ends(user, part, seen)
        elif user.target not in _ONLY_ASKS and not (user.op == "call_function" and user.target is getattr):
            yield str(getattr(user.target, "__name__", user.target))


def _what_follows(node: Any, part: Any, *, is_whole: bool) -> Iterator[bool | None]:
    """Of each that takes a signal whether it is odd or even, up to a constant; None where that is not known."""
    for user in node.users:
        if user.target in _ONLY_ASKS or user.target is getattr:
            continue
        if user.op == "output":
            yield True if is_whole else None
        elif user.op == "call_module" and acts_alone(module := part.get_submodule(user.target)):
            kind = type(module).__name__
            if kind.startswith("Dropout") or kind == "Identity":
                yield from _what_follows(user, part, is_whole=is_whole)
            elif type(module).__module__ == "torch.nn.modules.activation":
                yield _if_only_read(user, part, is_odd_or_even(module))
            else:
                yield None
        elif len(user.all_input_nodes) == 1 and user.op in ("call_method", "call_function"):
            name = getattr(user.target, "__name__", str(user.target)).rstrip("_")
            if name == "dropout":
                yield from _what_follows(user, part, is_whole=is_whole)
            else:
                yield _if_only_read(user, part, _PARITIES.get(name))
        else:
            yield None


def _if_only_read(node: Any, part: Any, parity: bool | None) -> bool | None:
    """The parity, which is not known where something else than sums and readers takes what is odd or even."""
    return None if parity and not _is_only_read(node, part) else parity


def _is_only_read(node: Any, part: Any) -> bool:
    for user in node.users:
        if user.op == "output" or user.target in _ONLY_ASKS or user.target is getattr:
            continue
        if user.op == "call_module":
            module = part.get_submodule(user.target)
            if is_reader(base_of(module)):
                continue
            passes = type(module).__name__.startswith("Dropout") or type(module).__name__ in ("Identity", "Flatten")
        else:
            passes = getattr(user.target, "__name__", str(user.target)).rstrip("_") in _PASSES
        if not (passes and _is_only_read(user, part)):
            return False
    return True


def is_odd_or_even(activation: Any) -> bool:
    """Whether an activation of PyTorch's is odd or even, up to a constant."""
    bounds = getattr(activation, "min_val", -1.0), getattr(activation, "max_val", 1.0)
    return type(activation).__name__ in _SYMMETRIC and bounds[0] == -bounds[1]


_SYMMETRIC = (
    "Tanh",
    "Sigmoid",
    "Hardsigmoid",
    "Hardtanh",
    "Softsign",
    "Tanhshrink",
    "Softshrink",
    "Hardshrink",
    "Identity",
)

_PARITIES = {name.lower(): True for name in _SYMMETRIC if name != "Hardtanh"} | dict.fromkeys(
    ("abs", "square", "sin", "cos"), True
)
_PARITIES |= dict.fromkeys(
    ("relu", "relu6", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "softplus", "mish", "hardswish", "exp"),
    False,
)
"""The same of functions and methods, and of those that are neither."""

_PASSES = ("dropout", "flatten", "reshape", "view", "contiguous", "add", "iadd")
"""Functions and methods that leave what is odd odd."""

_ONLY_ASKS = ("size", "dim", "type", "device")
"""Methods that read no number of a signal."""


def _is_elementwise(node: Any) -> bool:
    """Whether it acts on each unit of the one signal that it takes by itself, by what it is called."""
    if len(node.all_input_nodes) > 1 and node.target not in _SHAPES:
        return False
    if node.op == "call_method":
        return node.target in _METHODS or node.target in _SHAPES
    return node.op == "call_function" and node.target in _functions()


_SHAPES = ("flatten",)
_METHODS = (
    "relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_", "abs", "square", "exp", "sin", "cos", "clamp", "clone",
    "contiguous", "float", "double", "half", "bfloat16", "detach", "mul", "add", "sub", "div",
)  # fmt: skip


def _functions() -> frozenset[Callable[..., Any]]:
    torch = import_torch()
    functional = torch.nn.functional
    named = (
        "relu", "relu_", "relu6", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "softplus", "softsign", "mish",
        "hardtanh", "hardswish", "hardsigmoid", "logsigmoid", "tanhshrink", "softshrink", "hardshrink", "tanh",
        "sigmoid", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
        *(f"{kind}_pool{dims}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for dims in (1, 2, 3)),
    )  # fmt: skip
    found = {getattr(functional, name) for name in named}
    found |= {getattr(torch, name) for name in ("relu", "tanh", "sigmoid", "abs", "square", "exp", "sin", "cos")}
    found |= {getattr(torch, name) for name in ("clamp", "flatten", "mul", "add", "sub", "div", "selu", "celu")}
    return frozenset(found | {operator.mul, operator.add, operator.sub, operator.truediv, operator.neg, operator.pow})
