"""The verb for a PyTorch module."""

import math
import sys
from collections.abc import Callable
from operator import ne
from typing import Any

from nucleate._arrays import is_real, is_whole
from nucleate._wording import count, shown
from nucleate.errors import ArchitectureError, SpecError
from nucleate.pytorch.exchange import import_torch, unwrap
from nucleate.reduction.modules.beside import narrow_module, trained_by
from nucleate.reduction.modules.graph import Graph, check, shapes_in_training, trace
from nucleate.reduction.modules.judging import Judge, judge_of
from nucleate.reduction.modules.narrowing import Original
from nucleate.reduction.modules.preparing import as_stored, finish, working_copy
from nucleate.reduction.modules.reduction import ModuleReduction
from nucleate.reduction.modules.rows import (
    Parts,
    Rows,
    check_certifies,
    check_fit,
    divide,
    outputs_of,
    outputs_of_smaller,
    tensors_of,
)
from nucleate.reduction.modules.search import Search, Widths, count_flops, count_parameters
from nucleate.reduction.modules.units import Narrowing, copied
from nucleate.reduction.reduction import BeforeAfter
from nucleate.reduction.tolerance import check_tolerance

MOST_CALIBRATION = 4096
TOLERANCE = 0.01
"""By default."""
_DRAWS = 4
"""Of random numbers, by which it shows what of a module in training mode is by chance."""


