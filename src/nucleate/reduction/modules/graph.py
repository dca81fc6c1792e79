"""Which layers make, pass on and read the same units, as Torch-Pruning's dependency graph finds them.

The graph follows PyTorch's own record of a forward pass, so it takes any control flow. What it takes for granted of
operations that it does not know, and of those that look at all units together, is checked by running the module.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleate._wording import first_line, say_error
from nucleate.errors import ArchitectureError
from nucleate.pytorch.exchange import hooked, import_extra, import_torch
from nucleate.pytorch.layers import fans_of_experts, is_conv1d, is_linear, kind_of, maker_of, norm_of, weights_in
from nucleate.reduction.modules.attention import attentions, heads_of
from nucleate.reduction.modules.rows import Rows, output_of, tensors_of
from nucleate.reduction.modules.units import Cut, Narrowing, Units, copied


@dataclass(frozen=True, eq=False)
class Graph:
    """The units of a module that can be fewer, in the order in which they are made, and what is left whole and why."""

    units: tuple[Units, ...]
    left_whole: tuple[tuple[str, str], ...]
    order: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class _Layers:
    """The names of a module's layers, how often each is called in a pass, and with which it shares its weights."""

    names: Mapping[Any, str]
    calls: Mapping[str, int]
    shared: Mapping[str, str]

    def untouchable(self, layer: Any, name: str) -> str | None:
        """Why a layer cannot be narrowed."""
        if name in self.shared:
            return f"the weights of {name} are shared with {self.shared[name]}"
        if self.calls.get(name, 1) > 1:
            return f"{name} is called {self.calls[name]} times in one pass"
        return _reason(layer, name)


def trace(module: Any, rows: Rows) -> Graph:
    """The graph of a module in evaluation mode, a copy whose parameters need gradients, traced on a few rows."""
    pruning = import_extra("torch_pruning", "Torch-Pruning, which finds the layers that depend on each other,")
    order, calls = _calls(module, rows)
    known = _Layers({child: name for name, child in module.named_modules()}, calls, _shared(module))
    names, linear_like, blank = known.names, _conv1d_pruner(module, pruning), pruning.DependencyGraph()
    blank.CUSTOMIZED_PRUNERS.update(linear_like)
    pruner_of = blank.get_pruner_of_module
    of_heads = list(attentions(module, lambda layer: pruner_of(layer).get_out_channels(layer)))
    # What splits into queries, keys and values is known, and not for the graph to follow.
    fused = [module.get_submodule(one.projections[0]) for one in of_heads if len(one.projections) == 1]
    left: list[tuple[str, str]] = []
    with hooked([layer.register_forward_hook(lambda _, __, output: output.detach()) for layer in fused]):
        graphs = list(_graphs(module, rows, known, linear_like, pruning, left))
    if not graphs:
        where, why = left[-1]
        raise ArchitectureError(
            f"The {type(module).__name__} cannot be traced ({where or 'itself'}: {why}), so nothing says which of its "
            "layers read which; give one whose outputs depend on its inputs by PyTorch's own operations."
        )
    found: list[Units] = []
    seen: set[Any] = set()
    inside = {name: attention.name for attention in of_heads for name in attention.projections}
    for attention in of_heads:
        heads = heads_of(module, attention, pruner_of)
        parts = [cut.layer for cut in (*heads.cuts, *heads.readers)]
        reason = next(filter(None, (known.untouchable(module.get_submodule(name), name) for name in parts)), None)
        if heads.number > 1 and reason is None:
            found.append(heads)
        else:
            left.append((attention.name, reason or "it has one head"))
    layers = [(graph, child) for graph in graphs for child in graph.module2node if child in names]
    for graph, child in sorted(layers, key=lambda one: order.get(names[one[1]], len(order))):
        if not is_linear(child) or child in seen or names[child] in inside:
            continue
        pruner = graph.get_pruner_of_module(child)
        everything = list(range(pruner.get_out_channels(child)))
        group = graph.get_pruning_group(child, pruner.prune_out_channels, everything)
        for item, _ in group:
            if graph.is_out_channel_pruning_fn(item.handler):
                seen.add(item.target.module)
        units, why = _units(graph, child, group, known, pruning)
        tied = [] if units is None else [inside[cut.layer] for cut in units.cuts if cut.layer in inside]
        if units is None or tied:
            left.append((names[child], f"the attention {tied[0]} takes its units apart into heads" if tied else why))
        else:
            found.append(units)
    left += _not_seen(module, {*(child for _, child in layers), *fused}, calls)
    found.sort(key=lambda units: min(order[cut.layer] for cut in units.cuts if cut.layer in order))
    return Graph(tuple(found), tuple(left), order)


