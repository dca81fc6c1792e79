"""Forecast over measured step of the 10 % drop of the training loss, and what a forecast costs beside training.

    make bench BENCHMARK=forecast_accuracy

Four problems (two real) x widths 50 and 200 x five scales x five seeds, three-layer tanh networks with first-layer bias
under full-batch gradient descent, initial parameters N(0, (g / width^(1/2))^2): scales are given as g, so that both
widths have plateaus of comparable length. Printed: a table a problem and width; medians, coverage of the intervals and
worst cases inside and outside the regime the forecasts declare; the scaling of the plateau with the scale for two and
three layers; the cost at n = 10,000. `--figure PATH` draws the ratios.

`--batches gd` and `--batches adam` print the same of training in mini-batches of 16, 32 and 128 rows, and
`--batches cost` what such a forecast costs. The seeds are others than those on which it was made to work (100 to 102).
"""

import argparse
import itertools
import statistics
import time
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from nucleate import InitScale, Network, Problem, load_problem
from nucleate.figures import png
from nucleate.forecasting import Forecast, Outcome, forecast_many, measure_outcomes
from nucleate.models import take_apart
from nucleate.optimizers import GD
from nucleate.training import Rule, engine

# Learning rates at which gradient descent is stable after the first descent too.
PROBLEMS = {"diabetes": 0.05, "wine": 0.05, "teacher-3": 0.05, "sine-5d": 0.005}
WIDTHS = (50, 200)
SCALES = (1.0, 0.3, 0.1, 0.03, 0.01)
SEEDS = 5
DROP = 0.1
BATCH_SIZES = (16, 32, 128)
STEPS = 5000
"""Of a training by default."""
# Plateaus of 20 steps and more: scales and learning rates.
IN_BATCHES = {
    "gd": (("diabetes", "breast_cancer", "teacher-3", "wine", "sine-5d"), (0.3, 0.1, 0.03), 1.0),
    "adam": (("diabetes", "breast_cancer", "teacher-3", "wine"), (0.1, 0.03, 0.01), 0.01),
}


def start(problem: Problem, width: int, scale: float, seed: int, layers: int = 3) -> Network:
    hidden, bias = [width] * (layers - 1), [True] + [False] * (layers - 1)
    epsilon = InitScale("epsilon", scale / width**0.5)
    return Network.create(problem.inputs, hidden, problem.outputs, scale=epsilon, bias=bias, seed=seed)


def rows(problem: Problem, width: int, rate: float) -> list[dict[str, float]]:
    """One row a run: scale, whether in the regime, forecast, interval and measured step of the drop."""
    result = []
    for scale in SCALES:
        networks = [start(problem, width, scale, seed) for seed in range(SEEDS)]
        forecasts = forecast_many(networks, problem, learning_rates=[rate] * SEEDS)
        for expected, found in zip(forecasts, measure_outcomes(networks, problem, forecasts), strict=True):
            result.append(compared(scale, expected, found))
    return result


def compared(scale: float, expected: Forecast, found: Outcome) -> dict[str, float]:
    step, measured = expected.drop_steps[DROP], found.drop_steps[DROP]
    nothing = step is None or measured is None
    return {
        "scale": scale,
        "in_regime": expected.in_regime,
        "measured": np.nan if measured is None else measured,
        "ratio": np.nan if nothing else step.estimate / max(measured, 1),
        "held": np.nan if nothing else step.lower <= measured <= step.upper,
        "sides": found.same_sides(expected),
    }


def rows_in_batches(problem: Problem, rate: float, optimizer: str, scale: float, size: int) -> list[dict[str, float]]:
    """As `rows`, of one scale in mini-batches, with how far the condensed share is off."""
    networks, seeds = [start(problem, 50, scale, seed) for seed in range(SEEDS)], list(range(SEEDS))
    forecasts = forecast_many(
        networks, problem, learning_rates=[rate] * SEEDS, optimizer=optimizer, batch_size=size, seeds=seeds
    )
    return [
        compared(scale, expected, found) | {"share": abs(expected.condensed_share - found.condensed_share)}
        for expected, found in zip(forecasts, measure_outcomes(networks, problem, forecasts), strict=True)
    ]


