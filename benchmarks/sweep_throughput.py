"""Microseconds a net-step of the batched engine, beside what an expert would write by hand in PyTorch and in JAX.

    make bench
    python benchmarks/sweep_throughput.py --widths 50 --cells plain adam+deep     # two cells, half a minute each
    python benchmarks/sweep_throughput.py --memory                                # instead of the table

A net-step is one step of one tanh network without biases, in float32; eight networks train at once, of five inputs, or
two where a step is long. The plain cell has two hidden layers, 100 rows, the squared error of one output, and gradient
descent on all rows; each other cell changes what its name says, and names are joined by a plus sign.

The rivals: one PyTorch module after another in a loop; torch.func.vmap over stacked parameters; batched products
(`torch.bmm`) of stacked parameters with the fused optimizer, and the same under torch.compile; and in JAX the vmap of
one network's steps in a jitted loop. All start from the same parameters, and their losses after the first steps must
agree with ours. With batches they get the order of the rows for nothing, of one epoch, where we draw a new one each
epoch.

Every contender has a process of its own, so that none finds the other's threads on its cores. PyTorch runs with one
thread and with all, and the better goes on. Then they take turns, round by round, so that a machine whose speed drifts
treats them alike. The table shows medians over the rounds; the last columns are the median of the rounds' ratios to
the fastest rival, in bold where that is ahead, and the floating-point rate of our steps against that of one large
product on all cores (the better of PyTorch's and JAX's).
"""

import argparse
import multiprocessing
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jaxtyping import Float, Int

from nucleate import InitScale, Network, train_many
from nucleate.devices import CORES
from nucleate.models import take_apart
from nucleate.observe import measure as measure_network
from nucleate.optimizers import get_optimizer
from nucleate.problems import Problem, Split, get_loss
from nucleate.training import Rule, engine

INPUTS = 5
LEARNING_RATES = {"gd": 0.01, "adam": 0.001}
LONG = 1e9
"""Floating-point operations of a net-step from which on two networks train instead of eight."""
AGREE = 1e-4
"""The most by which losses after the first steps may differ, relative to ours."""


class Cell(NamedTuple):
    """What is trained."""

    width: int
    depth: int = 2
    rows: int = 100
    batch: int | None = None
    optimizer: str = "gd"
    classes: int = 0
    runs: int | None = None

    @property
    def widths(self) -> list[int]:
        return [INPUTS, *[self.width] * self.depth, max(self.classes, 1)]

    @property
    def operations(self) -> int:
        """Those of a net-step's matrix products: forward, for the weights, and for all signals but the inputs."""
        sizes = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2 * (self.batch or self.rows) * (3 * sum(sizes) - sizes[0])

    @property
    def networks(self) -> int:
        return self.runs or (2 if self.operations > LONG else 8)

    @property
    def checked_steps(self) -> int:
        return 3 if self.operations > LONG else 20


CELLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deep": {"depth": 4},
    "adam": {"optimizer": "adam"},
    "classes": {"classes": 10},
    "batches": {"rows": 1000, "batch": 32},
    "rows-1000": {"rows": 1000},
    "rows-10000": {"rows": 10_000},
    "rows-100000": {"rows": 100_000},
}

Steps = Callable[[int], Float[np.ndarray, " networks"]]
"""Takes so many more steps, and gives each network's loss at the last of them, before its parameters changed."""


class Start(NamedTuple):
    """What all contenders begin with."""

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n c"]
    weights: list[Float[np.ndarray, "networks out in"]]
    order: Int[np.ndarray, "networks n"]


def models(cell: Cell) -> list[Network]:
    scale = InitScale("gain", 0.5)
    return [
        Network.create(cell.widths[0], cell.widths[1:-1], cell.widths[-1], scale=scale, seed=seed)
        for seed in range(cell.networks)
    ]


def data(cell: Cell) -> Split:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((cell.rows, INPUTS))
    y = np.eye(cell.classes)[generator.integers(cell.classes, size=cell.rows)] if cell.classes else np.sin(x[:, :1])
    return Split(x, y)


def ours(cell: Cell) -> tuple[Steps, Callable[[], Int[np.ndarray, "networks n"]]]:
    """The engine; and, once it has stepped, the order in which each network visits the rows in its first epoch."""
    networks, split = models(cell), data(cell)
    loss = get_loss("cross_entropy" if cell.classes else "squared")
    program = engine.Program(take_apart(networks[0])[1], loss, Rule(get_optimizer(cell.optimizer)), cell.batch)
    placed = engine.place_data(split, split, "float32")
    rates = [LEARNING_RATES[cell.optimizer]] * len(networks)
    states = engine.start(program, networks, rates, list(range(len(networks))), cell.rows)
    at = 0

    def steps(count: int) -> Float[np.ndarray, " networks"]:
        nonlocal states, at
        at += count
        states = engine.advance(program, states, placed, [at] * len(networks))
        return np.array([state.loss for state in states])

    return steps, lambda: np.array([state.order for state in states])


