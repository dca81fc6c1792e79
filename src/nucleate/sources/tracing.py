"""Which layer alone reads the units of another, where `torch.fx` can follow a module's forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nucleate._wording import first_line, listed
from nucleate.pytorch.exchange import import_torch, same_attributes, same_random_numbers
from nucleate.pytorch.layers import activation_of, is_dropout, is_linear, is_reader, kind_of, norm_of
from nucleate.sources.made import base_of, is_adapted
from nucleate.sources.source import Traced


def acts_alone(module: Any, layer: Any) -> bool:
    """Whether a module acts on each unit of what a layer gives by itself."""
    is_pool = "Pool" in type(module).__name__ and type(module).__module__.startswith("torch.")
    if is_pool or norm_of(module) == "instance":
        # Its last axes are those of a picture behind a convolution, and behind a linear layer the units.
        return _has_positions(layer)
    is_same = is_dropout(module) or isinstance(module, import_torch().nn.Identity)
    return is_same or norm_of(module) == "batch" or bool(activation_of(module))


def _has_positions(layer: Any) -> bool:
    return kind_of(base_of(layer)) == "kernel"


def trace_layers(model: Any, modules: Mapping[str, Any]) -> Traced:
    """Which layer reads the units of which, of the other layers why none does alone, and what follows them.

    Modules go by the names of layers. Parts that cannot be followed are left to their own parts. Parameters and buffers
    are no numbers while a forward pass is followed, so none is changed.
    """
    names, found = {module: name for name, module in modules.items()}, Traced()
    with same_random_numbers(), same_attributes(model):
        _follow(model, names, found, is_whole=True)
    return found


def _follow(part: Any, names: Mapping[Any, str], found: Traced, *, is_whole: bool) -> None:
    torch, readers, reasons = import_torch(), found.readers, found.reasons

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
            if name and is_reader(base_of(module)):
                reasons.setdefault(names[module], why)
        for child in part.children():
            if next(child.children(), None) is not None and not is_adapted(child):
                _follow(child, names, found, is_whole=False)
        return
    calls: dict[Any, list[Any]] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls.setdefault(part.get_submodule(node.target), []).append(node)
    for module, nodes in calls.items():
        if not is_linear(base_of(module)):
            continue
        name = names[module]
        follow = {one for node in nodes for one in _what_follows(node, part, is_whole=is_whole)}
        if len(follow) == 1 and (parity := follow.pop()) is not None:
            found.symmetric[name] = parity
        read_by = {end for node in nodes for end in _ends(node, part, module, set())}
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


def _ends(node: Any, part: Any, layer: Any, seen: set[Any]) -> Iterator[Any]:
    """The modules that read a layer's signal, what mixes it before, or that it is given out."""
    for user in node.users:
        if user in seen:
            continue
        seen.add(user)
        if user.op == "output":
            yield _OUTPUT
        elif user.op == "call_module":
            module = part.get_submodule(user.target)
            if is_reader(base_of(module)):
                yield module
            elif acts_alone(module, layer) or isinstance(module, import_torch().nn.Flatten):
                yield from _ends(user, part, layer, seen)
            else:
                yield f"{user.target} ({type(module).__name__})"
        elif _is_elementwise(user) and ("_pool" not in _called(user) or _has_positions(layer)):
            yield from _ends(user, part, layer, seen)
        elif not _only_asks(user):
            yield str(getattr(user.target, "__name__", user.target))


def parity_behind(following: Sequence[Any], *, is_whole: bool) -> bool | None:
    """Of the modules behind a layer, each of which is given what the one before gives, what `Traced` says of it."""
    is_active = False
    for module in following:
        if is_linear(base_of(module)):
            return True
        if not is_active and activation_of(module):
            if not _is_odd_or_even(module):
                return False
            is_active = True
        elif not _passes_on(module, is_active=is_active):
            return None
    return True if is_whole else None


def _passes_on(module: Any, *, is_active: bool) -> bool:
    """Whether opposite units are so behind it too; behind the activation, where sums alone follow, up to a constant."""
    nn = import_torch().nn
    if norm_of(module) == "batch":
        return bool(is_active or not module.affine)
    is_pool = type(module).__module__ == "torch.nn.modules.pooling" and "AvgPool" in type(module).__name__
    return is_pool or is_dropout(module) or isinstance(module, (nn.Identity, nn.Flatten))


