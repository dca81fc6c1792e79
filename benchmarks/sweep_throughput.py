"""Net-steps a second of the batched engine beside PyTorch, in one run.

    make bench

A net-step is one full-batch gradient descent step of one three-layer tanh network (d = 5, n = 80, float32, no biases,
squared error). The baselines are a PyTorch module trained in a loop, one network after another, and torch.func.vmap
over eight networks, each with one thread and with all, the better of the two counting. Every contender has a process of
its own, so that none finds the other's threads on its cores, and they take turns within each round, so that a machine
whose speed drifts treats them alike. The table shows medians over the rounds, ratios being medians of the rounds'
ratios. The last column is the floating-point rate of nucleate's steps against that of one large matrix product on all
cores (the better of PyTorch's and JAX's).
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import jax
import jax.numpy as jnp
import numpy as np
import torch

from nucleate import InitScale, Network
from nucleate.devices import CORES
from nucleate.models import take_apart
from nucleate.observe import measure as measure_network
from nucleate.optimizers import GD
from nucleate.problems import load_problem
from nucleate.training import engine

LEARNING_RATE = 0.01
STEPS = {50: 4000, 200: 600, 1000: 24}
NETWORKS = 8


def torch_network(width: int) -> torch.nn.Module:
    layers = [torch.nn.Linear(5, width, bias=False), torch.nn.Tanh(), torch.nn.Linear(width, width, bias=False)]
    return torch.nn.Sequential(*layers, torch.nn.Tanh(), torch.nn.Linear(width, 1, bias=False))


def torch_data() -> tuple[torch.Tensor, torch.Tensor]:
    train = load_problem("sine-5d").train
    return torch.tensor(train.x, dtype=torch.float32), torch.tensor(train.y, dtype=torch.float32)


def torch_loop(width: int) -> Callable[[int], None]:
    x, y = torch_data()
    network = torch_network(width)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss = 0.5 * ((network(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()

    return steps


def torch_vmap(width: int) -> Callable[[int], None]:
    x, y = torch_data()
    networks = [torch_network(width) for _ in range(NETWORKS)]
    parameters, buffers = torch.func.stack_module_state(networks)
    parameters = {name: leaf.detach() for name, leaf in parameters.items()}

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        outputs = torch.func.functional_call(networks[0], (parameters, buffers), (x,))
        return 0.5 * ((outputs - y) ** 2).mean()

    gradients = torch.func.vmap(torch.func.grad(loss))

    def steps(count: int) -> None:
        nonlocal parameters
        for _ in range(count):
            slopes = gradients(parameters)
            parameters = {name: leaf - LEARNING_RATE * slopes[name] for name, leaf in parameters.items()}

    return steps


def nucleate_engine(width: int) -> Callable[[int], None]:
    problem = load_problem("sine-5d")
    networks = [Network.create(5, [width, width], 1, scale=InitScale("gain", 0.5), seed=k) for k in range(NETWORKS)]
    program = engine.Program(take_apart(networks[0])[1], problem.loss, GD)
    data = engine.place_data(problem.train, problem.validation, "float32")
    states = engine.start(program, networks, [LEARNING_RATE] * NETWORKS, list(range(NETWORKS)), len(problem.train.x))
    at = 0

    def steps(count: int) -> None:
        nonlocal states, at
        at += count
        states = engine.advance(program, states, data, [at] * NETWORKS)

    return steps


def torch_gemm(size: int) -> Callable[[int], None]:
    a = torch.randn(size, size)

    def products(count: int) -> None:
        for _ in range(count):
            a @ a

    return products


def jax_gemm(size: int) -> Callable[[int], None]:
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
    product = jax.jit(jnp.matmul)

    def products(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(product(a, a))

    return products


def serve(connection: Connection, make: Callable[[int], Callable[[int], None]], size: int, threads: int) -> None:
    """A contender's process: for every count it is sent it answers the seconds one step took."""
    torch.set_num_threads(threads)
    work = make(size)
    work(3)
    while count := connection.recv():
        start = time.perf_counter()
        work(count)
        connection.send((time.perf_counter() - start) / count)


class Contender:
    """A process that does one kind of work when told to."""

    def __init__(self, make: Callable[[int], Callable[[int], None]], size: int, threads: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, make, size, threads), daemon=True).start()

    def seconds(self, count: int) -> float:
        self._connection.send(count)
        return float(self._connection.recv())

    def end(self) -> None:
        self._connection.send(0)


def step_operations(width: int, d: int = 5, n: int = 80) -> int:
    """Multiplications and additions in the matrix products of one step: forward, and the gradients that need one."""
    forward = 2 * n * (d * width + width * width + width)
    return forward + 2 * n * (d * width + 2 * width * width + 2 * width)


def measure(width: int, rounds: int) -> list[dict[str, float]]:
    """Seconds a net-step of every contender, and of one large product, for each round."""
    steps, size = STEPS.get(width, 200), 2048
    fewer = max(steps // 8, 3)
    baselines = {f"{name} {n}": (make, n) for name, make in BASELINES.items() for n in {1, CORES}}
    contenders = {name: Contender(make, width, threads) for name, (make, threads) in baselines.items()}
    ours = Contender(nucleate_engine, width)
    products = [Contender(torch_gemm, size, CORES), Contender(jax_gemm, size)]
    results = []
    for _ in range(rounds + 1):
        times = {name: contender.seconds(fewer) for name, contender in contenders.items()}
        loop, vmap = (min(seconds for key, seconds in times.items() if key.startswith(name)) for name in BASELINES)
        gemm = min(product.seconds(4) for product in products) / (2 * size**3)
        results.append({"loop": loop, "vmap": vmap / NETWORKS, "ours": ours.seconds(steps) / NETWORKS, "gemm": gemm})
    for contender in (*contenders.values(), ours, *products):
        contender.end()
    return results[1:]  # the first round warms up


def evaluation_milliseconds(width: int, evaluations: int = 20) -> float:
    """What all measures of one evaluation of a run cost, on 300 rows."""
    network = Network.create(10, [width, width], 1, scale=InitScale("gain", 0.3))
    rows = np.random.default_rng(0).standard_normal((300, 10))
    times = []
    for _ in range(evaluations):
        start = time.perf_counter()
        measure_network(network, network, rows)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 200, 1000])
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, jax {jax.__version__}, {CORES} cores, {arguments.rounds} rounds\n")
    print(
        "| width | PyTorch loop, us | torch.func.vmap, us | nucleate, us | times the loop | times vmap | of GEMM rate |"
    )
    print("|---|---|---|---|---|---|---|")
    for width in arguments.widths:
        rounds = measure(width, arguments.rounds)
        micro = [statistics.median(times[name] for times in rounds) * 1e6 for name in ("loop", "vmap", "ours")]
        loop, vmap = (statistics.median(times[name] / times["ours"] for times in rounds) for name in ("loop", "vmap"))
        share = statistics.median(step_operations(width) / times["ours"] * times["gemm"] for times in rounds)
        cells = [f"{width}", *(f"{value:.1f}" for value in micro), f"{loop:.1f}", f"{vmap:.1f}", f"{share:.0%}"]
        print("| " + " | ".join(cells) + " |", flush=True)
    costs = ", ".join(f"{evaluation_milliseconds(width):.1f} ms at widths {width}, {width}" for width in (50, 128))
    print(f"\nOne evaluation of a run, all measures on 300 rows, takes {costs}.")


BASELINES = {"loop": torch_loop, "vmap": torch_vmap}

if __name__ == "__main__":
    main()
