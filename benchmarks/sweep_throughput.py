"""Net-steps a second of the batched engine beside PyTorch, in one run.

    make bench

A net-step is one full-batch gradient descent step of one three-layer tanh network (d = 5, n = 80, float32, no biases,
squared error). The peers are a PyTorch module trained in a loop, one network after another, and torch.func.vmap over
eight networks. Rounds alternate between the peers, so that a machine whose speed drifts treats them alike; the table
shows medians over the rounds, ratios being medians of the rounds' ratios. The last column is the floating-point rate of
nucleate's steps against the rate of one large matrix product on the same cores (the better of PyTorch's and JAX's).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch

from nucleate import InitScale, Network
from nucleate.problems import load_problem
from nucleate.training import _engine as engine

LEARNING_RATE = 0.01
STEPS = {50: 4000, 200: 600, 1000: 24}
NETWORKS = 8


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def torch_network(width: int) -> torch.nn.Module:
    layers = [torch.nn.Linear(5, width, bias=False), torch.nn.Tanh(), torch.nn.Linear(width, width, bias=False)]
    return torch.nn.Sequential(*layers, torch.nn.Tanh(), torch.nn.Linear(width, 1, bias=False))


def torch_loop(width: int, x: torch.Tensor, y: torch.Tensor) -> Callable[[int], None]:
    network = torch_network(width)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss = 0.5 * ((network(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()

    return steps


def torch_vmap(width: int, x: torch.Tensor, y: torch.Tensor) -> Callable[[int], None]:
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
    program = engine.Program(problem.task, "gd", 0.9, None)
    networks = [Network.create(5, [width, width], 1, scale=InitScale("gain", 0.5), seed=k) for k in range(NETWORKS)]
    data = engine.place_data(problem, "float32")
    state = engine.start(program, networks, [LEARNING_RATE] * NETWORKS, list(range(NETWORKS)), len(problem.train.x))
    at = 0

    def steps(count: int) -> None:
        nonlocal state, at
        at += count
        state = jax.block_until_ready(engine.advance(program, state, data, jnp.int32(at)))

    return steps


def gemm_rate() -> float:
    """Floating-point operations a second of a large float32 product, on all cores."""
    size = 2048
    a = np.random.default_rng(0).standard_normal((size, size), np.float32)
    torch_a, jax_a = torch.from_numpy(a), jax.device_put(a)
    product = jax.jit(jnp.matmul)
    works = [lambda: torch_a @ torch_a, lambda: jax.block_until_ready(product(jax_a, jax_a))]
    return max(2 * size**3 / min(seconds(work) for _ in range(8)) for work in works)


def step_operations(width: int, d: int = 5, n: int = 80) -> int:
    """Multiplications and additions in the matrix products of one step: forward, and the gradients that need one."""
    forward = 2 * n * (d * width + width * width + width)
    return forward + 2 * n * (d * width + 2 * width * width + 2 * width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 200, 1000])
    arguments = parser.parse_args()
    problem = load_problem("sine-5d")
    x, y = torch.tensor(problem.train.x, dtype=torch.float32), torch.tensor(problem.train.y, dtype=torch.float32)

    print(f"torch {torch.__version__} ({torch.get_num_threads()} threads), jax {jax.__version__} ", end="")
    print(f"({jax.device_count()} devices), {arguments.rounds} rounds, {NETWORKS} networks\n")
    print(
        "| width | PyTorch loop, us | torch.func.vmap, us | nucleate, us | times the loop | times vmap | of GEMM rate |"
    )
    print("|---|---|---|---|---|---|---|")
    for width in arguments.widths:
        steps = STEPS.get(width, 200)
        loop, vmap, ours = torch_loop(width, x, y), torch_vmap(width, x, y), nucleate_engine(width)
        for warm_up in (loop, vmap, ours):
            warm_up(3)
        times: list[tuple[float, float, float, float]] = []
        for _ in range(arguments.rounds):
            gemm = gemm_rate()
            fewer = max(steps // 8, 3)
            times.append(
                (
                    seconds(partial(loop, fewer)) / fewer,
                    seconds(partial(vmap, fewer)) / fewer / NETWORKS,
                    seconds(partial(ours, steps)) / steps / NETWORKS,
                    gemm,
                )
            )
        medians = [statistics.median(column) * 1e6 for column in list(zip(*times, strict=True))[:3]]
        ratios = [
            statistics.median(ratio)
            for ratio in (
                [loop_time / our_time for loop_time, _, our_time, _ in times],
                [vmap_time / our_time for _, vmap_time, our_time, _ in times],
                [step_operations(width) / our_time / gemm for _, _, our_time, gemm in times],
            )
        ]
        cells = [f"{width}", *(f"{value:.1f}" for value in medians), f"{ratios[0]:.1f}", f"{ratios[1]:.1f}"]
        print("| " + " | ".join([*cells, f"{ratios[2]:.0%}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