def _graphs(
    module: Any, rows: Rows, known: _Layers, customized: Any, pruning: Any, failed: list[tuple[str, str]]
) -> Iterator[Any]:
    """The graph of the module, or of those of its parts of which there is one; and where there is none, and why."""
    given: dict[Any, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def note(part: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        given.setdefault(part, (arguments, named))

    hooks = [part.register_forward_pre_hook(note, with_kwargs=True) for part in known.names]
    with hooked(hooks), import_torch().no_grad():
        rows.call(module)

    def of(part: Any) -> Iterator[Any]:
        if known.calls.get(known.names[part]) == 1:
            arguments, named = given[part]
            graph = pruning.DependencyGraph()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    graph.build_dependency(
                        part,
                        None,
                        forward_fn=lambda one, _: output_of(one(*arguments, **named)),
                        customized_pruners=customized or None,
                        verbose=False,
                    )
                yield graph
                return
            except Exception as error:
                failed.append((known.names[part], f"its graph cannot be traced: {say_error(error)[:120]}"))
        for child in part.children():
            if next(child.children(), None) is not None:
                yield from of(child)

    yield from of(module)


def _not_seen(module: Any, seen: Any, calls: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Layers that the graph does not have, and those of kinds that it does not narrow."""
    for name, layer in module.named_modules():
        if kind_of(layer) in ("recurrent", "attention"):
            yield name, _reason(layer, name) or ""
        elif fans_of_experts(layer):
            yield name, "the matrices of its experts are in one array each, and the graph sees no layers in it"
        # What PyTorch's own attention writes with it reads without a call.
        elif is_linear(layer) and layer not in seen and kind_of(layer) != "output":
            was_called = "PyTorch has no record of how the outputs depend on it"
            yield name, was_called if calls.get(name) else "it is not called on these data"


def check(module: Any, units: Units, rows: Rows, in_training: list[Any] | None) -> str | None:
    """Why units cannot be taken out, found by doing it on a few rows: None if the module then does what it does unread
    of them; ``in_training`` is what `shapes_in_training` says of the whole.
    """
    torch = import_torch()
    left = range(0, units.number, 2)
    removed = range(1, units.number, 2)
    with torch.no_grad():
        try:
            blind = copied(module)
            for reader in units.readers:
                _forget(blind.get_submodule(reader.layer), np.concatenate([reader.places[unit] for unit in removed]))
            narrowing = Narrowing(module)
            narrowing.keep(units, left)
            returned = rows.call(narrowing.module)
            small = output_of(returned)
        except Exception as error:
            return f"the module does not run with fewer of its units ({first_line(say_error(error))[:120]})"
        whole = rows.call(module)
        wanted, before = output_of(rows.call(blind)), output_of(whole)
    if _shapes(returned) != _shapes(whole):
        return "the module's outputs would have another shape"
    if in_training is not None and not _are_alike(shapes_in_training(narrowing.module, rows), in_training):
        return "in training mode the module does something else, which does not run with fewer of its units"
    scale, moved = float(before.abs().max()) or 1.0, float((wanted - before).abs().max())
    if not float((small - wanted).abs().max()) <= 1e-5 * scale + 1e-3 * moved:
        return "something other than the layers behind reads its units, or looks at all of them together"
    return None


def _shapes(returned: Any) -> list[Any]:
    return [value.shape for value in tensors_of(returned)]


def shapes_in_training(module: Any, rows: Rows, draws: int = 1) -> list[Any] | None:
    """The shapes of what a module returns in training mode, into which it is put; None where it does not run.

    Of each as many sizes as are the same in so many draws of random numbers: a module may drop some of the rows.
    """
    torch, found = import_torch(), []
    try:
        with torch.random.fork_rng(devices=[]):
            for seed in range(draws):
                torch.default_generator.manual_seed(seed)
                found.append(_shapes(rows.call(module.train())))
    except Exception:
        return None
    return [
        [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*of_tensor, strict=False)]
        for of_tensor in zip(*found, strict=False)
    ]


def _are_alike(shapes: list[Any] | None, known: list[Any]) -> bool:
    """Whether shapes are those that are known, but for the sizes that change by chance."""
    if shapes is None or list(map(len, shapes)) != list(map(len, known)):
        return False
    pairs = [pair for of_tensor in zip(shapes, known, strict=True) for pair in zip(*of_tensor, strict=True)]
    return all(size in (None, own) for own, size in pairs)


def _forget(layer: Any, places: np.ndarray) -> None:
    """Zero what a layer reads at some places."""
    held = weights_in(layer)["weight"]
    by_input = layer.weight.transpose(0, 1 - held.units)
    outputs = by_input.shape[1] // held.groups
    for place in places:
        group, within = divmod(place, len(by_input))
        by_input[within, group * outputs : (group + 1) * outputs] = 0


def _calls(module: Any, rows: Rows) -> tuple[dict[str, int], dict[str, int]]:
    """When each layer is first called, and how often."""
    order: dict[str, int] = {}
    calls: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        def called(*_: Any) -> None:
            order.setdefault(name, len(order))
            calls[name] = calls.get(name, 0) + 1

        return called

    with (
        hooked([child.register_forward_pre_hook(note(name)) for name, child in module.named_modules()]),
        import_torch().no_grad(),
    ):
        rows.call(module)
    return order, calls


def _units(graph: Any, root: Any, group: Any, known: _Layers, pruning: Any) -> tuple[Units | None, str]:
    """The units of a group of layers, or why they are left whole."""
    nn, names = import_torch().nn, known.names
    owners = _owners(graph, root, group)
    number = int(max(owners)) + 1 if len(owners) else 0
    cuts: list[Cut] = []
    readers: list[Cut] = []
    for at, (item, places) in enumerate(group):
        target, kind = item.target.module, item.target.type
        if kind == pruning.ops.OPTYPE.OUTPUT:
            return None, "its units are outputs of the module"
        if isinstance(target, nn.Parameter):
            name = f"{names[graph.model]}.{graph._param_to_name[target]}".lstrip(".")
        elif target in names:
            name = names[target]
        else:
            continue
        if target in names and (why := known.untouchable(target, name)) is not None:
            return None, why
        of_units: list[list[int]] = [[] for _ in range(number)]
        for place, of_root in zip(places, group[at].root_idxs, strict=True):
            of_units[owners[of_root]].append(place)
        reads = not graph.is_out_channel_pruning_fn(item.handler)
        of_layer = tuple(np.array(sorted(own), dtype=np.int64) for own in of_units)
        cut = Cut(name, "in" if reads else "out", item.handler, of_layer)
        if reads and kind_of(target) == "kernel" and weights_in(target)["weight"].units == 1:
            return None, f"the transposed convolution {name} reads its units"
        (readers if reads else cuts).append(cut)
    if not readers:
        return None, "no layer reads its units: they are outputs"
    if number < 2:
        return None, "it has one unit"
    kind = "channels" if kind_of(root) == "kernel" else "neurons"
    for reader in readers:
        if len({len(places) for places in reader.places}) > 1:
            return None, f"its units are not equally many inputs of {reader.layer} each"
    return Units(names[root], kind, tuple(cuts), tuple(readers)), ""


def _owners(graph: Any, root: Any, group: Any) -> list[int]:
    """The unit that each output of the first layer belongs to: those stay or go together that a layer ties together.

    Grouped convolutions take as many inputs in each group, and halves that are multiplied have the same places.
    """
    size = graph.get_pruner_of_module(root).get_out_channels(root)
    groups = 1
    for item, _ in group:
        layer = item.target.module
        number = getattr(layer, "groups", 1) if hasattr(layer, "out_channels") else 1
        if number > 1 and number != getattr(layer, "out_channels", 0):
            groups = max(groups, number)
    of_group = size // groups
    units = [place % of_group for place in range(size)]
    kinds = graph.ops.OPTYPE
    if any(item.target.type in (kinds.SPLIT, kinds.SLICE, kinds.UNBIND) for item, _ in group):
        prune = graph.get_pruner_of_module(root).prune_out_channels
        for place in range(size):
            tied = graph.get_pruning_group(root, prune, [place])
            together = {
                units[other]
                for item, places in tied
                if item.target.module is root and graph.is_out_channel_pruning_fn(item.handler)
                for other in places
            }
            units = [min(together) if unit in together else unit for unit in units]
    numbers = {unit: at for at, unit in enumerate(sorted(set(units)))}
    return [numbers[unit] for unit in units]


def _reason(layer: Any, name: str) -> str | None:
    """Why a layer of this kind cannot be narrowed."""
    kind = kind_of(layer)
    if kind == "recurrent":
        return f"{name} is recurrent: its units read each other"
    if kind == "attention":
        return f"the heads of PyTorch's own MultiheadAttention {name} are as wide together as what enters it"
    if norm_of(layer) in ("layer", "group", "rms"):
        return f"the norm {name} looks at all its units together"
    if kind == "embedding":
        return f"the embedding {name} makes its units"
    if maker_of(layer):
        return f"the weight of {name} is parametrized"
    return None


def _shared(module: Any) -> dict[str, str]:
    """Layers that have a parameter which another one has too, and which."""
    owners: dict[Any, list[str]] = {}
    for name, child in module.named_modules():
        for parameter in child._parameters.values():
            if parameter is not None:
                owners.setdefault(parameter, []).append(name)
    return {
        name: next(other for other in together if other != name)
        for together in owners.values()
        if len(set(together)) > 1
        for name in together
    }


def _conv1d_pruner(module: Any, pruning: Any) -> dict[Any, Any]:
    kinds = {type(child) for child in module.modules() if is_conv1d(child)}

    class Conv1DPruner(pruning.BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            left = np.setdiff1d(np.arange(layer.nf), idxs).tolist()
            layer.weight = self._prune_parameter_and_grad(layer.weight, left, 1)
            layer.bias = self._prune_parameter_and_grad(layer.bias, left, 0)
            layer.nf = len(left)
            return layer

        def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            left = np.setdiff1d(np.arange(layer.nx), idxs).tolist()
            layer.weight = self._prune_parameter_and_grad(layer.weight, left, 0)
            layer.nx = len(left)
            return layer

        def get_out_channels(self, layer: Any) -> int:
            return int(layer.nf)

        def get_in_channels(self, layer: Any) -> int:
            return int(layer.nx)

    return {kind: Conv1DPruner() for kind in kinds}