def _what_follows(node: Any, part: Any, *, is_whole: bool) -> Iterator[bool | None]:
    """Of each that takes a signal whether it is odd or even, up to a constant; None where that is not known."""
    for user in node.users:
        if _only_asks(user):
            continue
        if user.op == "output":
            yield True if is_whole else None
        elif user.op == "call_module":
            module = part.get_submodule(user.target)
            if is_linear(base_of(module)):
                yield True
            elif _passes_on(module, is_active=False):
                yield from _what_follows(user, part, is_whole=is_whole)
            else:
                parity = _is_odd_or_even(module) if activation_of(module) else None
                yield _if_only_summed(user, part, parity, is_whole=is_whole)
        elif len(user.all_input_nodes) == 1 and user.op in ("call_method", "call_function"):
            if _called(user) in _PASSES:
                yield from _what_follows(user, part, is_whole=is_whole)
            else:
                yield _if_only_summed(user, part, _parity_of(user), is_whole=is_whole)
        else:
            yield None


def _called(node: Any) -> str:
    return str(getattr(node.target, "__name__", node.target)).rstrip("_")


def _parity_of(node: Any) -> bool | None:
    """Whether a function or method is odd or even, as far as it is known."""
    name = _called(node)
    if name not in _BOUNDED:
        return _PARITIES.get(name)
    given = dict(zip(_BOUNDED[name], node.args[1:], strict=False)) | node.kwargs
    low, high = (given.get(bound, default) for bound, default in _BOUNDED[name].items())
    return None if low is None or high is None else bool(low == -high)


def _if_only_summed(node: Any, part: Any, parity: bool | None, *, is_whole: bool) -> bool | None:
    """The parity, which is not known where something else than sums takes what is odd or even."""
    return None if parity and not _is_only_summed(node, part, is_whole=is_whole) else parity


def _is_only_summed(node: Any, part: Any, *, is_whole: bool) -> bool:
    for user in node.users:
        if _only_asks(user):
            continue
        if user.op == "output":
            passes = is_whole
        elif user.op == "call_module":
            module = part.get_submodule(user.target)
            if is_linear(base_of(module)):
                continue
            passes = _passes_on(module, is_active=True)
        else:
            passes = _called(user) in (*_PASSES, *_SUMS)
        if not (passes and _is_only_summed(user, part, is_whole=is_whole)):
            return False
    return True


def _is_odd_or_even(activation: Any) -> bool:
    """Whether an activation of PyTorch's is odd or even, up to a constant."""
    bounds = getattr(activation, "min_val", -1.0), getattr(activation, "max_val", 1.0)
    return activation_of(activation) in _SYMMETRIC and bounds[0] == -bounds[1]


_SYMMETRIC = (
    "Tanh", "Sigmoid", "Hardsigmoid", "Hardtanh", "Softsign", "Tanhshrink", "Softshrink", "Hardshrink", "Identity",
)  # fmt: skip

_PARITIES = dict.fromkeys(
    (*(name.lower() for name in _SYMMETRIC if name != "Hardtanh"), "abs", "square", "sin", "cos"), True
) | dict.fromkeys(
    (
        "relu", "relu6", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "softplus", "mish", "hardswish", "exp",
        "logsigmoid", "log_sigmoid",
    ),
    False,
)  # fmt: skip
"""The same of functions and methods, and of those that are neither."""

_BOUNDED: Mapping[str, Mapping[str, float | None]] = {
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "clamp": {"min": None, "max": None},
}
"""Functions and methods that are odd between opposite bounds: what the bounds are called, and what they are unsaid."""

_PASSES = (
    "dropout", "dropout1d", "dropout2d", "dropout3d", "flatten", "reshape", "view", "contiguous", "detach", "clone",
    "float", "double", "half", "bfloat16", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d",
)  # fmt: skip
"""Functions and methods behind which opposite units are opposite."""

_SUMS = ("add", "iadd", "sub", "isub", "mean", "sum")
"""Those that leave what is odd odd up to a constant."""


def _only_asks(node: Any) -> bool:
    """Whether it reads no number of a signal."""
    return node.target in ("size", "dim", "type", "device") or node.target is getattr


def _is_elementwise(node: Any) -> bool:
    """Whether it acts on each unit of the one signal that it takes by itself, by what it is called."""
    is_alone = len(node.all_input_nodes) == 1 or _called(node) == "flatten"
    return is_alone and node.op in ("call_method", "call_function") and _called(node) in _ELEMENTWISE


_ELEMENTWISE = (
    *_PARITIES, *_BOUNDED, *(name for name in _PASSES if name not in ("reshape", "view")), "alpha_dropout",
    "mul", "add", "sub", "div", "truediv", "neg", "pow",
    *(f"{kind}_pool{dims}d" for kind in ("max", "adaptive_max") for dims in (1, 2, 3)),
)  # fmt: skip
