"""Net-steps a second of the engine on a GPU: share of its product rate, and speed-up over the CPU beside it.

    taskset -c 0,1 python benchmarks/gpu.py                     # beside two cores; exits with 2 where there is no GPU
    python benchmarks/gpu.py --study 1024 --widths 50 200       # a whole sweep on the GPU beside its steps alone
    python benchmarks/gpu.py --like-a-gpu --widths 50 --runs 16 # the same program, vectorized on the CPU

A net-step is one full-batch gradient descent step of one three-layer tanh network (d = 5, 100 rows, float32, no biases,
squared error). On the GPU all runs are one vectorized program; on the CPU they are spread over the cores, 16 of them,
since there a run's time does not depend on the others. TF32 stays off, also for the large product that the share is of.
Each rate is the best of three stretches. What the device's memory does not hold is left out and named.

With ``--study``, so many runs of the diabetes data (four init scales, two learning rates, the rest seeds) take 2000
steps with 75 evaluations, as `nucleate.sweep` trains them, on the GPU and on the cores: forecasts, measures, snapshots
and files. "Again" finds all programs compiled.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np

from nucleate import InitScale, Network, devices, sweep
from nucleate.errors import SpecError
from nucleate.models import take_apart
from nucleate.optimizers import get_optimizer
from nucleate.problems import Split, get_loss
from nucleate.studies import Plan, StudySpec, make_spec
from nucleate.training import Rule, engine

INPUTS, ROWS = 5, 100
ON_CPU = 16
DRAWN = 16
"""Starts that are drawn; more runs begin where these do."""
SIZE = 8192
GAINS, RATES = [1.0, 0.3, 0.1, 0.03], [0.1, 0.05]


def operations(width: int) -> int:
    """Those of a net-step's matrix products: forward, for the weights, and for all signals but the inputs."""
    sizes = [INPUTS * width, width * width, width]
    return 2 * ROWS * (3 * sum(sizes) - sizes[0])


def stepping(width: int, runs: int) -> Callable[[int], object]:
    """Takes all runs so many steps on, and waits for them."""
    scale = InitScale("gain", 0.5)
    drawn = [Network.create(INPUTS, [width, width], 1, scale=scale, seed=seed) for seed in range(min(runs, DRAWN))]
    networks = [drawn[run % DRAWN] for run in range(runs)]
    x = np.random.default_rng(0).standard_normal((ROWS, INPUTS))
    split = Split(x, np.sin(x[:, :1]))
    program = engine.Program(take_apart(networks[0])[1], get_loss("squared"), Rule(get_optimizer("gd")))
    placed = engine.place_data(split, split, "float32")
    states = engine.start(program, networks, [0.01] * runs, [0] * runs, ROWS)
    at = 0

    def steps(count: int) -> None:
        nonlocal states, at
        at += count
        states = engine.advance(program, states, placed, [at] * runs)

    return steps


def rate(work: Callable[[int], object], stretch: float) -> float:
    """Calls' counts a second: the best of three stretches, in calls of a tenth of it or longer."""
    count = 1
    for _ in range(2):
        work(count)  # compiles, and puts what it needs on the device
    while True:
        began = time.perf_counter()
        work(count)
        if time.perf_counter() - began > stretch / 10:
            break
        count *= 2
    best = 0.0
    for _ in range(3):
        taken, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < stretch:
            work(count)
            taken += count
        best = max(best, taken / spent)
    return best


def product_rate(stretch: float) -> float:
    """Operations a second of one large float32 product."""
    a = jax.random.normal(jax.random.key(0), (SIZE, SIZE), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))

    def products(count: int) -> None:
        for _ in range(count):
            last = product(a)
        jax.block_until_ready(last)

    return 2 * SIZE**3 * rate(products, stretch)


@contextmanager
def together(like_a_gpu: bool) -> Iterator[None]:
    """On the GPU; or vectorized as there, on the CPU."""
    with devices.on_device("cpu" if like_a_gpu else "gpu"):
        if not like_a_gpu:
            yield
            return
        with patch.object(devices, "steps_together", lambda: True):
            yield


def engine_table(arguments: argparse.Namespace) -> None:
    with together(arguments.like_a_gpu):
        peak = product_rate(arguments.seconds)
        name = devices.device().device_kind
    print(f"{name}, jax {jax.__version__}, {peak / 1e12:.3g} TFLOP/s; {devices.CORES} cores beside it\n")
    print("| width | runs at once | net-steps a second | of product rate | times the CPU |")
    print("|---|---|---|---|---|")
    for width in arguments.widths:
        with devices.on_device("cpu"):
            on_cpu = ON_CPU * rate(stepping(width, ON_CPU), arguments.seconds)
        for runs in arguments.runs:
            parameters = runs * (INPUTS * width + width * width + width)
            with together(arguments.like_a_gpu):
                if 4 * (4 * parameters + 4 * runs * ROWS * 2 * width) > devices.device_memory():
                    print(f"| {width} | {runs} | more than the device's memory | | |", flush=True)
                    continue
                fast = runs * rate(stepping(width, runs), arguments.seconds)
            share = fast * operations(width) / peak
            print(f"| {width} | {runs} | {fast:,.0f} | {share:.0%} | {fast / on_cpu:.3g} |", flush=True)


def study_table(arguments: argparse.Namespace) -> None:
    name = jax.devices()[0].device_kind
    print(f"{name}, jax {jax.__version__}; {devices.CORES} cores beside it\n")
    print("| width | runs | steps alone, s | whole sweep, s | again, s | on the cores instead, s | again, s |")
    print("|---|---|---|---|---|---|---|")
    for width in arguments.widths:
        fields = {"gains": GAINS, "lrs": RATES, "seeds": max(1, arguments.study // (len(GAINS) * len(RATES)))}
        spec = make_spec(data="diabetes", hidden=[width, width], steps=2000, evaluations=75, **fields)
        plan = Plan(spec)
        taken = [whole_sweep(spec, device) for device in ("gpu", "gpu", "cpu", "cpu")]
        told = " | ".join(f"{seconds:.1f}" for seconds in (steps_alone(plan), *taken))
        print(f"| {width} | {len(plan.runs)} | {told} |", flush=True)


def whole_sweep(spec: StudySpec, device: str) -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        sweep(spec, out=folder, progress=False, device=device)
        return time.perf_counter() - began


def steps_alone(plan: Plan) -> float:
    """Seconds of all steps of all runs on the GPU, compiled before."""
    spec, problem = plan.spec, plan.spec.load_problem()
    with together(False):
        models = [plan.start(run, problem.inputs, problem.outputs) for run in plan.runs]
        program = engine.Program(take_apart(models[0])[1], problem.loss, spec.rule())
        data = engine.place_data(problem.train, problem.validation, spec.dtype)
        rates = [run.learning_rate for run in plan.runs]
        states = engine.start(program, models, rates, [0] * len(models), len(problem.train.x))
        states = engine.advance(program, states, data, [1] * len(models))
        began = time.perf_counter()
        engine.advance(program, states, data, [spec.steps] * len(models))
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each stretch")
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--runs", type=int, nargs="+", default=[16, 64, 256, 1024, 4096])
    parser.add_argument("--like-a-gpu", action="store_true", help="step runs together on the CPU, to try the path")
    parser.add_argument("--study", type=int, metavar="RUNS", help="measure whole sweeps of so many runs instead")
    arguments = parser.parse_args()
    if not arguments.like_a_gpu or arguments.study:
        try:
            devices.check_device("gpu")
        except SpecError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    (study_table if arguments.study else engine_table)(arguments)


if __name__ == "__main__":
    main()