def print_batches(optimizer: str) -> None:
    problems, scales, factor = IN_BATCHES[optimizer]
    print(
        f"| problem ({optimizer}) | scale g | batch | measured step | forecast / measured: median (range) | held | "
        "in regime |"
    )
    print("|---|---|---|---|---|---|---|")
    cells = []
    for name in problems:
        for scale in scales:
            for size in BATCH_SIZES:
                # A problem of fewer rows than the largest batch has no such line.
                if size >= len(load_problem(name).train.x):
                    continue
                cell = rows_in_batches(load_problem(name), factor * PROBLEMS.get(name, 0.05), optimizer, scale, size)
                ratios = [row["ratio"] for row in cell if np.isfinite(row["ratio"])]
                spread = f"{np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})" if ratios else "-"
                held, inside = (sum(row[what] for row in cell) for what in ("held", "in_regime"))
                step = np.nanmedian([row["measured"] for row in cell])
                print(
                    f"| {name} | {scale:g} | {size} | {step:.0f} | {spread} | {held:.0f} of {len(ratios)} | "
                    f"{inside} of {len(cell)} |",
                    flush=True,
                )
                cells += cell
    print()
    print_summary(cells)
    print(f"condensed share off by {np.mean([row['share'] for row in cells]):.3f} in the mean")


def print_cost_of_batches(n: int = 10_000, runs: int = 8, repetitions: int = 3) -> None:
    """Seconds of processor time, which other work on the cores moves less than that of the clock.

    Training goes to the 10 % drop, and on to its usual length; a forecast goes behind the drop. The first of each
    compiles, the others have it compiled.
    """
    problem = noisy_problem(n)
    print(
        f"\n| width | batch | step of the 10 % drop | {runs} forecasts, s | training to that step, s | times cheaper | "
        f"training for {STEPS} steps, s | times cheaper | with compilation: forecasts, s | training to that step, s | "
        f"times cheaper | training for {STEPS} steps, s | times cheaper |"
    )
    print("|---" * 13 + "|")
    for width, size in itertools.product(WIDTHS, BATCH_SIZES):
        networks, seeds, rates = (
            [start(problem, width, 0.02, seed) for seed in range(runs)],
            list(range(runs)),
            [0.05] * runs,
        )
        jax.clear_caches()
        times = {"forecast": [], "drop": [], "whole": []}
        for _ in range(repetitions + 1):
            began = time.process_time()
            forecasts = forecast_many(networks, problem, learning_rates=rates, batch_size=size, seeds=seeds)
            told = time.process_time()
            ends = [expected.drop_steps[DROP].estimate for expected in forecasts]
            program = engine.Program(take_apart(networks[0])[1], problem.loss, Rule(GD), size)
            data = engine.place_data(problem.train, problem.validation, "float32")
            states = engine.start(program, networks, rates, seeds, len(problem.train.x))
            states = engine.advance(program, states, data, ends)
            dropped = time.process_time()
            engine.advance(program, states, data, [STEPS] * runs)
            times["forecast"].append(told - began)
            times["drop"].append(dropped - told)
            times["whole"].append(time.process_time() - told)
        compiled, cold = (
            [statistics.median(kept[1:]) for kept in times.values()],
            [kept[0] for kept in times.values()],
        )
        compared = " | ".join(
            f"{told:.2f} | {drop:.2f} | {drop / told:.1f} | {whole:.2f} | {whole / told:.1f}"
            for told, drop, whole in (compiled, cold)
        )
        print(f"| {width} | {size} | {statistics.median(ends):.0f} | {compared} |", flush=True)


def print_cells(name: str, width: int, cells: list[dict[str, float]]) -> None:
    for scale in SCALES:
        cell = [row for row in cells if row["scale"] == scale]
        ratios = [row["ratio"] for row in cell if np.isfinite(row["ratio"])]
        spread = f"{np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})" if ratios else "no forecast"
        steps, inside = np.nanmedian([row["measured"] for row in cell]), sum(row["in_regime"] for row in cell)
        held = f"{np.nansum([row['held'] for row in cell]):.0f} of {len(ratios)}"
        print(
            f"| {name} | {width} | {scale:g} | {steps:.0f} | {spread} | {held} | {inside} of {len(cell)} |", flush=True
        )


def print_summary(cells: list[dict[str, float]]) -> None:
    for inside in (True, False):
        chosen = [row for row in cells if row["in_regime"] == inside]
        known = [row for row in chosen if np.isfinite(row["ratio"])]
        if not known:
            continue
        errors = np.abs(np.log([row["ratio"] for row in known]))
        where = "declared valid" if inside else "declared invalid"
        print(
            f"{where}: {len(chosen)} runs, {len(known)} with a forecast and a drop; median error "
            f"{np.median(errors):.2%}, 95th percentile {np.quantile(errors, 0.95):.2%}, within 20 % "
            f"{np.mean(errors < np.log(1.2)):.1%}; intervals held {np.mean([row['held'] for row in known]):.1%}; "
            f"neurons on the side forecast {np.mean([row['sides'] for row in known]):.2%}"
        )


