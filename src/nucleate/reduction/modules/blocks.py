"""Keep the units that explain most of what the next layers are given, and refit these.

A unit is a block of columns: for a convolution its shifts, behind a flatten its positions. Blocks are chosen one by one
by how far each brings the ridge regression of the original's next pre-activations down beside those chosen before:
block orthogonal least squares (after Chen, Cowan and Grant 1991, doi:10.1109/72.80341). All is done with inner
products: the residual's, of which only the chosen columns and each block's own are ever computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleate.pytorch import import_torch

RIDGE = 1e-6
"""The least ridge, in mean squares of a column."""
RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of which a fifth of the positions chooses for the refit."""


@dataclass(frozen=True, eq=False)
class Regression:
    """What some outputs of a reader are to be, and what it reads.

    Parameters
    ----------
    columns : tensor of shape (n, p)
        What enters, a row for each position.
    wanted : tensor of shape (n, t)
        The original's pre-activations.
    weights : tensor of shape (p, t)
        As they are before the refit.
    importance : tensor of shape (t,)
        What an error of each weighs.
    blocks : tuple of arrays
        For each unit the columns that it is.
    has_level : bool
        Whether a constant may be refitted too.
    """

    columns: Any
    wanted: Any
    weights: Any
    importance: Any
    blocks: tuple[np.ndarray, ...]
    has_level: bool

    def without_others(self, units: np.ndarray) -> np.ndarray:
        """The columns that are left if these units alone are, with those that are no unit's."""
        gone = [self.blocks[unit] for unit in np.setdiff1d(np.arange(len(self.blocks)), units)]
        return np.setdiff1d(np.arange(self.columns.shape[1]), np.concatenate([*gone, np.array([], dtype=np.int64)]))

    def centred(self, rows: Any = slice(None)) -> tuple[Any, Any, Any, Any]:
        """Columns and wanted values in float64 about their means, and these."""
        x, y = self.columns[rows].double(), self.wanted[rows].double()
        if not self.has_level:
            return x, y, x.new_zeros(x.shape[1]), y.new_zeros(y.shape[1])
        return x - x.mean(0), y - y.mean(0), x.mean(0), y.mean(0)


class _Path:
    """One regression's share of the scores; see `BlockPath`."""

    def __init__(self, regression: Regression) -> None:
        torch = import_torch()
        x, y, _, _ = regression.centred()
        rows, self._size = len(x), x.shape[1]
        y = y * regression.importance.double()
        blocks = np.array(regression.blocks)
        others = np.setdiff1d(np.arange(self._size), blocks)
        order = torch.as_tensor(np.concatenate([blocks.ravel(), others]))
        x = x[:, order]
        self._units, self._width = blocks.shape
        self._gram = x.T @ x / rows
        self._cross = x.T @ y / rows
        self.energy = float(y.square().sum() / rows)
        self._ridge = max(RIDGE, 1e-3 * min(1.0, self._size / rows)) * float(self._gram.diagonal().mean()) + 1e-300
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
    """Units in the order in which they are chosen, over all that is read of them.

    Parameters
    ----------
    regressions : sequence of Regression
        Of as many units each.

    Attributes
    ----------
    order : list of int
    left : list of float
        The weighed mean square that is unexplained with none, one, ... of them.
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


def refit(regression: Regression, left: np.ndarray, seed: int = 0) -> tuple[Any, Any]:
    """The ridge regression of what is wanted on the columns that are left, towards the weights that these had.

    Returns
    -------
    weights : tensor of shape (p, t)
    level : tensor of shape (t,)
        The constant, zero where there is none.
    """
    torch = import_torch()
    chosen = torch.as_tensor(left)
    prior = regression.weights[chosen].double()
    rows = torch.randperm(len(regression.columns), generator=torch.Generator().manual_seed(seed))
    held = rows[: len(rows) // 5]
    gram, cross, _, _ = _moments(regression, chosen, rows[len(rows) // 5 :])
    aside = regression.columns[held][:, chosen].double()
    wanted = regression.wanted[held].double()
    errors = []
    for ridge in RIDGES:
        weights = ridge_towards(gram, cross, prior, ridge)
        missed = wanted - aside @ weights
        if regression.has_level:
            missed = missed - missed.mean(0)
        errors.append(float((missed * regression.importance).square().mean()))
    gram, cross, centre, level = _moments(regression, chosen, slice(None))
    weights = ridge_towards(gram, cross, prior, RIDGES[int(np.argmin(errors))])
    return weights, level - centre @ weights


def ridge_towards(gram: Any, cross: Any, prior: Any, ridge: float) -> Any:
    """Weights ``w`` of least ``w' gram w / 2 - cross' w + ridge m |w - prior|^2 / 2``, m the gram's mean diagonal."""
    torch = import_torch()
    scale = ridge * float(gram.diagonal().mean()) + 1e-300
    regular = gram + scale * torch.eye(len(gram), dtype=gram.dtype)
    lower = torch.linalg.cholesky(regular)
    return prior + torch.cholesky_solve(cross - gram @ prior, lower)


def _moments(regression: Regression, chosen: Any, rows: Any) -> tuple[Any, Any, Any, Any]:
    x, y, centre, level = regression.centred(rows)
    x = x[:, chosen]
    return x.T @ x / len(x), x.T @ y / len(x), centre[chosen], level
