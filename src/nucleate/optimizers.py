"""Optimizers: optax transformations by name, and what each does where gradients are small."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from nucleate._arrays import is_real
from nucleate._wording import FROM_PYTHON, choose_one, say_error, shown
from nucleate.devices import float64
from nucleate.errors import NucleateError, SpecError

_PARTS = {
    "make": ("cannot be made", "the learning rate", "an optax transformation"),
    "init": ("cannot begin", "the parameters", "a state of arrays"),
    "update": ("cannot take a step", "gradients, state and parameters", "the steps and the new state"),
}
"""Of each function of an optimizer what fails with it, what it takes and what it returns."""
_PROBE_STEPS, _PROBE_RATE = 4, 0.1
_PROBED = np.array([1.0, 0.5])
"""A gradient of two parameters, of size 1."""


@dataclass(frozen=True, init=False)
class Optimizer:
    """An optax transformation as a function of the learning rate.

    Parameters
    ----------
    name : str
        What tables, pages and files call it.
    make : callable
        ``make(learning_rate, **parameters)`` gives the optax transformation.
    decoupled : bool
        Whether a weight decay that training adds is decoupled from it, ``theta -= lr decay theta`` beside its step, as
        AdamW's is; otherwise ``decay theta`` is added to the gradient that it is given, as an L2 penalty does. For
        gradient descent the two are the same.
    **parameters
        Its other arguments, numbers or texts: they are kept with a study.

    Examples
    --------
    >>> lion = Optimizer("lion", optax.lion, weight_decay=0.0)
    >>> lion, lion.follows_gradient
    (Optimizer(lion, weight_decay=0.0), False)
    >>> GD.follows_gradient, Optimizer("decayed", optax.adamw, weight_decay=0.1).follows_gradient
    (True, None)

    Raises
    ------
    SpecError
        For a name that is no text, a ``make`` that cannot be called, or parameters that are neither numbers nor texts.
    """

    name: str
    make: Callable[..., optax.GradientTransformation] | None = field(repr=False)
    decoupled: bool
    parameters: tuple[tuple[str, Any], ...]

    def __init__(
        self,
        name: str,
        make: Callable[..., optax.GradientTransformation] | None,
        *,
        decoupled: bool = False,
        **parameters: Any,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise SpecError(f"An optimizer's name is {name!r:.60}; give a text, by which tables and files call it.")
        if make is not None and not callable(make):
            raise SpecError(
                f"The optimizer {name!r} is made by {make!r:.60}, which cannot be called; give a function of the "
                "learning rate such as optax.sgd, not what it returns."
            )
        for parameter, value in parameters.items():
            if value is not None and not isinstance(value, Real | str):
                raise SpecError(
                    f"The parameter {parameter!r} of the optimizer {name!r} is {value!r:.60}; files keep numbers and "
                    "texts, so put anything else into make."
                )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "make", make)
        object.__setattr__(self, "decoupled", bool(decoupled))
        object.__setattr__(self, "parameters", tuple(sorted(parameters.items())))

    def __repr__(self) -> str:
        return f"Optimizer({', '.join([self.name, *(f'{name}={value}' for name, value in self.parameters)])})"

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of the package's own, with whatever parameters."""
        own = OPTIMIZERS.get(self.name)
        return own is not None and (self.make, self.decoupled) == (own.make, own.decoupled)

    def transformation(self, learning_rate: float | Float[Array, ""]) -> optax.GradientTransformation:
        """The optax transformation at a learning rate.

        Parameters
        ----------
        learning_rate : float
            Or a scalar that JAX traces.

        Returns
        -------
        optax.GradientTransformation

        Raises
        ------
        SpecError
            If the optimizer is known by its name alone, as one of your own read from a study folder is; or if its
            ``make`` fails, or returns something else.
        """
        if not isinstance(learning_rate, Real | jax.Array | np.ndarray) or np.ndim(learning_rate) != 0:
            raise SpecError(f"The learning rate is {learning_rate!r:.60}; it must be a positive number.")
        if self.make is None:
            if self.name in OPTIMIZERS:
                raise SpecError(
                    f"The optimizer {self.name!r} of this study is one's own and has the name of one of the package, "
                    "so the study is read and not gone on with; give it another name, and sweep into a new folder."
                )
            raise SpecError(
                f"The optimizer {self.name!r} is known by its name alone; pass it as an Optimizer object {FROM_PYTHON}."
            )
        try:
            made = self.make(learning_rate, **dict(self.parameters))
        except NucleateError:
            raise
        except Exception as error:
            if self.parameters:
                raise SpecError(
                    f"The optimizer {self.name!r} cannot be made ({say_error(error)[:160]}); correct its parameters "
                    f"({', '.join(name for name, _ in self.parameters)})."
                ) from error
            raise self._refused("make", error) from error
        if not all(callable(getattr(made, name, None)) for name in ("init", "update")):
            raise SpecError(
                f"The make of the optimizer {self.name!r} returns {made!r:.60}; it must return an optax transformation."
            )
        return made

    def check(self, parameters: Any) -> None:
        """Refuse a transformation that cannot take a step from these parameters in compiled code.

        Parameters
        ----------
        parameters : pytree of arrays

        Raises
        ------
        SpecError
            With what it does instead.
        """

        calls = "make"

        def step(rate: Float[Array, ""], given: Any) -> Any:
            nonlocal calls
            transformation, calls = self.transformation(rate), "init"
            state, calls = transformation.init(given), "update"
            made = transformation.update(given, state, given)
            if not isinstance(made, tuple) or len(made) != 2:
                raise TypeError(f"its update returns {type(made).__name__}, not the updates and the state")
            return (given, state), made

        try:
            rate = jax.ShapeDtypeStruct((), next(leaf.dtype for leaf in jax.tree.leaves(parameters)))
            with float64():
                before, after = jax.eval_shape(step, rate, parameters)
        except NucleateError:
            raise
        except Exception as error:
            raise self._refused(calls, error) from error
        if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(before)):
            raise SpecError(
                f"The optimizer {self.name!r} keeps a random key of JAX's in its state, which files cannot keep; hold "
                "its numbers there, jax.random.key_data(key), and make the key of them in update, by "
                "jax.random.wrap_key_data."
            )
        for what, one, other in zip(("updates", "state"), before, after, strict=True):
            shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (one, other)]
            kinds: list[Any] = [jax.tree.structure(tree) for tree in (one, other)]
            if kinds[0] != kinds[1] or shapes[0] != shapes[1]:
                raise SpecError(
                    f"The optimizer {self.name!r} makes {what} of other shapes than it is given; its update must "
                    "return updates like the gradients, and a state like the one before."
                )

    def _refused(self, calls: str, error: Exception) -> SpecError:
        what, takes, gives = _PARTS[calls]
        return SpecError(
            f"The optimizer {self.name!r} {what} ({say_error(error)[:160]}); its {calls} takes {takes}, which no NumPy "
            f"function, float() or comparison can read where training is compiled, and returns {gives}."
        )

    @property
    def follows_gradient(self) -> bool | None:
        """Whether its steps shrink in proportion to small gradients, as those of gradient descent do.

        False if they do not depend on the gradient's size (Adam, signs); None if they do neither, as with weight decay.
        It is measured: it is given gradients a hundred times smaller, and none, and the steps are compared. Where steps
        along gradients are NaN or infinite, a `SpecError` says so.
        """
        large, small, none = _probe(self)
        if none.any():
            return None
        if np.allclose(small, 1e-2 * large, rtol=1e-2, atol=0):
            return True
        return False if np.allclose(small, large, rtol=1e-2, atol=0) else None

    @property
    def moves_alone(self) -> bool:
        """Whether it takes steps where there is no gradient, as with a weight decay of its own; it is measured too."""
        return bool(np.nan_to_num(_probe(self)[2], nan=0.0).any())

    @property
    def epsilon(self) -> float:
        """The gradient below which a scale-free optimizer damps its steps: its parameter ``eps``, else 0."""
        given = dict(self.parameters).get("eps", 0.0)
        return float(given) if is_real(given) else 0.0

    def to_json(self) -> str | dict[str, Any]:
        """Its name, or name and parameters: what `get_optimizer` turns back into it.

        Returns
        -------
        str or dict
        """
        return {"name": self.name, **dict(self.parameters)} if self.parameters else self.name


