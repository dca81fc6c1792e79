"""Keep the units that explain most of what the next layers are given, and refit these.

A unit is a block of columns: for a convolution its shifts, behind a flatten its positions. Blocks are chosen one by one
by how far each brings the ridge regression of the original's next pre-activations down beside those chosen before:
block orthogonal least squares (after Chen, Cowan and Grant 1991, doi:10.1109/72.80341). All is done with inner
products: the residual's, of which only the chosen columns and each block's own are ever computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate.pytorch.exchange import import_torch

RIDGE = 1e-6
"""The least ridge, in mean squares of a column."""
RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of which a fifth of the positions chooses for the refit."""


@dataclass(frozen=True, eq=False)
class Regression:
    """What some outputs of a reader are to be, the original's pre-activations, and what it reads, by position.

    The weights are those before the refit, the importance is what an error of each output weighs, and the blocks are
    for each unit the columns that it is. With a level a constant may be refitted too.
    """

    columns: Float[Any, "n p"]
    wanted: Float[Any, "n t"]
    weights: Float[Any, "p t"]
    importance: Float[Any, " t"]
    blocks: tuple[np.ndarray, ...]
    has_level: bool

    def without_others(self, units: np.ndarray) -> np.ndarray:
        """The columns that are left if these units alone are, with those that are no unit's."""
        gone = [self.blocks[unit] for unit in np.setdiff1d(np.arange(len(self.blocks)), units)]
        return np.setdiff1d(np.arange(self.columns.shape[1]), np.concatenate([*gone, np.array([], dtype=np.int64)]))

    @cached_property
    def moments(self) -> tuple["Moments", "Moments"]:
        """Of four fifths of the positions, and of the others, drawn at random."""
        torch = import_torch()
        rows = torch.randperm(len(self.columns), generator=torch.Generator().manual_seed(0))
        held = len(rows) // 5
        fitted, aside = (
            Moments.of(self.columns[part].double(), self.wanted[part].double()) for part in (rows[held:], rows[:held])
        )
        return fitted, aside

    @cached_property
    def centered(self) -> "Moments":
        """Of all positions about their means, where a constant may be refitted."""
        fitted, held = self.moments
        return (fitted + held).about(self.has_level)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean products of columns and wanted values, and their means, over so many positions."""

    rows: int
    gram: Any
    cross: Any
    energy: Any
    centre: Any
    level: Any

    @classmethod
    def of(cls, x: Any, y: Any) -> "Moments":
        """Of a row a position."""
        rows = max(1, len(x))
        return cls(len(x), x.T @ x / rows, x.T @ y / rows, y.square().sum(0) / rows, x.sum(0) / rows, y.sum(0) / rows)

    def __add__(self, other: "Moments") -> "Moments":
        rows = self.rows + other.rows
        ours, theirs = self.rows / rows, other.rows / rows
        values = ((ours * getattr(self, name) + theirs * getattr(other, name)) for name in _MOMENTS)
        return Moments(rows, *values)

    def about(self, means: bool) -> "Moments":
        """About the means, or as they are, about zero."""
        if not means:
            return replace(self, centre=self.centre * 0, level=self.level * 0)
        return replace(
            self,
            gram=self.gram - self.centre[:, None] * self.centre,
            cross=self.cross - self.centre[:, None] * self.level,
            energy=self.energy - self.level.square(),
        )

    def take(self, columns: Any) -> "Moments":
        """Of some columns."""
        gram = self.gram[columns][:, columns]
        return replace(self, gram=gram, cross=self.cross[columns], centre=self.centre[columns])

    def ridge(self, share: float) -> float:
        """So much in mean squares of a column, and more than what rounding leaves of columns that do not vary."""
        left = 1e-12 * float(self.centre.square().mean())
        return max(share * float(self.gram.diagonal().mean()), left) + 1e-300

    def missed(self, weights: Any) -> Any:
        """The mean square that these weights leave of each wanted value."""
        return self.energy - 2 * (weights * self.cross).sum(0) + (weights * (self.gram @ weights)).sum(0)


_MOMENTS = ("gram", "cross", "energy", "centre", "level")


class _Path:
    """One regression's share of the scores; see `BlockPath`."""

    def __init__(self, regression: Regression) -> None:
        torch = import_torch()
        moments = regression.centered
        rows, self._size = len(regression.columns), len(moments.gram)
        importance = regression.importance.double()
        blocks = np.array(regression.blocks)
        others = np.setdiff1d(np.arange(self._size), blocks)
        ordered = moments.take(torch.as_tensor(np.concatenate([blocks.ravel(), others])))
        self._units, self._width = blocks.shape
        self._gram, self._cross = ordered.gram, ordered.cross * importance
        self.energy = float((moments.energy * importance.square()).sum())
        self._ridge = ordered.ridge(max(RIDGE, 1e-3 * min(1.0, self._size / rows)))
        self._components = self._gram.new_empty((self._size, 0))
        self._known = 0
        ends = torch.arange(self._units * self._width).reshape(self._units, self._width)
        self._own = self._gram[ends[:, :, None], ends[:, None, :]].clone()
        self._eye = self._ridge * torch.eye(self._width, dtype=self._gram.dtype)
        if len(others):
            self._take(torch.arange(self._units * self._width, self._size))

    def scores(self) -> Any:
        """What each unit would take off."""
        torch = import_torch()
        count = self._units * self._width
        cross = self._cross[:count].reshape(self._units, self._width, -1)
        if self._width == 1:
            return cross.square().sum((1, 2)) / (self._own[:, 0, 0].clamp(min=0) + self._ridge)
        lower = torch.linalg.cholesky(self._own + self._eye)
        return torch.linalg.solve_triangular(lower, cross, upper=False).square().sum((1, 2))

    def choose(self, unit: int) -> float:
        """Take a unit in, and say what that took off."""
        torch = import_torch()
        return self._take(torch.arange(unit * self._width, (unit + 1) * self._width))

    def _take(self, places: Any) -> float:
        torch = import_torch()
        chosen = self._components[:, : self._known]
        rest = self._gram[:, places] - chosen @ chosen[places].T
        block = rest[places] + self._ridge * torch.eye(len(places), dtype=rest.dtype)
        lower = torch.linalg.cholesky((block + block.T) / 2)
        components = torch.linalg.solve_triangular(lower, rest.T, upper=False).T
        explained = torch.linalg.solve_triangular(lower, self._cross[places], upper=False)
        self._cross -= components @ explained
        own = components[: self._units * self._width].reshape(self._units, self._width, -1)
        self._own -= own @ own.transpose(1, 2)
        if self._known + len(places) > self._components.shape[1]:
            self._components = torch.cat([chosen, chosen.new_empty((self._size, max(self._known, len(places), 64)))], 1)
        self._components[:, self._known : self._known + len(places)] = components
        self._known += len(places)
        return float(explained.square().sum())


