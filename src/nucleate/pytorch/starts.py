"""A PyTorch model started small: its weights rescaled to a named convention, layer by layer."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from nucleate._wording import aligned, listed, shown
from nucleate.errors import ArchitectureError
from nucleate.init_scale import InitScale
from nucleate.pytorch.exchange import import_torch, refuse_script
from nucleate.pytorch.layers import fans_of_experts, kind_of, maker_of, weights_in

if TYPE_CHECKING:
    import torch

_SCHEMA = {
    "layer": pl.String,
    "kind": pl.String,
    "fan_in": pl.Int64,
    "fan_out": pl.Int64,
    "std_before": pl.Float64,
    "std": pl.Float64,
    "what": pl.String,
}


class _Weights(NamedTuple):
    """A weight matrix, the bias of its units, how many numbers each unit reads, and how many units there are."""

    name: str
    kind: str
    weight: Any
    bias: Any
    fan_in: int
    fan_out: int


def init_(module: "torch.nn.Module", scale: InitScale | Sequence[InitScale], *, quiet: bool = False) -> pl.DataFrame:
    """Rescale a module's weights in place, so that each layer starts with the standard deviation that is named.

    Every weight matrix is multiplied by one number, which brings its root mean square to what the convention says for
    its fan-in and fan-out; so its draw stays what it is, and no random number is taken. The layer's biases are
    multiplied by the same number. Norm layers, embeddings and single vectors stay as they are; a norm layer divides the
    scale of what comes before it out again, until its eps is larger. For ``gamma`` the last matrix counts as the output
    layer.

    Parameters
    ----------
    module : torch.nn.Module
        Of linear layers, convolutions, attention and recurrent layers, in any nesting. Weights that are tied are
        rescaled once.
    scale : InitScale, or one for each layer
        In the order in which the module holds its layers, which is that of the table.
    quiet : bool
        Print nothing.

    Returns
    -------
    polars DataFrame
        A row for each parameter with ``layer``, ``kind``, ``fan_in``, ``fan_out``, ``std_before``, ``std`` (root mean
        squares) and ``what`` was done. It is printed, too.

    Raises
    ------
    ArchitectureError
        For a module without weights, weights that are zero, NaN or infinite, underflow, have no numbers yet or are made
        of other parameters, or a
        sequence of another length. The module is then as it was.
    SpecError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> module = torch.nn.Sequential(torch.nn.Linear(10, 50), torch.nn.Tanh(), torch.nn.Linear(50, 1))  # doctest: +SKIP
    >>> table = init_(module, InitScale("gain", 0.1))  # doctest: +SKIP
    """
    torch = import_torch()
    if not isinstance(module, torch.nn.Module):
        raise ArchitectureError(f"{shown(module)} is no PyTorch module; give one.")
    refuse_script(module)
    lazy = [name for name, one in module.named_parameters() if torch.nn.parameter.is_lazy(one)]
    if lazy:
        raise ArchitectureError(f"{lazy[0]} has no shape yet, so it has no numbers; run the module once first.")
    _refuse_made(module)
    found, left = _weights(module)
    if not found:
        raise ArchitectureError(f"This {type(module).__name__} has no linear, convolutional or recurrent weights.")
    scales: list[Any] = list(scale) if isinstance(scale, list | tuple) else [scale] * len(found)
    wrong = [one for one in scales if not isinstance(one, InitScale)]
    if wrong:
        raise ArchitectureError(f"{shown(wrong[0])} is no init scale; give one such as InitScale('gain', 0.1).")
    if len(scales) != len(found):
        raise ArchitectureError(
            f"The module has {len(found)} matrices of weights ({listed(one.name for one in found)}); give one "
            "InitScale, or a sequence of as many."
        )
    factors: list[float] = []
    rows: list[tuple[str | int | float | None, ...]] = []
    for place, (one, wanted) in enumerate(zip(found, scales, strict=True)):
        before = _size(one)
        std = wanted.std(one.fan_in, one.fan_out, output_layer=place == len(found) - 1)
        if not torch.finfo(one.weight.dtype).tiny <= std:
            raise ArchitectureError(
                f"{one.name} would start at {std:.3g}, which {str(one.weight.dtype).removeprefix('torch.')} cannot "
                "hold; convert the module by .double() first, or start it larger."
            )
        factors.append(std / before)
        what = f"times {std / before:.4g}" + ("" if one.bias is None else ", its biases too")
        rows.append((one.name, one.kind, one.fan_in, one.fan_out, before, std, what))
    with torch.no_grad():
        for one, factor in zip(found, factors, strict=True):
            one.weight.mul_(factor)
            if one.bias is not None:
                one.bias.mul_(factor)
    rows += [(name, kind, None, None, None, None, f"left as it is: {why}") for name, kind, why in left]
    table = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    if not quiet:
        print(_as_text(table))
    return table


def _refuse_made(module: Any) -> None:
    """Refuse weights that are made of other parameters, which no factor brings to a size."""
    for name, part in module.named_modules():
        if how := maker_of(part):
            raise ArchitectureError(
                f"{name or 'The module'} makes its weights of other parameters ({how}), which no factor brings to a "
                "size of its own; start the module small before that."
            )


def _size(one: _Weights) -> float:
    """The root mean square, in float64; refused where it cannot be rescaled."""
    if one.weight.is_meta:
        raise ArchitectureError(f"{one.name} is on the meta device, so it has no numbers; give it some first.")
    values = one.weight.detach().double()
    size = float(values.abs().max())
    if not math.isfinite(size):
        raise ArchitectureError(f"{one.name} has weights that are NaN or infinite; draw them anew first.")
    if size == 0:
        raise ArchitectureError(
            f"All weights of {one.name} are zero, which no factor makes larger; draw them first, as by "
            "torch.nn.init.normal_."
        )
    # Of the ratios, so that squares of small weights do not underflow.
    return size * float((values / size).pow(2).mean().sqrt())


def _weights(module: Any) -> tuple[list[_Weights], list[tuple[str, str, str]]]:
    """The weight matrices in their order, and the parameters that stay as they are, with their kind and why."""
    found: list[_Weights] = []
    left: list[tuple[str, str, str]] = []
    first: dict[int, str] = {}
    biases: set[int] = set()
    for path, part in module.named_modules():
        own = dict(part.named_parameters(recurse=False))
        for name, parameter in own.items():
            full, kind = f"{path}.{name}".lstrip("."), type(part).__name__
            tied_to = first.setdefault(id(parameter), full)
            if tied_to != full:
                left.append((full, kind, f"it is {tied_to}"))
                continue
            fans = _fans(part, name, parameter)
            if isinstance(fans, str):
                left.append((full, kind, fans))
                continue
            bias = own.get(name.replace("weight", "bias") if "weight" in name else f"{name}_bias")
            found.append(_Weights(full, kind, parameter, bias, *fans))
            biases.add(id(bias))
    return found, [(name, kind, why) for name, kind, why in left if id(module.get_parameter(name)) not in biases]


def _fans(part: Any, name: str, weight: Any) -> tuple[int, int] | str:
    """Fan-in and fan-out of a parameter, or why it stays as it is."""
    if weight.is_complex():
        return "its numbers are complex, and init scales are of real ones"
    if weight.ndim < 2:
        return "a vector of single numbers, such as those of a norm layer"
    known = weights_in(part).get(name)
    if known is not None:
        is_input = known.kind == "embedding"
        return "embeddings are inputs, whose size is no layer's scale" if is_input else known.fans(weight.shape)
    if kind_of(part) == "attention":
        return "one key or value more for every sequence, which reads nothing"
    of_experts = fans_of_experts(part).get(name) or _fans_of_router(part, name, weight)
    return of_experts or f"it is a parameter of {type(part).__name__}, whose fan-in is not known"


def _fans_of_router(part: Any, name: str, weight: Any) -> tuple[int, int] | None:
    """Of a matrix that has a score for each expert, where the part says how many there are."""
    if weight.ndim != 2 or "bias" in name or "scale" in name:
        return None
    counts = {value for key, value in vars(part).items() if "experts" in key and type(value) is int}
    experts = [side for side in weight.shape if side in counts]
    return (weight.numel() // experts[0], experts[0]) if len(experts) == 1 else None


def _as_text(table: pl.DataFrame) -> str:
    header = ["layer", "kind", "fan-in", "fan-out", "std before", "std", ""]
    cells = [
        ["" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
        for row in table.iter_rows()
    ]
    return "\n".join(aligned([header, *cells], len(header)))