def start(cell: Cell) -> Start:
    networks, split = models(cell), data(cell)
    steps, order = ours(cell._replace(width=2, runs=cell.networks))  # which does not depend on the width
    steps(1)
    stacked = [np.stack(layers) for layers in zip(*(network.weights for network in networks), strict=True)]
    return Start(split.x.astype("float32"), split.y.astype("float32"), stacked, order())


def nucleate_engine(cell: Cell) -> Steps:
    return ours(cell)[0]


def torch_loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Each network's mean loss; y has ten columns where there are classes."""
    if y.shape[-1] == 1:
        return 0.5 * ((outputs - y) ** 2).mean(dim=(-1, -2))
    return -(y * torch.log_softmax(outputs, dim=-1)).sum(dim=-1).mean(dim=-1)


def torch_optimizer(cell: Cell, parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if cell.optimizer == "adam" else torch.optim.SGD
    return kind(parameters, lr=LEARNING_RATES[cell.optimizer], fused=True)


def torch_batches(cell: Cell, begin: Start) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """The rows of a step: (networks, n, d), or views of the same rows for all."""
    x, y, order = torch.tensor(begin.x), torch.tensor(begin.y), torch.tensor(begin.order)
    if cell.batch is None:
        every = x.expand(cell.networks, -1, -1), y.expand(cell.networks, -1, -1)
        return lambda step: every

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = step % (cell.rows // cell.batch) * cell.batch
        rows = order[:, first : first + cell.batch]
        return x[rows], y[rows]

    return batch


def torch_loop(cell: Cell) -> Steps:
    begin = start(cell)
    batch, networks = torch_batches(cell, begin), []
    for number in range(cell.networks):
        layers: list[torch.nn.Module] = []
        for weights in begin.weights:
            linear = torch.nn.Linear(weights.shape[2], weights.shape[1], bias=False)
            linear.weight.data = torch.tensor(weights[number])
            layers += [linear, torch.nn.Tanh()]
        network = torch.nn.Sequential(*layers[:-1])
        networks.append((network, torch_optimizer(cell, list(network.parameters()))))
    at = 0

    def steps(count: int) -> Float[np.ndarray, " networks"]:
        nonlocal at
        losses = []
        for number, (network, optimizer) in enumerate(networks):
            for step in range(at, at + count):
                x, y = (part[number] for part in batch(step))
                optimizer.zero_grad()
                loss = torch_loss(network(x), y)
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
        at += count
        return np.array(losses)

    return steps


def torch_bmm(cell: Cell, compiled: bool = False) -> Steps:
    begin = start(cell)
    batch = torch_batches(cell, begin)
    parameters = [torch.tensor(weights, requires_grad=True) for weights in begin.weights]
    optimizer = torch_optimizer(cell, parameters)

    def mean_losses(parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        signal = x
        for weights in parameters[:-1]:
            signal = torch.tanh(torch.bmm(signal, weights.mT))
        return torch_loss(torch.bmm(signal, parameters[-1].mT), y)

    run = torch.compile(mean_losses) if compiled else mean_losses
    at = 0

    def steps(count: int) -> Float[np.ndarray, " networks"]:
        nonlocal at
        for step in range(at, at + count):
            optimizer.zero_grad()
            losses = run(parameters, *batch(step))
            losses.sum().backward()
            optimizer.step()
        at += count
        return losses.detach().numpy()

    return steps


def torch_vmap(cell: Cell) -> Steps:
    begin = start(cell)
    batch = torch_batches(cell, begin)
    parameters = [torch.tensor(weights) for weights in begin.weights]
    optimizer = torch_optimizer(cell, parameters)

    def mean_loss(
        parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        signal = x
        for weights in parameters[:-1]:
            signal = torch.tanh(signal @ weights.mT)
        loss = torch_loss(signal @ parameters[-1].mT, y)
        return loss, loss.detach()

    slopes = torch.func.vmap(torch.func.grad(mean_loss, has_aux=True))
    at = 0

    def steps(count: int) -> Float[np.ndarray, " networks"]:
        nonlocal at
        for step in range(at, at + count):
            gradients, losses = slopes(parameters, *batch(step))
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        at += count
        return losses.numpy()

    return steps


def jax_vmap(cell: Cell) -> Steps:
    begin = start(cell)
    make = optax.adam if cell.optimizer == "adam" else optax.sgd
    transformation = make(LEARNING_RATES[cell.optimizer])
    x, y, order = jnp.asarray(begin.x), jnp.asarray(begin.y), jnp.asarray(begin.order)

    def mean_loss(parameters: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        signal = x
        for weights in parameters[:-1]:
            signal = jnp.tanh(signal @ weights.T)
        outputs = signal @ parameters[-1].T
        return jnp.mean(optax.softmax_cross_entropy(outputs, y) if cell.classes else 0.5 * (outputs - y) ** 2)

    def one_network(state: Any, order: jax.Array, first: jax.Array, count: jax.Array) -> Any:
        def one_step(step: jax.Array, state: Any) -> Any:
            parameters, memory, _ = state
            seen = x, y
            if cell.batch is not None:
                at = step % (cell.rows // cell.batch) * cell.batch
                rows = jax.lax.dynamic_slice_in_dim(order, at, cell.batch)
                seen = x[rows], y[rows]
            loss, gradient = jax.value_and_grad(mean_loss)(parameters, *seen)
            updates, memory = transformation.update(gradient, memory, parameters)
            return optax.apply_updates(parameters, updates), memory, loss

        return jax.lax.fori_loop(first, first + count, one_step, state)

    run = jax.jit(jax.vmap(one_network, in_axes=(0, 0, None, None)), donate_argnums=0)
    parameters = [jnp.asarray(weights) for weights in begin.weights]
    state = (parameters, jax.vmap(transformation.init)(parameters), jnp.zeros(cell.networks))
    at = 0

    def steps(count: int) -> Float[np.ndarray, " networks"]:
        nonlocal state, at
        state = run(state, order, at, count)
        at += count
        return np.asarray(state[-1])

    return steps


SIZE = 2048
"""Of the large product."""


def torch_product(cell: Cell) -> Steps:
    a = torch.randn(SIZE, SIZE)

    def products(count: int) -> Float[np.ndarray, " networks"]:
        for _ in range(count):
            a @ a
        return np.zeros(cell.networks)

    return products


def jax_product(cell: Cell) -> Steps:
    a = jax.random.normal(jax.random.key(0), (SIZE, SIZE), jnp.float32)
    product = jax.jit(jnp.matmul)

    def products(count: int) -> Float[np.ndarray, " networks"]:
        for _ in range(count):
            jax.block_until_ready(product(a, a))
        return np.zeros(cell.networks)

    return products


RIVALS: dict[str, Callable[[Cell], Steps]] = {
    "torch loop": torch_loop,
    "torch.func.vmap": torch_vmap,
    "torch.bmm": torch_bmm,
    "torch.bmm, compiled": partial(torch_bmm, compiled=True),
    "JAX vmap": jax_vmap,
}


def serve(connection: Connection, make: Callable[[Cell], Steps], cell: Cell, threads: int) -> None:
    """A contender's process: its losses after the first steps, and then for every stretch the seconds of a step."""
    torch.set_num_threads(threads)
    work = make(cell)
    connection.send(work(cell.checked_steps))
    count = 1
    while stretch := connection.recv():
        taken, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < stretch:
            called = time.perf_counter()
            work(count)
            taken += count
            # A call should be long beside what it costs to make one.
            if time.perf_counter() - called < stretch / 4:
                count *= 2
        connection.send(spent / taken)


class Contender:
    """A process that does one kind of work when told to."""

    def __init__(self, make: Callable[[Cell], Steps], cell: Cell, threads: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, make, cell, threads), daemon=True)
        self._process.start()
        theirs.close()

    @cached_property
    def first_losses(self) -> Float[np.ndarray, " networks"]:
        """After the first steps, for which it may have to be waited."""
        losses: Float[np.ndarray, " networks"] = self._connection.recv()
        return losses

    def seconds(self, stretch: float) -> float:
        self._connection.send(stretch)
        return float(self._connection.recv())

    def end(self) -> None:
        self._connection.send(0.0)
        self._process.join()


def better(make: Callable[[Cell], Steps], cell: Cell, stretch: float) -> Contender:
    """With one thread or with all; they start and compile side by side, and are tried one after the other."""
    both = [Contender(make, cell, threads) for threads in {1, CORES}]
    for one in both:
        _ = one.first_losses
    tried = [(one.seconds(stretch), one) for one in both]
    tried.sort(key=lambda pair: pair[0])
    for _, slower in tried[1:]:
        slower.end()
    return tried[0][1]


def measure(cell: Cell, rivals: Sequence[str], rounds: int, stretch: float) -> dict[str, list[float]]:
    """Seconds a net-step of each contender, and seconds an operation of the large product, for each round."""
    engine_process = Contender(nucleate_engine, cell)
    contenders = {"nucleate": engine_process}
    for name in rivals:
        contenders[name] = better(RIVALS[name], cell, stretch)
        losses, expected = contenders[name].first_losses, engine_process.first_losses
        if not np.allclose(losses, expected, rtol=AGREE, atol=0):
            sys.exit(f"{name} computes something else: after {cell.checked_steps} steps {losses}, not {expected}.")
    products = [Contender(torch_product, cell, CORES), Contender(jax_product, cell)]
    for one in products:
        _ = one.first_losses
    for one in (engine_process, *products):
        one.seconds(stretch)  # warms up, and finds how long a call should be
    times: dict[str, list[float]] = {name: [] for name in (*contenders, "product")}
    for _ in range(rounds):
        for name, contender in contenders.items():
            times[name].append(contender.seconds(stretch) / cell.networks)
        times["product"].append(min(product.seconds(stretch) for product in products) / (2 * SIZE**3))
    for one in (*contenders.values(), *products):
        one.end()
    return times


def row(name: str, cell: Cell, times: dict[str, list[float]], rivals: Sequence[str]) -> str:
    micro = [f"{statistics.median(times[one]) * 1e6:.3g}" if one in times else "-" for one in (*rivals, "nucleate")]
    raced = [one for one in rivals if one in times]
    fastest = min(raced, key=lambda one: statistics.median(times[one]))
    ratio = statistics.median(a / b for a, b in zip(times[fastest], times["nucleate"], strict=True))
    said = f"{ratio:.2f}" if ratio >= 1 else f"**{ratio:.2f}: behind {fastest}**"
    pairs = zip(times["nucleate"], times["product"], strict=True)
    share = statistics.median(cell.operations * product / own for own, product in pairs)
    return "| " + " | ".join([f"{cell.width}", name, *micro, said, f"{share:.0%}"]) + " |"


def evaluation_milliseconds(width: int, evaluations: int = 20) -> float:
    """What all measures of one evaluation of a run cost, on 300 rows."""
    network = Network.create(10, [width, width], 1, scale=InitScale("gain", 0.3))
    rows = np.random.default_rng(0).standard_normal((300, 10))
    times = []
    for _ in range(evaluations):
        began = time.perf_counter()
        measure_network(network, network, rows)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def memory_above_data(rows: int, columns: int, runs: int) -> None:
    """Prints the peak memory of short training, all runs at once, above what the process held with the data."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((rows, columns))
    problem = Problem.from_arrays(x, np.sin(x[:, 0]) + 0.1 * generator.standard_normal(rows))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scales = [InitScale("gain", gain) for gain in np.geomspace(0.01, 1, runs)]
    networks = [Network.create(columns, [50, 50], 1, scale=scale, bias=[True, False, False]) for scale in scales]
    train_many(networks, problem, learning_rates=[0.05] * runs, steps=4, evaluations=4)
    above = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
    print(
        f"{rows:,} rows x {columns} columns x {runs} runs (widths 50, 50): at most {above * 1024 / 1e9:.2f} GB above "
        f"the {held * 1024 / 1e9:.2f} GB of the process with its data"
    )


def named_cell(name: str, width: int) -> Cell:
    changes: dict[str, Any] = {}
    for part in name.split("+"):
        if part not in CELLS:
            sys.exit(f"There is no cell {part!r}; there are {', '.join(CELLS)}, which can be joined by a plus sign.")
        changes |= CELLS[part]
    return Cell(width, **changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contender in a round")
    parser.add_argument("--widths", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--cells", nargs="+", default=[name for name in CELLS if name != "rows-100000"])
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--memory", action="store_true", help="measure the memory of 100,000 rows and 54 runs instead")
    arguments = parser.parse_args()
    if arguments.memory:
        memory_above_data(100_000, 50, 54)
        return
    cells = [(name, named_cell(name, width)) for width in arguments.widths for name in arguments.cells]
    rivals = arguments.rivals
    print(f"torch {torch.__version__}, jax {jax.__version__}, {CORES} cores, {arguments.rounds} rounds\n")
    raced = rivals
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raced = [name for name in rivals if "compiled" not in name]
        print("There is no C++ compiler, which torch.compile needs, so its column is empty.\n")
    print("| width | cell | " + " | ".join((*rivals, "nucleate")) + " | times the fastest rival | of product rate |")
    print("|---|---|" + "---|" * (len(rivals) + 3))
    for name, cell in cells:
        print(row(name, cell, measure(cell, raced, arguments.rounds, arguments.seconds), rivals), flush=True)
    costs = ", ".join(f"{evaluation_milliseconds(width):.1f} ms at widths {width}, {width}" for width in (50, 128))
    print(f"\nOne evaluation of a run, all measures on 300 rows, takes {costs}.")


if __name__ == "__main__":
    main()
