"""Training from a small start and reduction, as scikit-learn estimators."""

import warnings
from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nucleate._arrays import is_truth
from nucleate._wording import count, listed, shown
from nucleate.errors import ArchitectureError, DataError, SpecError
from nucleate.init_scale import InitScale
from nucleate.models import outputs_of
from nucleate.network import Network
from nucleate.observe import layers_of
from nucleate.observe.measures import evaluation_rows
from nucleate.optimizers import Optimizer
from nucleate.problems import AT_RANDOM, CROSS_ENTROPY, SQUARED, Loss, Problem, Sizes, get_loss, split_rows
from nucleate.problems.checks import MIN_CLASS_ROWS, refuse_infinite, target_kinds
from nucleate.reduction import FEWEST_ROWS
from nucleate.reduction import reduce as reduce_network
from nucleate.reduction.tolerance import check_tolerance
from nucleate.schedules import Factor, Schedule
from nucleate.training import BLOWN_UP, Run, train_many
from nucleate.training.checks import check_widths_fit

GAINS = (1.0, 0.3, 0.1, 0.03)
"""The scales that ``scale="auto"`` tries."""

_PART, _FEWEST_FOR_PARTS = 5, 20
"""One row in five validates and one in five certifies; with fewer rows than this the training rows validate."""


def _unmasked(values: Any) -> Any:
    # scikit-learn reads what is behind a mask.
    if np.ma.is_masked(values):
        raise DataError("The data have masked values, as missing ones are; fill them, or leave out their rows.")
    return values


def _apart(name: str, names: Collection[str]) -> str:
    """The name, with a mark where it is one of the others."""
    while name in names:
        name += "_"
    return name


def _weighed(
    sample_weight: Any, x: Float[np.ndarray, "n d"], y: Shaped[np.ndarray, "n ..."]
) -> tuple[Float[np.ndarray, "m d"], Shaped[np.ndarray, "m ..."], Float[np.ndarray, " m"] | None]:
    """The rows that count for something, and their weights; None where all count alike."""
    if sample_weight is None:
        return x, y, None
    weights = _check_sample_weight(_unmasked(sample_weight), x, dtype=np.float64, ensure_non_negative=True)
    counts = weights > 0
    if not counts.any():
        raise DataError("Every sample weight is 0, so no row counts; give some rows another.")
    x, y, weights = x[counts], y[counts], weights[counts]
    return x, y, None if (weights == weights[0]).all() else weights


