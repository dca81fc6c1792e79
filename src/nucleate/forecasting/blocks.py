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
from jaxtyping import Bool, Float, Int

from nucleate.devices import single_blas_thread
from nucleate.forecasting.leading import LinearNetwork
from nucleate.models import dtype_of
from nucleate.optimizers import GD
from nucleate.problems import Split
from nucleate.problems.moments import relative_weights
from nucleate.training import engine

_CHANGE = 0.1
"""The most that the gradient may change from the beginning of a block to its middle, as a share of itself."""
_TOGETHER = 2**16
"""Parameters of the runs that are stepped together, so that they stay in the processor's cache."""
_LEVELS = 1 - np.array(engine.DROPS)
_KEPT = 2**23
"""Rows of orders that are kept, so that a second pass does not draw them again."""


class BlockRun(NamedTuple):
    """What a run needs to go on: as an `engine.RunState`, with the length of its next block.

    Its parameters are the weights, then the biases, of all layers in one vector. Of runs that go together all have one
    more axis, the first.
    """

    parameters: Float[np.ndarray, "*runs p"]
    learning_rate: Float[Any, "*runs"]
    weight_decay: Float[Any, "*runs"]
    seed: Int[Any, "*runs"]
    step: Int[Any, "*runs"]
    running: Bool[Any, "*runs"]
    loss: Float[Any, "*runs"]
    start_loss: Float[Any, "*runs"]
    drop_steps: Int[np.ndarray, "*runs drops"]
    block: Int[Any, "*runs"]

    def only(self, which: Int[np.ndarray, " some"]) -> "BlockRun":
        """Some of the runs that go together."""
        return BlockRun(*(part[which] for part in self))


