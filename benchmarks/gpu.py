"""Net-steps a second of the engine on a GPU: share of its product rate, and speed-up over the CPU beside it.

    python benchmarks/gpu.py                                             # exits with 2 where there is no GPU
    python benchmarks/gpu.py --like-a-gpu --widths 50 --runs 16          # the same program, vectorized on the CPU

A net-step is one full-batch gradient descent step of one three-layer tanh network (d = 5, 100 rows, float32, no biases,
squared error). On the GPU all runs are one vectorized program; on the CPU they are spread over the cores, 16 of them,
since there a run's time does not depend on the others. TF32 stays off, also for the large product that the share is of.
"""

import argparse
import sys
import time
from collections.abc import Callable
from unittest.mock import patch

import jax
import jax.numpy as jnp
from sweep_throughput import Cell, nucleate_engine

from nucleate import devices
from nucleate.errors import SpecError

ON_CPU = 16
SIZE = 4096


def seconds_a_call(work: Callable[[int], object], stretch: float) -> tuple[float, int]:
    """Of the first call that takes a tenth of the stretch; and how many steps it took."""
    count = 1
    work(count)  # compiles
    while True:
        began = time.perf_counter()
        work(count)
        spent = time.perf_counter() - began
        if spent > stretch / 10:
            return spent, count
        count *= 2


def rate(width: int, runs: int, stretch: float) -> float:
    """Net-steps a second on the device at hand."""
    work = nucleate_engine(Cell(width, runs=runs))
    _, count = seconds_a_call(work, stretch)
    taken, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < stretch:
        work(count)
        taken += count
    return runs * taken / spent


def product_rate(stretch: float) -> float:
    """Operations a second of one large float32 product."""
    a = jax.random.normal(jax.random.key(0), (SIZE, SIZE), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))

    def products(count: int) -> None:
        for _ in range(count):
            last = product(a)
        jax.block_until_ready(last)

    spent, count = seconds_a_call(products, stretch)
    return 2 * SIZE**3 * count / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--runs", type=int, nargs="+", default=[16, 64, 256, 1024, 4096])
    parser.add_argument("--like-a-gpu", action="store_true", help="step runs together on the CPU, to try the path")
    arguments = parser.parse_args()
    if not arguments.like_a_gpu:
        try:
            devices.check_device("gpu")
        except SpecError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    with devices.on_device("cpu" if arguments.like_a_gpu else "gpu"), jax.default_matmul_precision("highest"):
        peak = product_rate(arguments.seconds)
        name = devices.device().device_kind
        print(f"{name}, jax {jax.__version__}, {peak / 1e12:.3g} TFLOP/s; {devices.CORES} cores beside it\n")
        print("| width | runs at once | net-steps a second | of product rate | times the CPU |")
        print("|---|---|---|---|---|")
        for width in arguments.widths:
            with devices.on_device("cpu"):
                on_cpu = rate(width, ON_CPU, arguments.seconds)
            for runs in arguments.runs:
                with patch.object(devices, "steps_together", lambda: True):
                    fast = rate(width, runs, arguments.seconds)
                share = fast * Cell(width).operations / peak
                print(f"| {width} | {runs} | {fast:,.0f} | {share:.0%} | {fast / on_cpu:.3g} |", flush=True)


if __name__ == "__main__":
    main()