class _Condensed(BaseEstimator):
    """What the regressor and the classifier have in common: everything but the target."""

    _own_loss: Loss

    @property
    def _loss(self) -> Loss:
        loss = self._own_loss if self.loss is None else get_loss(self.loss)
        if loss.link.task != self._own_loss.link.task:
            raise SpecError(
                f"The loss {loss.name!r} is for {loss.link.task}, and a {type(self).__name__} is for "
                f"{self._own_loss.link.task}; take the other estimator, or another loss."
            )
        return loss

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        *,
        loss: str | Loss | None = None,
        scale: float | Sequence[float] | str = "auto",
        activation: str = "tanh",
        optimizer: str | Optimizer = "adam",
        learning_rate: float = 0.01,
        weight_decay: float | None = None,
        schedule: str | Schedule | Factor = "constant",
        warmup: int = 0,
        clip: float | None = None,
        steps: int = 3000,
        batch_size: int | None = None,
        dropout: float = 0.0,
        tolerance: float = 0.01,
        reduce: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.hidden = hidden
        self.loss = loss
        self.scale = scale
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.clip = clip
        self.steps = steps
        self.batch_size = batch_size
        self.dropout = dropout
        self.tolerance = tolerance
        self.reduce = reduce
        self.random_state = random_state

    def _fit(
        self, x: Float[np.ndarray, "n d"], y: Shaped[np.ndarray, "n ..."], weights: Float[np.ndarray, " n"] | None
    ) -> Self:
        scales = _scales(self.scale)
        if self.reduce:
            check_tolerance(self.tolerance)
        if is_truth(self.random_state):
            raise SpecError(f"random_state is {self.random_state!r}; give a whole number, a RandomState or None.")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        certified = self.reduce and len(x) // _PART >= FEWEST_ROWS
        if self.reduce and not certified:
            warnings.warn(
                f"There are {len(x)} rows, and {_PART * FEWEST_ROWS} are needed to certify a smaller network, so the "
                "network stays as it was trained. Give more rows, or set reduce=False.",
                stacklevel=3,
            )
        problem = self._problem(x, y, weights, seed, certified)
        runs = self._train(problem, scales, seed)
        chosen, best = _best(scales, runs, self.learning_rate)
        trained = best.best
        self.scale_ = chosen.value
        self.preprocessing_ = problem.preprocessing
        layers = layers_of(trained, evaluation_rows(problem.train.x))
        self.n_effective_neurons_ = tuple(layer.effective_neurons for layer in layers)
        self.reduction_ = (
            reduce_network(trained, problem, self.tolerance, baselines=False, seed=seed) if certified else None
        )
        self.network_ = self.reduction_.network if self.reduction_ else trained
        return self

    def _problem(
        self,
        x: Float[np.ndarray, "n d"],
        y: Shaped[np.ndarray, "n ..."],
        weights: Float[np.ndarray, " n"] | None,
        seed: int,
        certified: bool,
    ) -> Problem:
        names = [str(name) for name in getattr(self, "feature_names_in_", [f"x{k + 1}" for k in range(x.shape[1])])]
        targets = ["y"] if y.ndim == 1 else [f"y{k + 1}" for k in range(y.shape[1])]
        targets = [_apart(target, names) for target in targets]
        columns = zip([*names, *targets], [*x.T, *y.reshape(len(y), -1).T], strict=True)
        table = pl.DataFrame([pl.Series(name, column.tolist()) for name, column in columns])
        # Before rows are dealt out, so that what is refused has the rows and the counts that the caller knows.
        refuse_infinite(table)
        target_kinds(table.select(targets), self._loss)
        weight = None if weights is None else _apart("weight", table.columns)
        if weight is not None:
            table = table.with_columns(pl.Series(weight, weights))
        share = len(x) // _PART
        validation, certification = share * (len(x) >= _FEWEST_FOR_PARTS), share * certified
        sizes = Sizes(len(x) - validation - certification, validation, certification)
        rows = split_rows(sizes, seed, y if self._loss.of_classes else None)
        # What has no rows of its own takes those of training; without rows to certify on nothing is reduced.
        parts = [table[part if len(part) else rows.train] for part in rows]
        return Problem.from_parts(
            *parts, target=targets, loss=self._loss, name=type(self).__name__, division=AT_RANDOM, weights=weight
        )

    def _train(self, problem: Problem, scales: Sequence[InitScale], seed: int) -> list[Run]:
        check_widths_fit(problem, self.hidden, "float32", len(scales))
        networks = [
            Network.create(
                problem.inputs,
                self.hidden,
                problem.outputs,
                scale=scale,
                activation=self.activation,
                bias=True,
                seed=seed,
            )
            for scale in scales
        ]
        return train_many(
            networks,
            problem,
            learning_rates=[self.learning_rate] * len(networks),
            weight_decays=None if self.weight_decay is None else [self.weight_decay] * len(networks),
            seeds=[seed] * len(networks),
            measures=(),
            optimizer=self.optimizer,
            schedule=self.schedule,
            warmup=self.warmup,
            clip=self.clip,
            steps=self.steps,
            batch_size=self.batch_size,
            dropout=self.dropout,
            early_stopping=True,
        )

    def _predictions(self, X: Any) -> Float[np.ndarray, "n c"]:
        """In the targets' own units, or the probabilities of the classes."""
        check_is_fitted(self)
        x = self.preprocessing_.transform(validate_data(self, _unmasked(X), dtype=np.float64, reset=False))
        # In float64, so that a row's prediction does not depend on the rows beside it.
        outputs = outputs_of(self.network_.astype("float64"), x)
        return self.preprocessing_.in_units(self._loss.link(outputs))