def _heavy_ball(learning_rate: float | Float[Array, ""], momentum: float) -> optax.GradientTransformation:
    if not is_real(momentum) or not 0 <= momentum < 1:
        raise SpecError(f"The momentum is {momentum!r}; it must be at least 0 and below 1.")
    return optax.sgd(learning_rate, momentum=momentum)


GD = Optimizer("gd", optax.sgd)
"""Gradient descent, ``theta -= lr g``."""
MOMENTUM = Optimizer("momentum", _heavy_ball, momentum=0.9)
"""The heavy ball, ``m = momentum m + g``, ``theta -= lr m``."""
ADAM = Optimizer("adam", optax.adam, eps=1e-8)
"""Kingma and Ba 2015, arXiv 1412.6980, with beta = (0.9, 0.999)."""
ADAMW = Optimizer("adamw", optax.adam, decoupled=True, eps=1e-8)
"""Adam with decoupled weight decay: Loshchilov and Hutter 2019, arXiv 1711.05101."""
OPTIMIZERS = {optimizer.name: optimizer for optimizer in (GD, MOMENTUM, ADAM, ADAMW)}


def get_optimizer(given: Any, *, known: bool = True) -> Optimizer:
    """The optimizer of that name, or with parameters of its own; an `Optimizer` is returned as it is.

    Parameters
    ----------
    given : str, mapping with a ``name`` and parameters, or Optimizer
    known : bool
        Whether the name must be one of `OPTIMIZERS`; otherwise another gives one that cannot train, but can be named.

    Returns
    -------
    Optimizer

    Raises
    ------
    SpecError
        For another name, something else, or an `Optimizer` that has the name of one of `OPTIMIZERS` and is another.

    Examples
    --------
    >>> get_optimizer({"name": "momentum", "momentum": 0.5})
    Optimizer(momentum, momentum=0.5)
    """
    if isinstance(given, Optimizer):
        # Files keep its name alone, which would bring back the other.
        if given.make is not None and given.name in OPTIMIZERS and not given.is_built_in:
            raise SpecError(
                f"The optimizer {given.name!r} is one of your own and has the name of one of the package; give it "
                "another name."
            )
        return given
    name, parameters = given, {}
    if isinstance(given, Mapping):
        parameters = {key: value for key, value in given.items() if key != "name"}
        name = given.get("name")
    if isinstance(name, str) and name in OPTIMIZERS:
        own = OPTIMIZERS[name]
        return Optimizer(name, own.make, decoupled=own.decoupled, **(dict(own.parameters) | parameters))
    if isinstance(name, str) and not known:
        return Optimizer(name, None, **parameters)
    raise SpecError(
        f"There is no optimizer {shown(name)}{choose_one(name, OPTIMIZERS)}, or in Python pass an Optimizer of any "
        "optax transformation."
    )