def reduce_module(
    module: Any,
    data: Any,
    tolerance: float = TOLERANCE,
    *,
    metric: Any = None,
    larger_is_better: bool | None = None,
    keep: float | None = None,
    parameters: int | None = None,
    flops: int | None = None,
    validation: Any = None,
    test: Any = None,
    fine_tune: Callable[[Any], Any] | None = None,
    train: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> ModuleReduction:
    """The smaller PyTorch module that does the work of ``module``: fewer neurons, channels and heads in its layers.

    Units are chosen by what they add to what the next layers are given in the original, and these are refitted; labels
    are needed for the metric alone. The module itself is never changed.

    Parameters
    ----------
    module : torch.nn.Module
    data : DataLoader, arrays or tensors
        Batches of (inputs, targets), of a module's arguments by name, or of inputs alone; or (x, y).
    tolerance : float
        Where no size is asked for, the smallest module is found whose metric gets worse by at most this share of itself
        on validation, and whose outputs move by no more than what would explain that; of classes the balanced accuracy
        is held so too, whatever the metric.
    metric : str, callable, torch loss, or nucleate.Metric or Loss, optional
        By default accuracy for class numbers, rmse for amounts, the module's own loss where it takes labels, and the
        deviation of the outputs where there are no targets. A function takes outputs and targets.
    larger_is_better : bool, optional
        Of a function.
    keep : float, optional
        The share of the units of every layer that is to be kept.
    parameters, flops : int, optional
        What the module may have at most, or cost for a row.
    validation, test : like data, optional
        Drawn at random from ``data`` where they are not given, a fifth each.
    fine_tune : callable, optional
        Takes the smaller module and trains it in place, or returns it trained.
    train : callable, optional
        Trains a module from its start, in the same way; then three modules of the reduced widths, with parameters drawn
        anew, are trained by it and held against the reduced one on the same rows.
    seed : int
        Of the division and of these starts.

    Returns
    -------
    ModuleReduction

    Raises
    ------
    SpecError
        For a setting out of range.
    ArchitectureError
        For a module that cannot be read, traced or compared.
    DataError
        For data that are not finite, do not fit, or are too few.
    """
    torch = import_torch()
    asked = _check(tolerance, keep, parameters, flops, {"fine_tune": fine_tune, "train": train}, seed)
    module = unwrap(module)
    _refuse_adapters(module)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        # Not torch.manual_seed, which would set the numbers of accelerators too.
        torch.default_generator.manual_seed(int(seed))
        work, notes = working_copy(module)
        parts = divide(data, validation, test, seed).of(next(work.parameters()).dtype)
        before = check_fit(work, parts)
        judge = judge_of(metric, larger_is_better, work, parts, before)
        calibration = parts.calibration.spread(MOST_CALIBRATION)
        graph = _narrowable(work, calibration.spread(8))
        _check_runs(work, graph, (calibration, parts.validation))
        row = parts.validation.take(slice(0, 1))
        size = (lambda one: count_flops(one, row)) if flops is not None else count_parameters
        search = Search(Original(work, graph.units, calibration, graph.order), size)
        if keep is not None:
            widths = search.share(keep)
        elif (budget := flops if parameters is None else parameters) is not None:
            widths = _within(
                search, budget, "FLOPs a row" if parameters is None else "parameters", judge, parts, before
            )
        else:
            widths = search.smallest_within(judge.fits(work, parts.validation, before, tolerance))
        small = search.make(widths)
        if fine_tune is not None:
            small = trained_by(fine_tune, "fine_tune", small)
        as_stored(small, module)
        held = parts.certification
        outputs = [
            check_certifies(outputs_of(work, held), "given", "drop the rows that it cannot take"),
            check_certifies(
                outputs_of_smaller(small, held),
                "smaller",
                "keep more of the units, or give the module in float32, whose range is wider than that of float16",
            ),
        ]
        after = outputs_of(small, parts.validation)
        narrow, note = (None, None) if train is None else narrow_module(small, train, judge, parts, seed)
        counted = [(count_parameters(one), count_flops(one, row)) for one in (work, small)]
        validated = [judge.value(work, parts.validation, before), judge.value(small, parts.validation, after)]
        tested = [judge.value(one, held, out) for one, out in zip((work, small), outputs, strict=True)]
        finish(small, module)
        return ModuleReduction(
            module=small,
            original=module,
            layers=tuple(
                (units.layer, units.kind, units.number, width) for units, width in zip(graph.units, widths, strict=True)
            ),
            left_whole=graph.left_whole,
            metric=judge.metric,
            parameters=BeforeAfter(*(one[0] for one in counted)),
            bytes=BeforeAfter(_bytes(module), _bytes(small)),
            flops=BeforeAfter(*(one[1] for one in counted)),
            validation=BeforeAfter(*validated),
            test=BeforeAfter(*tested),
            certificate=judge.certify(parts, *outputs),
            asked=asked,
            notes=(
                *notes,
                *_not_covered(work, row, is_narrower=any(map(ne, widths, search.whole))),
                *parts.notes,
                *judge.targets.notes(before, parts.validation.targets),
                *([] if note is None else [note]),
            ),
            rows=(len(calibration), len(parts.validation), len(held)),
            parts=parts,
            judge=judge,
            narrow=narrow,
        )


def _refuse_adapters(module: Any) -> None:
    """Of an adapter beside a layer Torch-Pruning's graph does not know that both have the same units."""
    if (peft := sys.modules.get("peft.tuners.tuners_utils")) is None:
        return
    adapted = [name for name, one in module.named_modules() if isinstance(one, peft.BaseTunerLayer)]
    if adapted:
        raise ArchitectureError(
            f"The {type(module).__name__} has adapters of peft beside its layers, such as {adapted[0]}, and cannot be "
            "narrowed with them; give what its merge_and_unload() returns."
        )


def _narrowable(module: Any, rows: Any) -> Graph:
    """The graph, without the units that turn out not to be narrowable."""
    graph = trace(module, rows)
    with import_torch().no_grad():
        in_training = shapes_in_training(copied(module), rows, draws=_DRAWS)
    reasons = {units: check(module, units, rows, in_training) for units in graph.units}
    found = tuple(units for units in graph.units if reasons[units] is None)
    left = [(units.layer, reason) for units, reason in reasons.items() if reason is not None]
    if not found:
        said = "; ".join(f"{layer or 'itself'}: {reason}" for layer, reason in (*left, *graph.left_whole)[:4])
        said = said or "it has no linear layer or convolution"
        raise ArchitectureError(
            f"No layer of the {type(module).__name__} can be narrowed ({said}); a linear layer or a "
            "convolution that others read can be."
        )
    return Graph(found, (*left, *graph.left_whole), graph.order)


def _check_runs(module: Any, graph: Graph, parts: tuple[Rows, ...]) -> None:
    """Raise if half of all units is too few for the module to run on rows that the graph was not read from."""
    narrowing = Narrowing(module)
    for units in graph.units:
        narrowing.keep(units, range(0, units.number, 2))
    for rows in parts:
        outputs_of_smaller(narrowing.module, rows)


def _not_covered(module: Any, row: Rows, *, is_narrower: bool) -> list[str]:
    """Notes on what a module returns beside what is judged, and on a config that does not know the new widths."""
    with import_torch().no_grad():
        number = sum(value.is_floating_point() and value.ndim > 0 for value in tensors_of(row.call(module))) - 1
    notes = []
    if number > 0:
        notes.append(
            f"The module returns {count(number, 'further tensor')} of real numbers; these may have moved more than "
            "what is told of the first, the only one that was judged."
        )
    if is_narrower and callable(getattr(module, "save_pretrained", None)):
        notes.append(
            "The config of the smaller module still has the widths of before, so from_pretrained cannot load what its "
            "save_pretrained writes; save the whole module with torch.save."
        )
    return notes


def _within(search: Search, budget: int, of: str, judge: Judge, parts: Parts, before: Any) -> Widths:
    """The best on validation of the widest that are within a budget."""
    if search.size(search.whole) <= budget:
        return search.whole
    found = search.largest_below(budget)
    if not found:
        least = search.size(tuple(1 for _ in search.whole))
        raise SpecError(f"The budget is {budget} {of}; with one unit a layer there are {least}, so give more.")

    def cost(widths: Widths) -> float:
        return judge.distance(parts.validation, before, outputs_of(search.make(widths), parts.validation))

    return min(found, key=cost)


def _bytes(module: Any) -> int:
    return sum(value.numel() * value.element_size() for value in (*module.parameters(), *module.buffers()))


def _check(tolerance: Any, keep: Any, parameters: Any, flops: Any, functions: dict[str, Any], seed: Any) -> str:
    """Raise for settings out of range; else what is asked for, in words."""
    check_tolerance(tolerance)
    sizes = {"keep": keep, "parameters": parameters, "flops": flops}
    given = {name: value for name, value in sizes.items() if value is not None}
    if given and tolerance != TOLERANCE:
        raise SpecError(f"The tolerance and `{next(iter(given))}` each say how small the module is to be; give one.")
    if len(given) > 1:
        raise SpecError(
            f"{' and '.join(f'`{name}`' for name in given)} each say how small the module is to be; give one."
        )
    for name, value in given.items():
        number = float(value) if is_real(value) else math.nan
        if name == "keep" and not 0 < number <= 1:
            raise SpecError(f"`keep` is {shown(value)}; it must be between 0 and 1, such as 0.25 for a quarter.")
        if not 0 < number < math.inf:
            raise SpecError(f"`{name}` is {shown(value)}; it must be a number above 0.")
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise SpecError(
                f"`{name}` is {shown(function)}; for a PyTorch module it must be a function that trains it."
            )
    if not is_whole(seed) or seed < 0:
        raise SpecError(f"The seed is {shown(seed)}; it must be a whole number, 0 or more.")
    return next((f"{name}={value:g}" for name, value in given.items()), f"tolerance={tolerance:g}")
