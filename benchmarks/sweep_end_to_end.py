"""A whole sweep, with everything that a user gets, beside its training steps alone.

    make bench BENCHMARK=sweep_end_to_end

54 runs on the diabetes data (two hidden tanh layers, float32, gradient descent; six init scales, three learning rates,
three seeds) of 6000 steps with 75 evaluations, as `nucleate.sweep` trains them: forecasts, measures, snapshots, files.
Beside it the engine alone takes the same networks through as many steps, in the same chunks of 16, compiled before.
"First" compiles all programs; "again" is a second study in the same process, or a later command, whose programs are
kept. The two are measured in turn, so that a machine whose speed drifts treats them alike; the table shows the medians.
"""

import argparse
import statistics
import tempfile
import time

import jax

from nucleate import sweep
from nucleate.devices import CORES
from nucleate.models import take_apart
from nucleate.studies import Plan, StudySpec, make_spec
from nucleate.training import engine

GAINS, RATES = [1.0, 0.3, 0.1, 0.03, 0.01, 0.005], [0.2, 0.1, 0.05]


def spec_of(width: int, runs: int, steps: int) -> StudySpec:
    """A study of so many runs: all of the grid, or its first cells."""
    seeds = max(1, runs // (len(GAINS) * len(RATES)))
    gains = GAINS[: max(1, runs // (seeds * len(RATES)))]
    rates = RATES[: max(1, runs // (seeds * len(gains)))]
    fields = {"hidden": [width, width], "gains": gains, "lrs": rates, "seeds": seeds}
    return make_spec(data="diabetes", steps=steps, evaluations=75, **fields)


def everything(spec: StudySpec) -> float:
    """Seconds of a whole sweep."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        sweep(spec, out=folder, progress=False)
        return time.perf_counter() - start


def steps_alone(spec: StudySpec) -> float:
    """Seconds that the engine takes for the steps of all runs."""
    plan, problem = Plan(spec), spec.load_problem()
    data = engine.place_data(problem.train, problem.validation, spec.dtype)
    seconds = 0.0
    for chunk in plan.chunks:
        models = [plan.start(run, problem.inputs, problem.outputs) for run in chunk.runs]
        program = engine.Program(take_apart(models[0])[1], problem.loss, spec.rule())
        rates, seeds = [run.learning_rate for run in chunk.runs], [run.seed for run in chunk.runs]
        states = engine.start(program, models, rates, seeds, len(problem.train.x))
        engine.advance(program, states, data, [1] * len(models))
        start = time.perf_counter()
        engine.advance(program, states, data, [spec.steps] * len(models))
        seconds += time.perf_counter() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 128, 1000])
    parser.add_argument("--runs", type=int, default=54, help="about so many")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"jax {jax.__version__}, {CORES} cores, {arguments.steps} steps, {arguments.rounds} rounds\n")
    print("| width | runs | steps alone, s | everything, first, s | again, s | times the steps, first | again |")
    print("|---|---|---|---|---|---|---|")
    for width in arguments.widths:
        spec = spec_of(width, arguments.runs, arguments.steps)
        jax.clear_caches()
        first = everything(spec)
        rounds = [(steps_alone(spec), everything(spec)) for _ in range(arguments.rounds)]
        alone, again = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = statistics.median(whole / steps for steps, whole in rounds)
        cells = [f"{alone:.1f}", f"{first:.1f}", f"{again:.1f}", f"{first / alone:.2f}", f"{ratio:.2f}"]
        print(f"| {width} | {len(Plan(spec).runs)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