def print_scaling() -> None:
    problem = load_problem("teacher-3")
    scales = np.array([0.1, 0.05, 0.025, 0.0125])
    print("\n| layers | " + " | ".join(f"measured step at {scale:g}" for scale in scales) + " | law | fitted |")
    print("|---" * (len(scales) + 3) + "|")
    for layers in (2, 3):
        networks = [start(problem, 50, scale, 0, layers) for scale in scales]
        forecasts = forecast_many(networks, problem, learning_rates=[0.05] * len(scales))
        outcomes = measure_outcomes(networks, problem, forecasts)
        steps = np.array([outcome.drop_steps[DROP] for outcome in outcomes], float)
        if layers == 2:
            law, slope = "a + b log(1/eps)", np.diff(steps)
            fitted = "steps added by each halving: " + ", ".join(f"{added:.0f}" for added in slope)
        else:
            law, fitted = "eps^-1", f"exponent {np.polyfit(np.log(scales), np.log(steps), 1)[0]:.3f}"
        print(f"| {layers} | " + " | ".join(f"{step:.0f}" for step in steps) + f" | {law} | {fitted} |")


def noisy_problem(n: int) -> Problem:
    """A regression on ten inputs with n rows for training."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n + 40, 10))
    noisy = np.tanh(x[:, :3]).sum(axis=1) + 0.1 * rng.standard_normal(len(x))
    share = 20 / len(x)
    return Problem.from_arrays(x, noisy, task="regression", validation=share, test=share)


def print_cost(n: int = 10_000, runs: int = 24, timed_steps: int = 10) -> None:
    """Both compiled; training is timed for some steps and reckoned to the step of the drop."""
    problem = noisy_problem(n)
    data = engine.place_data(problem.train, problem.validation, "float32")
    print(
        f"\n| width | n | step of the 10 % drop | {runs} forecasts, s | training them to that step, s | times cheaper |"
    )
    print("|---|---|---|---|---|---|")
    for width in WIDTHS:
        networks = [start(problem, width, 0.02, seed) for seed in range(runs)]
        program = engine.Program(take_apart(networks[0])[1], problem.loss, Rule(GD))
        states = engine.start(program, networks, [0.05] * runs, [0] * runs, len(problem.train.x))
        forecasts, times = [], {"forecast": [], "training": []}
        for repetition in range(6):
            began = time.perf_counter()
            forecasts = forecast_many(networks, problem, learning_rates=[0.05] * runs)
            middle = time.perf_counter()
            states = engine.advance(program, states, data, [(repetition + 1) * timed_steps] * runs)
            times["forecast"].append(middle - began)
            times["training"].append((time.perf_counter() - middle) / timed_steps)
        # The first repetition compiles.
        forecast, a_step = (statistics.median(times[what][1:]) for what in ("forecast", "training"))
        step = statistics.median(expected.drop_steps[DROP].estimate for expected in forecasts)
        training = a_step * step
        cells = (f"{width}", f"{len(problem.train.x)}", f"{step:.0f}", f"{forecast:.2f}", f"{training:.1f}")
        print("| " + " | ".join((*cells, f"{training / forecast:.0f}")) + " |")


def draw(cells: dict[tuple[str, int], list[dict[str, float]]], path: Path) -> None:
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, len(PROBLEMS), sharey=True)
    rng = np.random.default_rng(0)
    for panel, name in zip(panels, PROBLEMS, strict=True):
        panel.axhspan(0.98, 1.02, color="0.88", zorder=0)
        for width, color in zip(WIDTHS, ("#0072b2", "#d55e00"), strict=True):
            for inside, face in ((True, color), (False, "none")):
                chosen = [row for row in cells[name, width] if row["in_regime"] == inside]
                at = [row["scale"] * np.exp(0.08 * rng.standard_normal()) for row in chosen]
                label = f"width {width}, {'in' if inside else 'outside'} the regime"
                panel.scatter(
                    at, [row["ratio"] for row in chosen], 16, facecolor=face, edgecolor=color, lw=0.8, label=label
                )
        panel.set(xscale="log", yscale="log", ylim=(0.45, 2.2), title=name, xlabel="init scale g")
        panel.set_yticks([0.5, 0.8, 1, 1.25, 2], ["0.5", "0.8", "1", "1.25", "2"])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("forecast / measured step\nof the 10 % drop")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    path.write_bytes(png(figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--batches", choices=[*IN_BATCHES, "cost"])
    arguments = parser.parse_args()
    if arguments.batches == "cost":
        print_cost_of_batches()
        return
    if arguments.batches:
        print_batches(arguments.batches)
        return
    print("| problem | width | scale g | measured step | forecast / measured: median (range) | held | in regime |")
    print("|---|---|---|---|---|---|---|")
    cells = {}
    for name, rate in PROBLEMS.items():
        for width in WIDTHS:
            cells[name, width] = rows(load_problem(name), width, rate)
            print_cells(name, width, cells[name, width])
    print()
    print_summary([row for part in cells.values() for row in part])
    print_scaling()
    print_cost()
    if arguments.figure:
        draw(cells, arguments.figure)


if __name__ == "__main__":
    main()
