"""How long the reduction of a wide network takes: two hidden layers of 1024, 10,000 rows.

    make bench BENCHMARK=wide_reduction

Rows of ten normal inputs and a target of three neurons with noise; the network is trained by Adam from two gains. The
time is that of `nucleate.reduce` without its baselines, in a process that has reduced a small network before, so that
nothing is compiled.
"""

import time

import numpy as np

import nucleate
from nucleate import InitScale, Network, Problem

ROWS, INPUTS, HIDDEN, STEPS = 10_000, 10, (1024, 1024), 100
GAINS = (1.0, 0.1)


def draw_problem() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, INPUTS))
    y = np.tanh(x @ rng.standard_normal((INPUTS, 3))) @ [1.0, -2.0, 1.5] + 0.1 * rng.standard_normal(ROWS)
    return Problem.from_arrays(x, y)


def trained(problem: Problem, hidden: tuple[int, ...], gain: float) -> Network:
    network = Network.create(INPUTS, hidden, 1, scale=InitScale("gain", gain), bias=[True, False, False])
    return nucleate.train(network, problem, optimizer="adam", learning_rate=0.001, steps=STEPS, evaluations=10).best


def main() -> None:
    problem = draw_problem()
    nucleate.reduce(trained(problem, (16, 16), 1.0), problem, baselines=False)
    print("| gain | widths left | parameters kept | test rmse before | after | seconds |\n|---|---|---|---|---|---|")
    for gain in GAINS:
        network = trained(problem, HIDDEN, gain)
        started = time.perf_counter()
        small = nucleate.reduce(network, problem, baselines=False)
        seconds = time.perf_counter() - started
        widths = " ".join(map(str, small.hidden.after))
        print(
            f"| {gain} | {widths} | {100 * small.share_kept:.2g} % | {small.test.before:.3f} | {small.test.after:.3f} "
            f"| {seconds:.0f} |"
        )


if __name__ == "__main__":
    main()