@cache
def _probe(optimizer: Optimizer) -> tuple[Float[np.ndarray, "steps 2"], ...]:
    """Its first steps at gradients of some size, of a hundredth of it, and at none."""
    sizes = (1e-2, 1e-4, 0.0)
    if optimizer == GD:
        # Known, so that most commands compile nothing for it.
        return tuple(np.tile(-_PROBE_RATE * size * _PROBED, (_PROBE_STEPS, 1)) for size in sizes)
    with float64():
        optimizer.check(np.zeros(2))
        steps = jax.jit(partial(_steps, optimizer))
        probed = tuple(np.asarray(steps(size)) for size in sizes)
    if not np.isfinite(probed[:2]).all():
        raise SpecError(
            f"The optimizer {optimizer.name!r} takes steps that are NaN or infinite, along gradients of size "
            f"{sizes[0] if not np.isfinite(probed[0]).all() else sizes[1]:g} at a learning rate of {_PROBE_RATE:g}; "
            "correct its update."
        )
    return probed


def _steps(optimizer: Optimizer, size: Float[Array, ""]) -> Float[Array, "steps 2"]:
    """The first updates at gradients of that size, of a start that weight decay would move."""
    transformation = optimizer.transformation(_PROBE_RATE)
    parameters, gradient = jnp.array([1.0, -2.0]), size * _PROBED
    state, updates = transformation.init(parameters), []
    for _ in range(_PROBE_STEPS):
        update, state = transformation.update(gradient, state, parameters)
        updates.append(update)
    return jnp.stack(updates)