class CondensedRegressor(RegressorMixin, _Condensed):
    """A network trained from the init scale that is best on validation; reduced, if asked to.

    Of the rows a fifth validates: it chooses the scale and the step. A run ends when validation has got no better for
    longer than the stage of its loss curve asks (see `nucleate.training`), so a plateau does not end it.

    A reduction is searched on the rows that validate. What it changes is certified on another fifth, which no network
    is trained on. Both cost accuracy on small data: 0.015 on wine, 0.027 of R2 on diabetes, none on breast cancer (see
    docs/reduce.md). So it is done only where it is asked for.

    Parameters
    ----------
    hidden : sequence of int
        The hidden widths before reduction.
    loss : str, Loss or None
        One of `nucleate.problems.LOSSES` by name, such as "huber", "quantile:0.9" or "poisson", or a
        `nucleate.problems.Loss` of your own; None takes squared errors. Whatever it is, `score` is scikit-learn's R2.
    scale : float, sequence of float or str
        The gain of the initial parameters, a factor on the standard 1/sqrt(fan_in); or one for each layer, the output
        layer included, as ``[1, 0.1, 1]`` or ``"1x0.1x1"``. "auto" trains from 1, 0.3, 0.1 and 0.03 and takes the best
        on validation.
    activation : str
        One of `nucleate.activation_names`.
    optimizer : str or Optimizer
        One of `nucleate.optimizers.OPTIMIZERS` by name, or an `nucleate.optimizers.Optimizer` of your own.
    learning_rate : float
        The peak, where there is a schedule.
    weight_decay : float or None
        Coupled, or with ``optimizer="adamw"``, which asks for one, decoupled; see `nucleate.training.Rule`.
    schedule : str, Schedule or callable
        How the learning rate goes on from its peak: ``"constant"``, ``"cosine"``, ``"linear"``, or an optax schedule.
    warmup : int
        Steps in which the learning rate rises to its peak.
    clip : float or None
        The largest norm of a gradient.
    steps : int
        The most steps of training.
    batch_size : int or None
        Rows a step; None takes all of them.
    dropout : float
        The chance at which a hidden neuron is left out of a step of training, for each row anew; what is kept counts
        for more by as much. Nothing is left out of a prediction.
    tolerance : float
        Of the reduction, see `nucleate.reduce`.
    reduce : bool
        Whether to reduce and certify, for which a fifth of the rows is not trained on; with fewer than 95 rows it is
        left out with a warning.
    random_state : int, RandomState or None
        Of the split, the initial parameters, the order of the rows and dropout; the same int gives the same bits.

    Attributes
    ----------
    network_ : Network
        What predicts: the reduced network, or the trained one.
    n_effective_neurons_ : tuple of float
        The effective neurons of each hidden layer of the trained network.
    reduction_ : Reduction or None
        What was reduced, with its certificate; print it.
    scale_ : float or PerLayer
        The gain that was used, or those of the layers.
    preprocessing_ : Preprocessing
        The standardization, fitted on the training rows.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = CondensedRegressor(hidden=[20, 20], scale=0.1, steps=300, reduce=True).fit(X, y)
    >>> model.reduction_.share_kept < 0.2, model.score(X, y) > 0.4
    (True, True)
    """

    _own_loss = SQUARED

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train, choose and, if asked to, reduce.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, c)
        sample_weight : array-like of shape (n,), optional
            What each row counts for in standardization, loss, choice and reduction; rows of weight 0 are left out.

        Returns
        -------
        CondensedRegressor
            Itself.

        Raises
        ------
        ValueError
            For data that cannot be used, as a DataError or by scikit-learn, or a setting out of range.
        """
        X, y = _unmasked(X), _unmasked(y)
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True, ensure_min_samples=2)
        self._flat = y.ndim == 1
        return self._fit(*_weighed(sample_weight, X, np.asarray(y, np.float64)))

    def predict(self, X: Any) -> Float[np.ndarray, "n ..."]:
        """The target's values for rows of ``X``, in the shape of the ``y`` that was fitted.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        array of shape (n,) or (n, c)

        Raises
        ------
        NotFittedError, ValueError
            As everywhere in scikit-learn.
        """
        values = self._predictions(X)
        return values[:, 0] if self._flat else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class CondensedClassifier(ClassifierMixin, _Condensed):
    """A network trained from the init scale that is best on validation; reduced, if asked to.

    Parameters and attributes are those of `CondensedRegressor`; the loss is by default cross-entropy.

    Attributes
    ----------
    classes_ : array of shape (c,)

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> model = CondensedClassifier(hidden=[20, 20], scale=0.1, steps=300).fit(X, y)
    >>> model.score(X, y) > 0.9, model.predict_proba(X[:5]).shape
    (True, (5, 3))
    """

    _own_loss = CROSS_ENTROPY

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train, choose and, if asked to, reduce.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
            Labels: numbers, truth values or texts, of two classes or more.
        sample_weight : array-like of shape (n,), optional
            As for `CondensedRegressor`.

        Returns
        -------
        CondensedClassifier
            Itself.

        Raises
        ------
        ValueError
            For data that cannot be used, as a DataError or by scikit-learn, or a setting out of range.
        """
        X, y = validate_data(self, _unmasked(X), _unmasked(y), dtype=np.float64, ensure_min_samples=2)
        try:
            check_classification_targets(y)
        except TypeError:
            kinds = sorted({type(label).__name__ for label in y.tolist()})
            told = f"several types, {listed(kinds)}" if len(kinds) > 1 else f"type {kinds[0]}"
            raise DataError(f"The labels are of {told}; make all of them text, or whole numbers.") from None
        X, y, weights = _weighed(sample_weight, X, y)
        self.classes_, sizes = np.unique(y, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"All labels are of one class, {self.classes_.tolist()[0]!r}; give rows of two classes or more."
            )
        if sizes.min() < MIN_CLASS_ROWS:
            rarest = shown(self.classes_.tolist()[sizes.argmin()])
            raise DataError(
                f"The labels have {count(int((sizes < MIN_CLASS_ROWS).sum()), 'class')} with fewer than "
                f"{MIN_CLASS_ROWS} rows ({rarest} has {sizes.min()}) among their {count(len(sizes), 'class')}. Merge "
                "or leave out rare classes; for amounts take CondensedRegressor."
            )
        return self._fit(X, y, weights)

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n c"]:
        """The probability of each class of ``classes_`` for rows of ``X``.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        array of shape (n, c)
        """
        return self._predictions(X)

    def predict(self, X: Any) -> Shaped[np.ndarray, " n"]:
        """The likeliest class for rows of ``X``.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        array of shape (n,)
        """
        likeliest = self._predictions(X).argmax(axis=1)
        return self.classes_[likeliest]


def _scales(given: Any) -> list[InitScale]:
    if isinstance(given, str) and given == "auto":
        return [InitScale("gain", gain) for gain in GAINS]
    value: Any = given.tolist() if isinstance(given, np.ndarray) else given
    try:
        return [InitScale("gain", value)]
    except (ArchitectureError, TypeError):
        raise SpecError(
            f"The scale is {shown(given)}; it must be 'auto', a positive number, the gain, or one for each layer."
        ) from None


def _best(scales: Sequence[InitScale], runs: Sequence[Run], learning_rate: float) -> tuple[InitScale, Run]:
    """The run with the lowest validation loss, and its scale."""
    usable = [pair for pair in zip(scales, runs, strict=True) if pair[1].status not in BLOWN_UP]
    if not usable:
        raise SpecError(f"Training diverged from every scale at learning rate {learning_rate}; make it smaller.")
    return min(usable, key=lambda pair: pair[1].trajectory["validation_loss"].to_numpy().min())
