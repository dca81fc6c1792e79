"""One and two workers measured, and from that a study of a million runs on up to 1,000 workers simulated.

    make bench BENCHMARK=scale

It needs dask: pip install 'nucleate[dask]'. Measured are, with workers of one core each on this machine,

- a study's runs by one worker and by two, from the first call to the last file; the starting of processes and their
  first chunk, in which they compile, go before;
- what a chunk costs its worker, and what its results cost the driver: the message, and the writing of its files.

The simulation gives each worker calls of as many chunks as `nucleate.sweep` would, and lets one driver take what comes
back one after another.
"""

import argparse
import heapq
import pickle
import tempfile
import time
from pathlib import Path

from nucleate import load_problem, sweep
from nucleate.studies import Plan, make_spec
from nucleate.studies.keeper import keep
from nucleate.sweeping import DaskExecutor
from nucleate.sweeping.chunks import Order, deliver

RUNS = 1_000_000
WORKERS = (1, 2, 10, 100, 300, 1000)
NETWORK_BYTES = 125e6  # a second: 1 Gbit/s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=96)
    parser.add_argument("--steps", type=int, default=3000)
    given = parser.parse_args()
    grid = {"gains": [0.3, 0.1], "hidden": [50, 50], "steps": given.steps, "evaluations": 40, "progress": False}
    one, two = (measure_workers(workers, grid, given.seeds) for workers in (1, 2))
    print("| workers | seconds | runs a second | efficiency |\n|---|---|---|---|")
    for workers, seconds in ((1, one), (2, two)):
        print(f"| {workers} | {seconds:.1f} | {2 * given.seeds / seconds:.2f} | {one / (workers * seconds):.0%} |")
    chunk, message, write, size = measure_chunk(grid)
    print(
        f"\nA chunk of 16 runs: {chunk:.1f} s on a core, {size / 1e6:.2f} MB of results; a message {1e3 * message:.1f}"
    )
    print(f"ms; taking and writing the results {1e3 * write:.0f} ms of the driver.\n")
    print("| workers | hours | efficiency | driver busy | network |\n|---|---|---|---|---|")
    for workers in WORKERS:
        seconds, busy = simulate(RUNS // 16, workers, chunk, message, write)
        network = RUNS / 16 * size / seconds / NETWORK_BYTES
        ideal = RUNS / 16 * chunk / workers
        print(f"| {workers:,} | {seconds / 3600:.1f} | {ideal / seconds:.0%} | {busy / seconds:.0%} | {network:.1%} |")
    print(f"\nThe driver is busy without a pause from {chunk / (write + message):.0f} workers on.")


def measure_workers(workers: int, grid: dict[str, object], seeds: int) -> float:
    """Seconds from the first call to the last file, by workers that have compiled already."""
    from distributed import LocalCluster

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        DaskExecutor(cluster.scheduler_address) as dask,
    ):
        sweep("diabetes", out=Path(folder) / "first", executor=dask, seeds=16 * workers, **grid)
        begun = time.perf_counter()
        sweep("diabetes", out=Path(folder) / "study", executor=dask, seeds=seeds, **grid)
        return time.perf_counter() - begun


def measure_chunk(grid: dict[str, object]) -> tuple[float, float, float, int]:
    """Seconds of a worker, of a message and of the driver for a chunk, and the bytes of its results."""
    from distributed import LocalCluster

    fields = {name: value for name, value in grid.items() if name != "progress"}
    problem, spec = load_problem("diabetes"), make_spec(data="diabetes", seeds=16, **fields)
    plan = Plan(spec)
    orders = [Order(chunk, forecasts=True, runs=True) for chunk in plan.chunks]
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        DaskExecutor(cluster.scheduler_address) as dask,
    ):
        deliveries = [dask.submit(deliver, plan, [order], problem).result()[0] for order in orders]
        dask.submit(len, "").result()
        begun = time.perf_counter()
        for _ in range(50):
            dask.submit(len, "").result()
        message = (time.perf_counter() - begun) / 50
    sent = [pickle.dumps(delivery) for delivery in deliveries]
    with tempfile.TemporaryDirectory() as folder, keep(Path(folder) / "study", spec, problem) as keeper:
        begun = time.perf_counter()
        for order, content in zip(orders, sent, strict=True):
            delivery = pickle.loads(content)
            keeper.keep_forecasts(order.chunk, delivery.forecasts)
            keeper.keep_result(order.chunk, delivery.result)
        write = (time.perf_counter() - begun) / len(orders)
    # The first chunk has the compiling in it.
    return deliveries[-1].seconds, message, write, len(sent[-1])


def simulate(chunks: int, workers: int, chunk: float, message: float, write: float) -> tuple[float, float]:
    """Seconds until the last result is written, and for how many of them the driver was busy.

    Every worker has a second call in hand while it computes one, as `nucleate.sweep` sees to.
    """
    size = max(1, min(int(30 / chunk), chunks // (2 * workers)))
    ready = [0.0] * workers
    driver = busy = 0.0
    done: list[tuple[float, int]] = []
    while chunks or done:
        # A worker takes its next call as soon as it is free, if one is left.
        if chunks and (not done or ready[0] <= done[0][0]):
            free, taken = heapq.heappop(ready), min(size, chunks)
            chunks -= taken
            heapq.heappush(done, (free + message + taken * chunk, taken))
            heapq.heappush(ready, free + message + taken * chunk)
            continue
        came, taken = heapq.heappop(done)
        driver = max(driver, came) + taken * write + message
        busy += taken * write + message
    return driver, busy


if __name__ == "__main__":
    main()