class Blocks:
    """The stepping of a `Simulation` in blocks, where `Blocks.can_step`; the network is one of those, for its shape."""

    def __init__(self, program: engine.Program, network: LinearNetwork, stepped: Split, watched: Split) -> None:
        assert program.batch_size is not None
        self._program, self._network, self._size = program, network, program.batch_size
        # Of a linear network there is one.
        self._slope = float(network.activation.slope or 0.0)
        self._constants = any(bias is not None for bias in network.biases)
        self._places: list[Any] = []
        at = 0
        for one in (*network.weights, *network.biases):
            self._places.append(None if one is None else (at, at + one.size, one.shape))
            at += 0 if one is None else one.size
        self._dtype = dtype_of(network)
        # A number of Python's would do, one of NumPy's in float64 makes float64 of all.
        self._kind = np.dtype(self._dtype).type
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
        pushed = None if push is None else [_in_one(steady.push, self._dtype) for steady in push]
        return self._in_groups(runs, until, pushed, falling=False)

    def fall(self, runs: Sequence[BlockRun], until: Sequence[int]) -> list[BlockRun]:
        """The same, but a run is left at the last of the drops that are noted."""
        return self._in_groups(runs, until, None, falling=True)

    def networks(self, runs: Sequence[BlockRun]) -> list[LinearNetwork]:
        """The runs' networks."""
        depth, lead = self._network.depth, self._network.activation
        layers = [[None if one is None else one[0] for one in self._layers(run.parameters[None])] for run in runs]
        return [LinearNetwork(tuple(its[:depth]), tuple(its[depth:]), lead) for its in layers]  # type: ignore[arg-type]

    @np.errstate(over="ignore", invalid="ignore")
    def losses(self, runs: Sequence[BlockRun]) -> Float[np.ndarray, " runs"]:
        """Of the rows that are watched."""
        return self._losses(np.stack([run.parameters for run in runs]))

    @np.errstate(over="ignore", invalid="ignore")
    def _in_groups(
        self, runs: Sequence[BlockRun], until: Sequence[int], push: list[Any] | None, *, falling: bool
    ) -> list[BlockRun]:
        # Small networks together, for Python takes longer over a block than the processor.
        size = max(_TOGETHER // runs[0].parameters.size, 1) if runs else 1
        done: list[BlockRun] = []
        with single_blas_thread():
            for first in range(0, len(runs), size):
                some = slice(first, first + size)
                pushed = None if push is None else np.stack(push[some])
                done += self._take_to(runs[some], np.array(until[some]), pushed, falling=falling)
        return done

    def _take_to(
        self, runs: Sequence[BlockRun], until: Int[np.ndarray, " runs"], push: Any, *, falling: bool
    ) -> list[BlockRun]:
        """Take runs together, in blocks of one length, each up to its own step."""
        group = BlockRun(*(np.array(part) for part in zip(*runs, strict=True)))
        losses = self._losses(group.parameters)
        while True:
            waits = falling & (group.drop_steps[:, -1] >= 0) | (group.step >= until) | ~group.running
            which = np.flatnonzero(~waits)
            if not which.size:
                return [BlockRun(*run) for run in zip(*group, strict=True)]
            self._note(group, which, losses)
            at, pushed = group.only(which), None if push is None else push[which]
            # The last step is one of its own, as the loss that a run carries is that before its last step.
            most = np.minimum(until[which] - 1 - at.step, self._steps_an_epoch - at.step % self._steps_an_epoch)
            length = max(int(np.minimum(at.block, most).min()), 1)
            parameters, change = self._take(at, length, pushed)
            while length > 1 and change.max() > 2 * _CHANGE:
                length //= 2
                parameters, change = self._take(at, length, pushed)
            after = self._losses(parameters)
            if length > 1 and _fallen(at, after).any():
                # A drop is at the first step that has it.
                length = 1
                parameters, _ = self._take(at, 1, pushed)
                after, change = self._losses(parameters), np.full(len(which), _CHANGE)
            fitting = length * _CHANGE / np.maximum(np.nan_to_num(change, nan=np.inf), 1e-9)
            group.parameters[which] = parameters
            # It may have been shorter than it could be, for the sake of others or of where it had to end.
            group.block[which] = np.maximum(np.minimum(fitting, np.maximum(at.block, 2 * length)), 1)
            group.step[which] += length
            # Written so that NaN ends the run as well.
            group.running[which] = losses[which] <= engine.DIVERGED * at.start_loss
            losses[which] = after

    @staticmethod
    def _note(group: BlockRun, which: Int[np.ndarray, " some"], losses: Float[np.ndarray, " runs"]) -> None:
        """Note the losses before a step, and the drops that they have come to, where a training run reads them."""
        group.loss[which] = losses[which]
        first = which[group.step[which] == 0]
        group.start_loss[first] = losses[first]
        read = which[group.step[which] % np.maximum(group.step[which] // engine.WATCHED, 1) == 0]
        fallen = _fallen(group.only(read), losses[read])
        group.drop_steps[read] = np.where(fallen, group.step[read, None], group.drop_steps[read])

    def _take(
        self, group: BlockRun, length: int, push: Float[np.ndarray, "runs p"] | None
    ) -> tuple[Float[np.ndarray, "runs p"], Float[np.ndarray, " runs"]]:
        """The parameters after so many steps, and by how much of itself the gradient changes half way there."""
        places = zip(*np.divmod(group.step, self._steps_an_epoch), group.seed, strict=True)
        rows = np.stack([self._order(int(s), int(e))[p * self._size : (p + length) * self._size] for e, p, s in places])
        x, y, weights = (None if part is None else part[rows] for part in self._stepped)
        passed = self._program.rule.passed
        way = ((passed(group.step + length) - passed(group.step)) * group.learning_rate)[:, None].astype(self._dtype)
        decay = group.weight_decay[:, None].astype(self._dtype) if group.weight_decay.any() else None
        layers = self._layers(group.parameters)
        more = None if push is None else self._layers(push)
        moves = self._pulls(layers, x, y, weights, None)
        change, first, half = np.zeros(len(way)), moves, np.zeros_like(way)
        if length > 1:
            # Half way for a flow; of steps one after another the first sees nothing of those behind it.
            half = way * self._kind((length - 1) / (2 * length))
            moves = self._pulls(layers, x, y, weights, _Shift(half, first, decay, more))
            change = _change(first, moves)
        if decay is None:
            parameters, others = group.parameters.copy(), None
        else:
            # What decays is half way too, where the first gradient has moved it.
            others = way * decay * half
            parameters = group.parameters * (1 - way * decay + others * decay)
            change = np.maximum(change, (half * decay)[:, 0])
        if push is not None:
            parameters -= (way if others is None else way - others) * push
        for into, move, before in zip(self._layers(parameters), moves, first, strict=True):
            if move is None or before is None:
                continue
            into -= move.outer(way[:, :, None] if into.ndim == 3 else way)
            if others is not None:
                into += before.outer(others[:, :, None] if into.ndim == 3 else others)
        return parameters, change

    def _losses(self, parameters: Float[np.ndarray, "runs p"]) -> Float[np.ndarray, " runs"]:
        x, y, weights = self._watched
        maps = self._maps(self._layers(parameters))[-1]
        errors = (x @ maps.swapaxes(1, 2) - y).astype(np.float64)
        if weights is not None:
            errors *= np.sqrt(weights)[:, None]
        losses: np.ndarray = 0.5 * np.einsum("rnc,rnc->r", errors, errors) / len(x)
        return losses

    def _pulls(self, layers: list[Any], x: Any, y: Any, weights: Any, shift: "_Shift | None") -> list["_Pull | None"]:
        """The gradient of the mean cost of each run's rows by each weight and bias, where parameters are shifted."""
        depth = self._network.depth
        maps = self._maps(layers, shift)
        errors = x @ maps[-1].swapaxes(1, 2) - y
        if weights is not None:
            errors *= weights[:, :, None]
        moment = errors.swapaxes(1, 2) @ x / self._kind(x.shape[1])
        pulls: list[_Pull | None] = [None] * (2 * depth)
        # By how much the outputs move with each unit of a layer.
        behind = np.broadcast_to(np.eye(moment.shape[1], dtype=self._dtype), (len(moment),) + 2 * moment.shape[1:2])
        for layer in reversed(range(depth)):
            before = moment @ maps[layer - 1].swapaxes(1, 2) if layer else moment[..., : layers[0].shape[2]]
            pulls[layer] = _Pull(behind, before)
            if layers[depth + layer] is not None:
                pulls[depth + layer] = _Pull(behind, moment[..., -1:])
            if layer:
                behind = self._slope * _times(behind, layers, layer, shift, left=True)
        return pulls

    def _maps(self, layers: list[Any], shift: "_Shift | None" = None) -> list[Any]:
        """What each layer gives of a row of inputs, as a matrix; with constants its last column is theirs."""
        depth = self._network.depth
        made = layers[0] if shift is None else shift.of(layers, 0)
        if self._constants:
            made = np.concatenate([made, np.zeros_like(made[..., :1])], axis=2)
        maps: list[Any] = []
        for layer in range(depth):
            if layer:
                maps.append(self._slope * made)
                made = _times(maps[-1], layers, layer, shift)
            if layers[depth + layer] is not None:
                made[..., -1] += layers[depth + layer] if shift is None else shift.of(layers, depth + layer)
        return [*maps, made]

    def _layers(self, parameters: Float[np.ndarray, "runs p"]) -> list[Any]:
        """Views of the weights, and of the biases, of all layers; None where there is no bias."""
        runs = len(parameters)
        return [
            None if place is None else parameters[:, place[0] : place[1]].reshape(runs, *place[2])
            for place in self._places
        ]

    def _rows(self, split: Split) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n c"], Any]:
        x = np.column_stack([split.x, np.ones(len(split.x))]) if self._constants else split.x
        weights = None if split.weights is None else relative_weights(split.weights).astype(self._dtype)
        return np.ascontiguousarray(x, self._dtype), np.asarray(split.y, self._dtype), weights


class _Pull(NamedTuple):
    """The gradient by a weight as the product of two thin matrices, so that no product with it is as dear as its size.

    ``behind`` has shape (runs, c, fan_out), and ``before`` (runs, c, fan_in); of a bias the latter is a column.
    """

    behind: Any
    before: Any

    def outer(self, scale: Any) -> Any:
        """The gradient itself, times a scale."""
        if self.before.shape[2] == 1 and scale.ndim == 2:
            return scale * (self.behind.swapaxes(1, 2) @ self.before)[..., 0]
        return (scale * self.behind.swapaxes(1, 2)) @ self.before

    def products(self, other: "_Pull") -> Any:
        """The inner product of the two gradients, of each run."""
        left = self.behind @ other.behind.swapaxes(1, 2)
        return np.sum(left * (self.before @ other.before.swapaxes(1, 2)), axis=(1, 2))


class _Shift(NamedTuple):
    """Parameters less ``by`` times what pulls at them: the gradient, a weight decay, and what is pushed."""

    by: Float[np.ndarray, "runs 1"]
    pulls: list[_Pull | None]
    decay: Float[np.ndarray, "runs 1"] | None
    push: list[Any] | None

    def of(self, layers: list[Any], place: int) -> Any:
        """A weight or a bias, shifted."""
        own, pull = layers[place], self.pulls[place]
        assert pull is not None
        by, decay = (one if one is None or own.ndim == 2 else one[:, :, None] for one in (self.by, self.decay))
        shifted = own - pull.outer(by)
        if decay is not None:
            shifted -= by * decay * own
        if self.push is not None:
            shifted -= by * self.push[place]
        return shifted


def _times(signal: Any, layers: list[Any], layer: int, shift: _Shift | None, *, left: bool = False) -> Any:
    """A weight, which may be shifted, times what comes to it, or with ``left`` the latter times the weight."""
    weight = layers[layer]
    made = signal @ weight if left else weight @ signal
    if shift is None:
        return made
    pull, by = shift.pulls[layer], shift.by[:, :, None]
    assert pull is not None
    across = pull.behind.swapaxes(1, 2)
    less = (signal @ across) @ pull.before if left else across @ (pull.before @ signal)
    if shift.decay is not None:
        less += shift.decay[:, :, None] * made
    if shift.push is not None:
        less += signal @ shift.push[layer] if left else shift.push[layer] @ signal
    return made - by * less


def _change(first: list[_Pull | None], second: list[_Pull | None]) -> Float[np.ndarray, " runs"]:
    """By how much of itself a gradient has changed from one to the other."""
    pairs = [(one, two) for one, two in zip(first, second, strict=True) if one is not None and two is not None]
    size = sum(one.products(one) for one, _ in pairs)
    other = sum(two.products(two) for _, two in pairs)
    both = sum(one.products(two) for one, two in pairs)
    changed: np.ndarray = np.sqrt(np.maximum(size - 2 * both + other, 0) / np.maximum(size, np.finfo("float32").tiny))
    return changed


def _fallen(runs: BlockRun, losses: Float[np.ndarray, " runs"]) -> Bool[np.ndarray, "runs drops"]:
    """Which of the drops the losses have come to that the runs have not noted yet."""
    fallen: np.ndarray = (runs.drop_steps < 0) & (losses[:, None] <= runs.start_loss[:, None] * _LEVELS)
    return fallen


def _in_one(network: Any, dtype: str) -> Float[np.ndarray, " p"]:
    parts = [np.ravel(one) for one in (*network.weights, *network.biases) if one is not None]
    return np.concatenate(parts).astype(dtype)
