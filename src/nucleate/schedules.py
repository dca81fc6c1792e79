"""Learning-rate schedules: what share of its peak the learning rate is at each step of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from nucleate._wording import FROM_PYTHON, choose_one, say_error, shown
from nucleate.devices import float64
from nucleate.errors import NucleateError, SpecError

Factor = Callable[[Any], Any]
"""From the number of steps taken to the share of the peak rate, as an optax schedule is."""

_MOST_LOOKED_AT = 20_000
_NEAR_ONE = 0.01
"""The peak is one to a percent, since a warm-up or a cycle need not have a step just there."""


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a run, as a share of its peak.

    Parameters
    ----------
    name : str
        What tables, pages and files call it.
    make : callable
        ``make(steps)`` gives, for a run of so many steps, an optax schedule whose largest value is 1: a function of the
        step, which JAX traces.

    Raises
    ------
    SpecError
        For a name that is no text, or a ``make`` that cannot be called.

    Examples
    --------
    >>> halves = Schedule("halves", lambda steps: optax.exponential_decay(1.0, steps // 4, 0.5, staircase=True))
    >>> halves.factors(8)
    array([1.   , 1.   , 0.5  , 0.5  , 0.25 , 0.25 , 0.125, 0.125])
    """

    name: str
    make: Callable[[int], Factor] | None = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SpecError(f"A schedule's name is {self.name!r:.60}; give a text, by which tables and files call it.")
        if self.make is not None and not callable(self.make):
            raise SpecError(
                f"The schedule {self.name!r} is made by {self.make!r:.60}, which cannot be called; give a function of "
                "the run's steps that returns an optax schedule."
            )

    @property
    def is_constant(self) -> bool:
        """Whether the learning rate is at its peak in every step."""
        return self == CONSTANT

    def factor(self, steps: int, warmup: int = 0) -> Factor:
        """The share of the peak rate, a function of the step, of a run of ``steps``.

        A warm-up takes its first ``warmup`` of them: it rises evenly and reaches the peak with the last, and the
        schedule has the steps that remain.

        Parameters
        ----------
        steps, warmup : int

        Returns
        -------
        callable

        Raises
        ------
        SpecError
            If the schedule is known by its name alone, or cannot be made.
        """
        if self.make is None:
            raise SpecError(
                f"The schedule {self.name!r} is not one of {', '.join(SCHEDULES)}; pass it as an object again "
                f"{FROM_PYTHON}."
            )
        try:
            after = self.make(steps - warmup)
        except NucleateError:
            raise
        except Exception as error:
            raise SpecError(
                f"The schedule {self.name!r} cannot be made for {steps - warmup} steps ({say_error(error)[:160]}); "
                "its make takes the number of steps and returns an optax schedule."
            ) from error
        if not callable(after):
            raise SpecError(
                f"The make of the schedule {self.name!r} returns {after!r:.60}; it must return an optax schedule, a "
                "function of the step."
            )
        if warmup == 0:
            return after
        return lambda step: jnp.where(step < warmup, (step + 1) / warmup, after(jnp.maximum(step - warmup, 0)))

    def factors(self, steps: int, warmup: int = 0, at: Int[np.ndarray, " t"] | None = None) -> Float[np.ndarray, " t"]:
        """The share of the peak rate at each step of a run, or at some of them.

        Parameters
        ----------
        steps, warmup : int
        at : array of int, optional

        Returns
        -------
        array of shape (t,)

        Raises
        ------
        SpecError
            As `factor`, and if it is no function of the step that JAX can trace.
        """
        given = self.factor(steps, warmup)

        def factor(step: Int[Array, ""]) -> Float[Array, ""]:
            return jnp.asarray(given(step), jnp.float64).reshape(())

        with float64():
            try:
                found = jax.jit(jax.vmap(factor))(np.arange(steps, dtype=np.int32) if at is None else at)
            except NucleateError:
                raise
            except Exception as error:
                raise SpecError(
                    f"The schedule {self.name!r} cannot be computed ({say_error(error)[:160]}); it is a function of "
                    "the step, which JAX traces and no NumPy function, float() or comparison can read, and returns a "
                    "number."
                ) from error
            return np.asarray(found)

    def check(self, steps: int, warmup: int = 0) -> None:
        """Refuse a schedule whose peak, over a run, is not 1.

        Parameters
        ----------
        steps, warmup : int

        Raises
        ------
        SpecError
            With what it is instead.
        """
        if self.is_constant and warmup == 0:
            return
        at = np.unique(np.linspace(0, steps - 1, min(steps, _MOST_LOOKED_AT)).astype(np.int32))
        factors = self.factors(steps, warmup, at)
        wrong = ~np.isfinite(factors) | (factors < 0)
        if wrong.any():
            raise SpecError(
                f"The schedule {self.name!r} is {factors[wrong][0]:g} at step {at[wrong][0]}; it must be a share of "
                "the peak rate, from 0 to 1."
            )
        if abs(factors.max() - 1) > _NEAR_ONE:
            raise SpecError(
                f"The largest value of the schedule {self.name!r} over the {steps} steps is {factors.max():g}; it must "
                "be 1, for the learning rate that is given is the peak. Divide it by that, or give more steps if it "
                "has not got there."
            )


@dataclass(frozen=True)
class _Always:
    """The same function of the step, however many steps there are."""

    function: Factor

    def __call__(self, steps: int) -> Factor:
        return self.function


def _constant(steps: int) -> Factor:
    return optax.constant_schedule(1.0)


def _cosine(steps: int) -> Factor:
    return optax.cosine_decay_schedule(1.0, steps)


def _linear(steps: int) -> Factor:
    return optax.linear_schedule(1.0, 0.0, steps)


CONSTANT = Schedule("constant", _constant)
"""The learning rate stays at its peak."""
COSINE = Schedule("cosine", _cosine)
"""Half a cosine from the peak to zero at the end of the run (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
LINEAR = Schedule("linear", _linear)
"""A straight line from the peak to zero at the end of the run."""
SCHEDULES = {schedule.name: schedule for schedule in (CONSTANT, COSINE, LINEAR)}


def get_schedule(given: Any, *, known: bool = True) -> Schedule:
    """The schedule of that name; of a function of the step, such as an optax schedule, one that it is.

    Parameters
    ----------
    given : str, callable or Schedule
    known : bool
        Whether a name must be one of `SCHEDULES`; otherwise another gives one that cannot train, but can be named.

    Returns
    -------
    Schedule

    Raises
    ------
    SpecError
        For another name, or something else.

    Examples
    --------
    >>> get_schedule("cosine"), get_schedule(optax.linear_schedule(1.0, 0.1, 100))
    (Schedule(name='cosine'), Schedule(name='schedule'))
    """
    if isinstance(given, Schedule):
        return given
    if isinstance(given, str) and given in SCHEDULES:
        return SCHEDULES[given]
    if isinstance(given, str) and given and not known:
        return Schedule(given, None)
    if callable(given):
        return Schedule(str(getattr(given, "__name__", type(given).__name__)), _Always(given))
    raise SpecError(
        f"There is no schedule {shown(given)}{choose_one(given, SCHEDULES)}, or in Python pass a function of the step, "
        "such as an optax schedule, whose largest value is 1."
    )
