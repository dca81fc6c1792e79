"""What reduction makes of networks from five init scales, beside pruning, a narrow network and a linear model.

    make bench BENCHMARK=reduction

Five real sets, two hidden layers of 128, tanh and ReLU, gradient descent and Adam, three seeds (of split and start): of
each such cell networks of five gains are trained on all rows at once and judged at the step of best validation, and
each is reduced within 1 %. The best of the five on validation is what everything is held against. The cell's reduction
is the one with the fewest parameters that is within 1 % of that best network's validation metric, whatever its own
gain. The baselines prune the network that it was made from to the same widths; all are fine-tuned alike. Test rows are
looked at once, at the end.

A second table holds the network of the scale chosen on validation against that of the standard scale, without and with
the weight decay chosen on validation, by the number of training rows; the standardization is that of all training rows
in every arm.

Finished cells are kept in the folder ``reduction-benchmark``; the same command goes on where it stood. Names of sets as
arguments restrict it to these.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
from pruning_rivals import RIVALS, fine_tune, from_torch, to_torch, with_weight_decay

import nucleate
from nucleate import InitScale, Network, Reduction, Run, get_activation, load_problem, train_many
from nucleate.baselines import linear, narrow
from nucleate.exports import export
from nucleate.problems import Problem, Split
from nucleate.reduction import load_reduction, save_reduction

# The learning rate of gradient descent at which all gains train.
SETS = {"diabetes": 0.05, "breast_cancer": 0.2, "wine": 0.2, "digits": 0.5, "elevation": 0.1}
ADAM_RATE = 0.003
GAINS, SEEDS = (1.0, 0.3, 0.1, 0.03, 0.01), 3
ACTIVATIONS, OPTIMIZERS = ("tanh", "relu"), ("gd", "adam")
HIDDEN, STEPS, TOLERANCE = (128, 128), 3000, 0.01
NARROW = (2, 4, 8, 16, 32)
BUDGETS = (0, 30, 300)
ROUNDS = 5
FOLDER = Path("reduction-benchmark")

CURVE_SETS, CURVE_ROWS, CURVE_SPLITS = ("diabetes", "breast_cancer", "digits", "elevation"), (50, 100, 200, 400), 5
CURVE_HIDDEN, CURVE_STEPS, DECAYS = (64, 64), 1000, (0.01, 0.1, 1.0)


def worse(problem: Problem, metric: float, than: float) -> float:
    """By how much of itself a metric is worse than another."""
    return 1 - metric / than if problem.loss.metric.larger_is_better else metric / than - 1


def metric_on(problem: Problem, network: Network, part: Split) -> float:
    return problem.metric(network(part.x), part.y)


def train_scales(
    problem: Problem, hidden: Sequence[int], activation: str, optimizer: str, rate: float, steps: int, seed: int
) -> list[Run]:
    networks = [
        Network.create(
            problem.inputs,
            hidden,
            problem.outputs,
            scale=InitScale("gain", gain),
            activation=activation,
            bias=[True, False, False],
            seed=seed,
        )
        for gain in GAINS
    ]
    return train_many(
        networks, problem, learning_rates=[rate] * len(GAINS), optimizer=optimizer, steps=steps, evaluations=60
    )


def run_cell(name: str, activation: str, optimizer: str, seed: int) -> dict[str, Any]:
    """Train, reduce and choose; the cell's reduction is kept."""
    problem = load_problem(name, split_seed=seed)
    rate = SETS[name] if optimizer == "gd" else ADAM_RATE
    runs = train_scales(problem, HIDDEN, activation, optimizer, rate, STEPS, seed)
    reductions: dict[float, Reduction] = {}
    seconds = []
    for gain, run in zip(GAINS, runs, strict=True):
        if run.status == "finished":
            started = time.perf_counter()
            reductions[gain] = nucleate.reduce(run.best, problem, TOLERANCE, baselines=False)
            seconds.append(time.perf_counter() - started)
    best = min(reductions.values(), key=lambda reduction: worse(problem, reduction.validation.before, 1.0))
    within = [
        reduction
        for reduction in reductions.values()
        if worse(problem, reduction.validation.after, best.validation.before) <= TOLERANCE
    ]
    chosen = min(within, key=lambda reduction: reduction.parameters.after)
    save_reduction(chosen, FOLDER / cell_name(name, activation, optimizer, seed))
    return {
        "best": best.test.before,
        "gain": next(gain for gain, reduction in reductions.items() if reduction is chosen),
        "hidden": list(chosen.network.hidden),
        "parameters": chosen.parameters.after,
        "kept": chosen.share_kept,
        "reduced": chosen.test.after,
        "linear": linear(problem).alone(problem).test,
        "seconds": float(np.median(seconds)),
        "by_gain": {
            str(gain): {
                "kept": reduction.share_kept,
                "before": reduction.test.before,
                "after": reduction.test.after,
                "hidden": list(reduction.network.hidden),
            }
            for gain, reduction in reductions.items()
        },
    }


