"""A linear leading part taken through many mini-batches at once, by gradient descent on a quadratic loss.

While little changes, many small steps are one large one: over a block of steps the gradient is that of all the block's
rows together, read half way through the block as the midpoint rule does. How far it changes until there says how long
the next block may be; a block of one step is a step of training. Nothing is compiled, and no batch has a cost of its
own beside its rows.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nucleate.devices import single_blas_thread
from nucleate.forecasting.leading import LinearNetwork
from nucleate.models import dtype_of
from nucleate.optimizers import GD
from nucleate.problems import Split, relative_weights
from nucleate.training import engine

_CHANGE = 0.1
"""The most that the gradient may change from the beginning of a block to its middle, as a share of itself."""
_LEVELS = 1 - np.array(engine.DROPS)
_KEPT = 2**23
"""Rows of orders that are kept, so that a second pass does not draw them again."""

Parameters = Float[np.ndarray, " p"]
"""Weights, then biases, of all layers in one vector."""


class BlockRun(NamedTuple):
    """What a run needs to go on: as an `engine.RunState`, with the length of its next block."""

    parameters: Parameters
    learning_rate: float
    weight_decay: float
    seed: int
    step: int
    running: bool
    loss: float
    start_loss: float
    drop_steps: Int[np.ndarray, " drops"]
    block: int


class Blocks:
    """The stepping of a `Simulation` in blocks, where `Blocks.can_step`.

    Parameters
    ----------
    program : engine.Program
    network : LinearNetwork
        One of those that are stepped, for its shape.
    stepped, watched : Split
        The rows whose batches are taken, and those that the loss is read of.
    """

    def __init__(self, program: engine.Program, network: LinearNetwork, stepped: Split, watched: Split) -> None:
        assert program.batch_size is not None
        self._program, self._network, self._size = program, network, program.batch_size
        self._slope = float(network.activation.slope or 0.0)
        self._constants = any(bias is not None for bias in network.biases)
        self._places: list[Any] = []
        at = 0
        for one in (*network.weights, *network.biases):
            self._places.append(None if one is None else (at, at + one.size, one.shape))
            at += 0 if one is None else one.size
        self._dtype = dtype_of(network)
        self._stepped, self._watched = self._rows(stepped), self._rows(watched)
        n = len(stepped.x)
        self._steps_an_epoch = n // self._size
        self._order = lru_cache(max(_KEPT // n, 2))(lambda seed, epoch: engine.row_order(seed, epoch, n))

    @staticmethod
    def can_step(program: engine.Program, network: Any) -> bool:
        """Whether these are networks, and a program, that can be stepped in blocks.

        Where activations have a value at zero, the noise of the constants that they fit at once goes into the growth of
        the rest, step by step.
        """
        rule = program.rule
        return (
            isinstance(network, LinearNetwork)
            and network.activation.value == 0
            and program.loss.is_quadratic
            and program.batch_size is not None
            and rule.optimizer == GD
            and rule.clip is None
        )

    def start(
        self,
        networks: Sequence[Any],
        learning_rates: Sequence[float],
        seeds: Sequence[int],
        weight_decays: Sequence[float] | None,
    ) -> list[BlockRun]:
        """The runs before their first step."""
        decays = [0.0] * len(networks) if weight_decays is None else weight_decays
        nothing = np.full(len(engine.DROPS), -1)
        return [
            BlockRun(
                _in_one(network, self._dtype), float(rate), float(decay), seed, 0, True, np.nan, np.nan, nothing, 1
            )
            for network, rate, seed, decay in zip(networks, learning_rates, seeds, decays, strict=True)
        ]

    def advance(
        self, runs: Sequence[BlockRun], until: Sequence[int], push: Sequence[Any] | None = None
    ) -> list[BlockRun]:
        """As `engine.advance`; what is pushed is `engine.Steady`."""
        pushes = [None] * len(runs) if push is None else [_in_one(steady.push, self._dtype) for steady in push]
        # One after another, for threads would wait for Python's lock.
        with single_blas_thread():
            return [self._advance(*given) for given in zip(runs, until, pushes, strict=True)]

    def fall(self, runs: Sequence[BlockRun], until: Sequence[int]) -> list[BlockRun]:
        """The same, but a run is left at the last of the drops that are noted."""
        with single_blas_thread():
            return [self._advance(*given, None, falling=True) for given in zip(runs, until, strict=True)]

    def networks(self, runs: Sequence[BlockRun]) -> list[LinearNetwork]:
        """The runs' networks."""
        depth, lead = self._network.depth, self._network.activation
        layers = [self._layers(run.parameters) for run in runs]
        return [LinearNetwork(tuple(its[:depth]), tuple(its[depth:]), lead) for its in layers]  # type: ignore[arg-type]

    def losses(self, runs: Sequence[BlockRun]) -> Float[np.ndarray, " runs"]:
        """Of the rows that are watched."""
        return np.array([self._loss(run.parameters) for run in runs])

    def _advance(self, run: BlockRun, until: int, push: Parameters | None, *, falling: bool = False) -> BlockRun:
        loss = self._loss(run.parameters)
        while run.running and run.step < until and not (falling and run.drop_steps[-1] >= 0):
            run = self._note(run, loss)
            # The last step is one of its own, as the loss that a run carries is that before its last step.
            most = min(until - 1 - run.step, self._steps_an_epoch - run.step % self._steps_an_epoch)
            length = max(min(run.block, most), 1)
            parameters, change = self._take(run, length, push)
            while length > 1 and change > 2 * _CHANGE:
                length //= 2
                parameters, change = self._take(run, length, push)
            after = self._loss(parameters)
            if length > 1 and self._fallen(run, after).any():
                # A drop is at the first step that has it.
                length, change = 1, _CHANGE
                parameters, _ = self._take(run, 1, push)
                after = self._loss(parameters)
            fitting = length * _CHANGE / max(change, 1e-6)
            # Written so that NaN ends the run as well.
            running = bool(loss <= engine.DIVERGED * run.start_loss)
            block = max(int(min(fitting, 2 * length)), 1)
            run = run._replace(parameters=parameters, step=run.step + length, running=running, block=block)
            loss = after
        return run

    def _note(self, run: BlockRun, loss: float) -> BlockRun:
        """With the loss before a step, and the drops that it has come to, where a training run reads it."""
        run = run._replace(loss=loss, start_loss=loss if run.step == 0 else run.start_loss)
        if run.step % max(1, run.step // engine.WATCHED):
            return run
        return run._replace(drop_steps=np.where(self._fallen(run, loss), run.step, run.drop_steps))

    @staticmethod
    def _fallen(run: BlockRun, loss: float) -> Any:
        """Which of the drops a loss has come to that the run has not noted yet."""
        return (run.drop_steps < 0) & (loss <= run.start_loss * _LEVELS)

    def _take(self, run: BlockRun, length: int, push: Parameters | None) -> tuple[Parameters, float]:
        """The parameters after so many steps, and by how much of itself the gradient changes half way there."""
        epoch, place = divmod(run.step, self._steps_an_epoch)
        rows = self._order(run.seed, epoch)[place * self._size : (place + length) * self._size]
        x, y, weights = (None if part is None else part[rows] for part in self._stepped)
        begins, ends = self._program.rule.passed(np.array([run.step, run.step + length]))
        way = float(ends - begins) * run.learning_rate

        def pull(parameters: Parameters) -> Parameters:
            slopes = self._gradient(parameters, x, y, weights)
            if run.weight_decay:
                slopes += run.weight_decay * parameters
            if push is not None:
                slopes += push
            return slopes

        first = pull(run.parameters)
        if length == 1:
            return run.parameters - way * first, 0.0
        # Half way for a flow; of steps one after another the first sees nothing of those behind it.
        middle = pull(run.parameters - way * (length - 1) / (2 * length) * first)
        more = middle - first
        change = float(more @ more) / max(float(first @ first), np.finfo(self._dtype).tiny)
        return run.parameters - way * middle, change**0.5

    def _loss(self, parameters: Parameters) -> float:
        x, y, weights = self._watched
        errors = (x @ self._maps(self._layers(parameters))[-1].T - y).astype(np.float64)
        if weights is not None:
            errors *= np.sqrt(weights)[:, None]
        return 0.5 * float(np.vdot(errors, errors)) / len(x)

    def _gradient(
        self,
        parameters: Parameters,
        x: Float[np.ndarray, "n d"],
        y: Float[np.ndarray, "n c"],
        weights: Float[np.ndarray, " n"] | None,
    ) -> Parameters:
        slopes, depth = np.empty_like(parameters), self._network.depth
        layers, into = self._layers(parameters), self._layers(slopes)
        maps = self._maps(layers)
        errors = x @ maps[-1].T - y
        moment = (errors if weights is None else weights[:, None] * errors).T @ x / len(x)
        behind = np.eye(len(moment), dtype=self._dtype)
        for layer in reversed(range(depth)):
            before = moment @ maps[layer - 1].T if layer else moment[:, : layers[0].shape[1]]
            np.matmul(behind.T, before, out=into[layer])
            if into[depth + layer] is not None:
                np.matmul(behind.T, moment[:, -1], out=into[depth + layer])
            behind = self._slope * (behind @ layers[layer])
        return slopes

    def _maps(self, layers: list[Any]) -> list[Float[np.ndarray, "m d"]]:
        """What each layer gives of a row of inputs, as a matrix; with constants its last column is theirs."""
        depth = self._network.depth
        made = np.column_stack([layers[0], np.zeros_like(layers[0][:, :1])]) if self._constants else layers[0]
        maps: list[Any] = []
        for weight, bias in zip([*layers[1:depth], None], layers[depth:], strict=True):
            if bias is not None:
                made[:, -1] += bias
            if weight is None:
                return [*maps, made]
            maps.append(self._slope * made)
            made = weight @ maps[-1]
        return maps

    def _layers(self, parameters: Parameters) -> list[Any]:
        """Views of the weights, and of the biases, of all layers; None where there is no bias."""
        return [None if place is None else parameters[place[0] : place[1]].reshape(place[2]) for place in self._places]

    def _rows(self, split: Split) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n c"], Any]:
        x = np.column_stack([split.x, np.ones(len(split.x))]) if self._constants else split.x
        weights = None if split.weights is None else relative_weights(split.weights).astype(self._dtype)
        return np.ascontiguousarray(x, self._dtype), np.asarray(split.y, self._dtype), weights


def _in_one(network: Any, dtype: str) -> Parameters:
    parts = [np.ravel(one) for one in (*network.weights, *network.biases) if one is not None]
    return np.concatenate(parts).astype(dtype)
