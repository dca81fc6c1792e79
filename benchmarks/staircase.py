"""Forecast against measured steps of the stairs of the loss curve, stair by stair.

    make bench BENCHMARK=staircase

Linear teachers with two to four output directions of separated strength, on inputs of unequal variance and with noise,
and two real sets whose classes are fitted under the squared loss, as one-hot columns; tanh networks of two and three
layers and GELU ones of two, width 50, three init scales g (parameters drawn from N(0, g^2 / width)), five seeds,
full-batch gradient descent. A stair begins when a tenth of it is fitted and ends with nine tenths. Printed: a table a
problem and network, a line a stair; and what lies within the regime and outside.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits, load_wine

from nucleate import InitScale, Network, Problem
from nucleate.forecasting import StepForecast, forecast_many, measure_outcomes

WIDTH, SEEDS, RATE, HORIZON = 50, 5, 0.05, 30_000
STRENGTHS = {"teacher-2": (1.0, 0.5), "teacher-3": (1.0, 0.5, 0.25), "teacher-4": (1.0, 0.7, 0.5, 0.35)}
NETWORKS = (("tanh", 2, (0.1, 0.03, 0.01)), ("tanh", 3, (0.3, 0.1, 0.03)), ("gelu", 2, (0.1, 0.03, 0.01)))


def teacher(name: str) -> Problem:
    rng = np.random.default_rng(0)
    k, d = len(STRENGTHS[name]), 10
    x = rng.standard_normal((500, d)) * np.geomspace(1.2, 0.8, d)
    left, right = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (k, d))
    y = x @ (right * STRENGTHS[name]) @ left.T + 0.1 * rng.standard_normal((len(x), k))
    return Problem.from_arrays(x, y, name=name, standardize=False)


def classes(name: str) -> Problem:
    """One-hot columns, standardized as the inputs are; pixels that hardly vary are left out."""
    x, label = {"wine": load_wine, "digits": load_digits}[name](return_X_y=True)
    return Problem.from_arrays(
        x[:, x.std(axis=0) > 0.5 * (name == "digits")], np.eye(label.max() + 1)[label], name=name
    )


def start(problem: Problem, activation: str, layers: int, scale: float, seed: int) -> Network:
    bias = [True] + [False] * (layers - 1)
    return Network.create(
        problem.inputs,
        [WIDTH] * (layers - 1),
        problem.outputs,
        scale=InitScale("epsilon", scale / WIDTH**0.5),
        activation=activation,
        bias=bias,
        seed=seed,
    )


def rows(problem: Problem, activation: str, layers: int, scales: tuple[float, ...], stairs: int) -> list[dict]:
    """One row a run and stair."""
    found = []
    for scale in scales:
        networks = [start(problem, activation, layers, scale, seed) for seed in range(SEEDS)]
        forecasts = forecast_many(
            networks, problem, learning_rates=[RATE] * SEEDS, horizon=HORIZON, budget=1, stairs=stairs
        )
        for expected, outcome in zip(forecasts, measure_outcomes(networks, problem, forecasts), strict=True):
            for number, (stair, measured) in enumerate(zip(expected.stairs, outcome.stairs, strict=True), start=1):
                # Where the linear part alone begins the stair, before any correction.
                lone = stair.begins and measured.begins and stair.begins.estimate / (1 + stair.correction)
                found.append(
                    {
                        "scale": scale,
                        "stair": number,
                        "step": measured.begins or np.nan,
                        "alone": np.nan if lone is None else abs(lone / measured.begins - 1),
                        "begins": compared(stair.begins, measured.begins, stair.in_regime),
                        "ends": compared(stair.ends, measured.ends, stair.end_in_regime),
                        "share": abs((stair.share or np.nan) - (measured.share or np.nan)),
                    }
                )
    return found


def compared(step: StepForecast | None, measured: int | None, in_regime: bool) -> tuple[float, bool, bool]:
    """The relative error, whether the interval held, and whether it was declared in the regime."""
    if step is None or measured is None:
        return np.nan, False, in_regime
    return abs(step.estimate / measured - 1), step.lower <= measured <= step.upper, in_regime


def said(cells: list[tuple[float, bool, bool]]) -> str:
    known = [cell for cell in cells if np.isfinite(cell[0])]
    error = f"{np.median([cell[0] for cell in known]):.1%}" if known else "-"
    return (
        f"{error} | {sum(cell[1] for cell in known)} of {len(known)} | {sum(cell[2] for cell in cells)} of {len(cells)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", default=[*STRENGTHS, "wine", "digits"])
    every, began = [], time.perf_counter()
    columns = ["problem", "network", "stair", "measured step, by scale", "linear part alone"]
    columns += ["begins: error", "held", "in regime", "ends: error", "held", "in regime", "share off by"]
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns))
    for name in parser.parse_args().problems:
        problem = teacher(name) if name in STRENGTHS else classes(name)
        for activation, layers, scales in NETWORKS:
            cell = rows(problem, activation, layers, scales, len(STRENGTHS.get(name, (1,) * 4)))
            every += cell
            for number in sorted({row["stair"] for row in cell}):
                stair = [row for row in cell if row["stair"] == number]
                steps = [np.nanmedian([row["step"] for row in stair if row["scale"] == scale]) for scale in scales]
                by_scale = ", ".join(f"{step:.0f}" for step in steps)
                print(
                    f"| {name} | {activation}, {layers} layers | {number} | {by_scale} | "
                    f"{np.nanmedian([row['alone'] for row in stair]):.1%} | "
                    f"{said([row['begins'] for row in stair])} | {said([row['ends'] for row in stair])} | "
                    f"{np.nanmean([row['share'] for row in stair]):.2f} |",
                    flush=True,
                )
    for what in ("begins", "ends"):
        for inside in (True, False):
            cells = [row[what] for row in every if row[what][2] == inside]
            known = np.array([cell[:2] for cell in cells if np.isfinite(cell[0])], float).reshape(-1, 2)
            if not len(known):
                print(f"\n{what}, declared {'valid' if inside else 'invalid'}: {len(cells)} stairs, none to compare")
                continue
            valid, errors = "valid" if inside else "invalid", known[:, 0]
            spread = f"; median error {np.median(errors):.2%}, 95th percentile {np.quantile(errors, 0.95):.2%}"
            spread += f"; intervals held {known[:, 1].mean():.1%}"
            print(
                f"\n{what}, declared {valid}: {len(cells)} stairs, {len(known)} with a forecast and a measured step"
                f"{spread}"
            )
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