def run_pruning(name: str, activation: str, optimizer: str, seed: int) -> dict[str, Any]:
    """Test metrics of the cell's reduction and of the rivals at its widths, after so many steps of fine-tuning."""
    problem = load_problem(name, split_seed=seed)
    reduction = load_reduction(FOLDER / cell_name(name, activation, optimizer, seed))
    original = to_torch(reduction.original)
    metrics = {}
    for budget in BUDGETS:
        contenders = {"nucleate": fine_tune(to_torch(reduction.network), problem, budget)}
        contenders |= {
            baseline: prune(original, reduction.network.hidden, problem, budget) for baseline, prune in RIVALS.items()
        }
        for contender, module in contenders.items():
            network = from_torch(module, reduction.original)
            metrics[f"{contender}, {budget}"] = metric_on(problem, network, problem.test)
    return metrics


def run_narrow(name: str, activation: str, seed: int) -> dict[str, Any]:
    """The narrow network whose width is best on validation."""
    problem = load_problem(name, split_seed=seed)
    baselines = [narrow(problem, (width, width), get_activation(activation)).alone(problem) for width in NARROW]
    best = min(baselines, key=lambda baseline: worse(problem, baseline.validation, 1.0))
    return {"test": best.test, "parameters": best.parameters}


def run_curve(name: str, rows: int | None, split: int) -> dict[str, Any]:
    """The test metric of the standard scale, of that chosen on validation, and of weight decay, from so many rows."""
    full = load_problem(name, split_seed=split)
    taken = np.random.default_rng(split).permutation(len(full.train.x))[:rows]
    problem = replace(full, train=Split(full.train.x[taken], full.train.y[taken]))
    runs = train_scales(problem, CURVE_HIDDEN, "tanh", "adam", ADAM_RATE, CURVE_STEPS, split)
    standard = runs[0]
    decayed = [with_weight_decay(standard.initial, problem, ADAM_RATE, decay, CURVE_STEPS) for decay in DECAYS]
    return {
        "rows": len(taken),
        "standard scale": metric_on(problem, standard.best, problem.test),
        "scale chosen": metric_on(problem, best_on_validation(problem, [run.best for run in runs]), problem.test),
        "weight decay chosen": metric_on(problem, best_on_validation(problem, decayed), problem.test),
    }


def best_on_validation(problem: Problem, networks: Sequence[Network]) -> Network:
    part = problem.validation
    return min(networks, key=lambda network: problem.loss(network(part.x), part.y))


def cell_name(*parts: object) -> str:
    return "-".join(map(str, parts))