class BlockPath:
    """Units in the order in which they are chosen, over all that is read of them, in regressions of as many units each.

    ``left`` is the weighed mean square that is unexplained with none, one, ... of them.
    """

    def __init__(self, regressions: Sequence[Regression]) -> None:
        self._paths = [_Path(regression) for regression in regressions]
        self._units = len(regressions[0].blocks)
        self.order: list[int] = []
        self.left = [sum(path.energy for path in self._paths)]

    def first(self, count: int) -> np.ndarray:
        """The first ``count`` units, in ascending order."""
        while len(self.order) < count:
            scores = sum(path.scores() for path in self._paths).numpy()
            scores[self.order] = -1.0
            unit = int(scores.argmax())
            self.left.append(self.left[-1] - sum(path.choose(unit) for path in self._paths))
            self.order.append(unit)
        return np.sort(self.order[:count])


def refit(regression: Regression, left: np.ndarray) -> tuple[Any, Any]:
    """The ridge regression of what is wanted on the columns that are left, towards the weights that these had.

    The ridge is the one of `RIDGES` that does best on a fifth of the positions. The constant is zero where there is
    none.
    """
    columns = import_torch().as_tensor(left)
    prior = regression.weights[columns].double()
    fitted, held = (moments.take(columns) for moments in regression.moments)
    aside = held.about(regression.has_level)
    fitted = fitted.about(regression.has_level)
    importance = regression.importance.double().square()
    errors = [
        float((aside.missed(ridge_towards(fitted.gram, fitted.cross, prior, fitted.ridge(share))) * importance).sum())
        for share in RIDGES
    ]
    whole = regression.centered.take(columns)
    weights = ridge_towards(whole.gram, whole.cross, prior, whole.ridge(RIDGES[int(np.argmin(errors))]))
    return weights, whole.level - whole.centre @ weights


def ridge_towards(gram: Any, cross: Any, prior: Any, ridge: float) -> Any:
    """Weights ``w`` of least ``w' gram w / 2 - cross' w + ridge |w - prior|^2 / 2``."""
    torch = import_torch()
    regular = gram + ridge * torch.eye(len(gram), dtype=gram.dtype)
    lower = torch.linalg.cholesky(regular)
    return prior + torch.cholesky_solve(cross - gram @ prior, lower)
