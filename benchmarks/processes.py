"""A sweep by the threads of one process, and by as many processes as there are cores.

    make bench BENCHMARK=processes

72 runs on the diabetes data (two hidden tanh layers, float32, gradient descent; six init scales, three learning rates,
four seeds) of 6000 steps with 75 evaluations, with everything that a user gets. The processes' time begins before they
start. Programs are compiled before, and kept for the processes as a command keeps them. The two are measured in turn;
the table shows the medians.
"""

import argparse
import os
import statistics
import tempfile
import time

# As a command does, and before JAX is imported.
_KEPT = tempfile.TemporaryDirectory()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _KEPT.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

from contextlib import nullcontext  # noqa: E402

from nucleate import sweep  # noqa: E402
from nucleate.devices import CORES  # noqa: E402
from nucleate.sweeping import ProcessExecutor  # noqa: E402


def seconds(width: int, steps: int, *, processes: bool) -> float:
    """What a whole sweep takes."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ProcessExecutor() if processes else nullcontext() as executor:
        sweep(
            "diabetes",
            gains=[1.0, 0.3, 0.1, 0.03, 0.01, 0.005],
            lrs=[0.2, 0.1, 0.05],
            seeds=4,
            hidden=[width, width],
            steps=steps,
            evaluations=75,
            out=folder,
            progress=False,
            executor=executor,
        )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 128])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{CORES} cores, {given.steps} steps, {given.rounds} rounds\n")
    print("| width | one process, s | a process a core, s | times as fast |\n|---|---|---|---|")
    for width in given.widths:
        for processes in (False, True):
            seconds(width, 10, processes=processes)
        rounds = [
            [seconds(width, given.steps, processes=which) for which in (False, True)] for _ in range(given.rounds)
        ]
        one, many = map(statistics.median, zip(*rounds, strict=True))
        print(f"| {width} | {one:.1f} | {many:.1f} | {one / many:.2f} |", flush=True)


if __name__ == "__main__":
    main()
