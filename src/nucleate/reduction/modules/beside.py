"""A module of the reduced widths that is trained directly, held against the reduced one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nucleate._wording import count, listed, say_error
from nucleate.baselines import Baseline, Entrant, Judged, compare_entrants
from nucleate.baselines import judge as judge_without
from nucleate.baselines.comparison import count_units
from nucleate.errors import SpecError
from nucleate.problems import Metric
from nucleate.pytorch.exchange import import_torch
from nucleate.reduction.modules.judging import DEVIATION, LOSS, Judge
from nucleate.reduction.modules.rows import Parts, Rows, outputs_of
from nucleate.reduction.modules.search import count_parameters
from nucleate.reduction.modules.units import copied

_SEEDS = 3
NARROW = "narrow module"


def narrow_module(
    small: Any, train: Callable[[Any], Any], judge: Judge, parts: Parts, seed: int
) -> tuple[Baseline, str | None]:
    """Train modules of the reduced one's shapes from three new starts, and hold the best on validation against it.

    Beside the comparison, with the noise of rows and of seeds, a note on parameters that have no start of their own.
    """
    if judge.metric is DEVIATION:
        raise SpecError(
            "`train` makes a narrow module to be held against the reduced one, and that needs a metric of targets; "
            "give data with targets."
        )
    torch = import_torch()
    starts: list[Any] = []
    without: tuple[str, ...] = ()
    for at in range(_SEEDS):
        torch.default_generator.manual_seed(int(seed) + at)
        start, without = start_anew(small)
        starts.append(trained_by(train, "train", start))
    values = [judge.value(one, parts.validation, outputs_of(one, parts.validation)) for one in starts]
    order = np.argsort([judge.metric.cost(value) for value in values], kind="stable")
    best = starts[order[0]]
    # The rows for validation chose the reduced widths, and among these starts.
    rows = parts.certification
    comparison = compare_entrants(
        judge.metric,
        len(rows),
        Entrant([_judged(judge, small, rows)], varies=False),
        Entrant([_judged(judge, starts[at], rows) for at in order]),
        **count_units(rows),
    )
    baseline = Baseline(
        NARROW,
        (),
        count_parameters(best),
        values[order[0]],
        judge.value(best, rows, outputs_of(best, rows)),
        {},
        comparison,
    )
    if not without:
        return baseline, None
    return baseline, (
        f"{count(len(without), 'parameter')} of the narrow module ({listed(without)}) have no start of their own, so "
        "they were drawn at the reduced module's own mean and standard deviation."
    )


def say_narrow(narrow: Baseline, metric: str) -> str:
    """A module that was trained directly, beside the reduced one, in a sentence."""
    seeds = "" if narrow.comparison is None else f", the best on validation of {narrow.comparison.seeds[1]} starts"
    return (
        f"A {narrow.name} of the same widths, trained directly{seeds}: test {metric} {narrow.test:.5g}. Against the "
        f"reduced module, on the test rows: {narrow.comparison}."
    )


def start_anew(module: Any) -> tuple[Any, tuple[str, ...]]:
    """A copy with new parameters, and the names of those whose layer has no ``reset_parameters``."""
    torch = import_torch()
    fresh = copied(module).train()
    begun: set[int] = set()
    for layer in fresh.modules():
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if callable(reset):
            reset()
            begun |= {id(parameter) for parameter in layer.parameters(recurse=False)}
    without = [name for name, parameter in fresh.named_parameters() if id(parameter) not in begun]
    with torch.no_grad():
        for name in without:
            value = fresh.get_parameter(name)
            value.normal_(float(value.mean()), float(value.std()) if value.numel() > 1 else 0.0)
    return fresh, tuple(without)


def trained_by(train: Callable[[Any], Any], name: str, module: Any) -> Any:
    """The module, given in training mode, that a person's function trained, in evaluation mode."""
    nn = import_torch().nn
    shapes = [value.shape for value in module.parameters()]
    try:
        returned = train(module.train())
    except Exception as error:
        raise SpecError(
            f"`{name}` failed on a module of the reduced shapes ({say_error(error)[:160]}); it is called with the "
            "module, and trains it in place or returns it trained."
        ) from error
    done = module if returned is None else returned
    if not isinstance(done, nn.Module) or [value.shape for value in done.parameters()] != shapes:
        raise SpecError(f"`{name}` returned something else than the module it was given; return it, or nothing.")
    if not all(value.isfinite().all() for value in done.parameters()):
        raise SpecError(f"`{name}` left parameters that are not finite; its training diverged, so lower its rate.")
    return done.cpu().eval()


def _judged(judge: Judge, module: Any, rows: Rows) -> Judged:
    """The metric on the rows, and without groups of them; copies are left out together."""
    outputs = outputs_of(module, rows)

    def value(numbers: np.ndarray, _: np.ndarray) -> float:
        taken = import_torch().as_tensor(numbers[:, 0])
        return judge.value(module, rows.take(taken), outputs[taken])

    numbers = np.arange(len(rows))[:, None]
    if judge.metric is LOSS:
        # The module itself says it, and would be run anew for each group that is left out.
        losses = np.array([value(number, number) for number in numbers[:, None]])
        return judge_without(
            Metric(LOSS.name, lambda taken, _: float(losses[taken].mean())), numbers, numbers, rows.copies
        )
    return judge_without(Metric(judge.metric.name, value, judge.metric.larger_is_better), numbers, numbers, rows.copies)