def kept(file: str, run: Any, *arguments: Any) -> dict[str, Any]:
    """A finished cell's row, or the cell run now."""
    path = FOLDER / f"{file}.json"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        started = time.perf_counter()
        content = json.dumps(run(*arguments), indent=1)
        path.write_text(content)
        print(f"{file}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    row: dict[str, Any] = json.loads(path.read_text())
    return row


def time_calls(reductions: Sequence[tuple[Reduction, Problem]]) -> list[dict[str, float]]:
    """How many times faster onnxruntime is on one thread after than before: numbers out, or labels' texts as well.

    Medians over rounds of all cells, since one round's median and another's may differ by a fifth.
    """
    rounds = [[_times_faster(*one) for one in reductions] for _ in range(ROUNDS)]
    by_round = ", ".join(f"{np.median([cell['faster_1024'] for cell in cells]):.2g}" for cells in rounds)
    print(f"\nTimes as fast at 1024 rows, median of the cells, by round: {by_round}")
    return [
        {what: float(np.median([one[what] for one in cell])) for what in cell[0]} for cell in zip(*rounds, strict=True)
    ]


def _times_faster(reduction: Reduction, problem: Problem) -> dict[str, float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = []
    with tempfile.TemporaryDirectory() as folder:
        for network in (reduction.original, reduction.network):
            path = Path(folder) / "network.onnx"
            export(network, problem, path)
            sessions.append(onnxruntime.InferenceSession(path, options))
    rows = np.random.default_rng(0).standard_normal((1024, sessions[0].get_inputs()[0].shape[1]))
    numbers = [sessions[0].get_outputs()[-1].name]
    return {
        "faster_1": _ratio(sessions, rows[:1], numbers),
        "faster_1024": _ratio(sessions, rows, numbers),
        "with_labels_1024": _ratio(sessions, rows, None),
    }


def _ratio(sessions: Sequence[onnxruntime.InferenceSession], rows: np.ndarray, outputs: Sequence[str] | None) -> float:
    """The median ratio of calls taken in turns."""
    times = []
    for _ in range(60):
        pair = []
        for session in sessions:
            started = time.perf_counter()
            session.run(outputs, {"numbers": rows})
            pair.append(time.perf_counter() - started)
        times.append(pair[0] / pair[1])
    return float(np.median(times[10:]))


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def percent(value: float) -> str:
    return f"{100 * value:.2g} %" if abs(value) >= 1e-4 else "0 %"


def say(values: Sequence[float]) -> str:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{np.mean(values):.3g} ± {error:.1g}"


def print_table(rows: list[dict[str, Any]]) -> None:
    table = pl.DataFrame(rows)
    print(f"\n| {' | '.join(table.columns)} |\n|{'---|' * table.width}")
    for row in table.iter_rows():
        print(f"| {' | '.join(map(str, row))} |")


def print_by_gain(cells: dict[tuple[Any, ...], dict[str, Any]], names: Sequence[str]) -> None:
    print("\nParameters kept within 1 % of the own network, geometric means (test metric lost, means):")
    rows = []
    for name in names:
        row = {"set": name}
        problem = load_problem(name)
        for gain in map(str, GAINS):
            found = [
                cell["by_gain"][gain] for (own, *_), cell in cells.items() if own == name and gain in cell["by_gain"]
            ]
            lost = np.mean([worse(problem, one["after"], one["before"]) for one in found])
            row[f"gain {gain}"] = f"{percent(geometric_mean([one['kept'] for one in found]))} ({percent(lost)})"
        rows.append(row)
    print_table(rows)


def print_reductions(
    cells: dict[tuple[Any, ...], dict[str, Any]],
    narrow: dict[tuple[Any, ...], dict[str, Any]],
    timed: dict[tuple[Any, ...], dict[str, float]],
    names: Sequence[str],
) -> None:
    print("\nThe reduction of each cell beside its best network, a narrow and a linear one; test metrics are means:")
    rows = []
    for name in names:
        own = {key: cell for key, cell in cells.items() if key[0] == name}
        simple = [cell for key, cell in narrow.items() if key[0] == name]
        rows.append(
            {
                "set, metric": f"{name}, {load_problem(name).metric_name}",
                "widths, median": " ".join(
                    f"{np.median(side):.3g}" for side in zip(*(cell["hidden"] for cell in own.values()), strict=True)
                ),
                "parameters kept": percent(geometric_mean([cell["kept"] for cell in own.values()])),
                "best network": say([cell["best"] for cell in own.values()]),
                "reduced": say([cell["reduced"] for cell in own.values()]),
                "narrow (parameters)": f"{say([cell['test'] for cell in simple])} "
                f"({np.median([cell['parameters'] for cell in simple]):.0f})",
                "reduced parameters, median": f"{np.median([cell['parameters'] for cell in own.values()]):.0f}",
                "linear": say([cell["linear"] for cell in own.values()]),
                "faster, 1 row": f"{np.median([timed[key]['faster_1'] for key in own]):.2g}",
                "faster, 1024 rows": f"{np.median([timed[key]['faster_1024'] for key in own]):.2g}",
                "with labels' texts": f"{np.median([timed[key]['with_labels_1024'] for key in own]):.2g}",
                "s to reduce, median": f"{np.median([cell['seconds'] for cell in own.values()]):.2g}",
            }
        )
    print_table(rows)
    changes = [worse(load_problem(key[0]), cell["reduced"], cell["best"]) for key, cell in cells.items()]
    kept_share = geometric_mean([cell["kept"] for cell in cells.values()])
    rows_1, rows_1024, with_labels = (
        np.median([one[what] for one in timed.values()]) for what in ("faster_1", "faster_1024", "with_labels_1024")
    )
    print(
        f"\nAll {len(cells)} cells: parameters kept {percent(kept_share)} (geometric mean); test metric lost against "
        f"the best network over scales {percent(np.mean(changes))} on the mean, {percent(np.median(changes))} on the "
        f"median; {rows_1024:.2g} times as fast at 1024 rows on the median, {with_labels:.2g} with labels' texts, "
        f"{rows_1:.2g} at one."
    )


def print_pruning(
    cells: dict[tuple[Any, ...], dict[str, Any]], pruned: dict[tuple[Any, ...], dict[str, Any]], names: Sequence[str]
) -> None:
    print("\nTest metric lost against the best network at equal widths and equal fine-tuning, means over the cells:")
    rows = []
    for budget, contender in itertools.product(BUDGETS, ("nucleate", *RIVALS)):
        row: dict[str, Any] = {"steps": budget, "": contender}
        every = []
        for name in names:
            problem = load_problem(name)
            lost = [
                worse(problem, pruned[key][f"{contender}, {budget}"], cell["best"])
                for key, cell in cells.items()
                if key[0] == name
            ]
            row[name] = percent(np.mean(lost))
            every += lost
        row["median of all"] = percent(np.median(every))
        rows.append(row)
    print_table(rows)


def print_curves(names: Sequence[str]) -> None:
    arms = ("standard scale", "scale chosen", "weight decay chosen")
    print(f"\nTest metric by rows to train on, mean ± standard error over {CURVE_SPLITS} splits:")
    rows = []
    for name, count in itertools.product(names, (*CURVE_ROWS, None)):
        splits = [
            kept(cell_name("curve", name, count, split), run_curve, name, count, split) for split in range(CURVE_SPLITS)
        ]
        if count is not None and splits[0]["rows"] < count:
            continue
        row: dict[str, Any] = {"set, metric": f"{name}, {load_problem(name).metric_name}", "rows": splits[0]["rows"]}
        row |= {arm: say([split[arm] for split in splits]) for arm in arms}
        gained = [split["scale chosen"] - split["standard scale"] for split in splits]
        row["chosen less standard"] = say(gained)
        rows.append(row)
    print_table(rows)


def main() -> None:
    names = sys.argv[1:] or list(SETS)
    grid = list(itertools.product(names, ACTIVATIONS, OPTIMIZERS, range(SEEDS)))
    cells = {key: kept(cell_name(*key), run_cell, *key) for key in grid}
    pairs = list(itertools.product(names, ACTIVATIONS, range(SEEDS)))
    narrow = {key: kept(cell_name("narrow", *key), run_narrow, *key) for key in pairs}
    pruned = {key: kept(cell_name("pruned", *key), run_pruning, *key) for key in grid}
    print_by_gain(cells, names)
    print_pruning(cells, pruned, names)
    print_curves([name for name in names if name in CURVE_SETS])
    # Times last, with nothing beside them.
    smalls = [(load_reduction(FOLDER / cell_name(*key)), load_problem(key[0], split_seed=key[-1])) for key in grid]
    timed = dict(zip(grid, time_calls(smalls), strict=True))
    print_reductions(cells, narrow, timed, names)


if __name__ == "__main__":
    main()
