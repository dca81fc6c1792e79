"""How small a network starts: the field's four conventions for the standard deviation of initial parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

from nucleate._arrays import is_whole
from nucleate._wording import shortest, shown
from nucleate.errors import ArchitectureError

Convention = Literal["gain", "epsilon", "gamma", "fan_in_gamma"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
_EXPONENTS = ("gamma", "fan_in_gamma")
"""The conventions whose number is an exponent, so that a larger one is a smaller start."""


class PerLayer(tuple[float, ...]):
    """One number for each layer, the first layer's first; written ``1x0.1x1``.

    Parameters
    ----------
    iterable : iterable of float

    Examples
    --------
    >>> str(PerLayer((1.0, 0.1, 1.0))), f"{PerLayer((1 / 3, 1.0)):g}"
    ('1x0.1x1', '0.333333x1')
    """

    __slots__ = ()

    def __format__(self, how: str) -> str:
        return "x".join(format(value, how) if how else shortest(value) for value in self)

    def __str__(self) -> str:
        return format(self, "")

    def __repr__(self) -> str:
        return repr(str(self))


def read_value(text: str) -> float | PerLayer:
    """``0.1`` as a number, ``1x0.1x1`` as one for each layer.

    Parameters
    ----------
    text : str

    Returns
    -------
    float or PerLayer

    Raises
    ------
    ValueError
        If a part is no number.

    Examples
    --------
    >>> read_value("0.1"), read_value("1x0.1x1")
    (0.1, '1x0.1x1')
    """
    values = tuple(map(float, text.split("x")))
    return PerLayer(values) if len(values) > 1 else values[0]


@dataclass(frozen=True)
class InitScale:
    """Standard deviation of a layer's initial weights and biases, all normal with mean zero.

    Parameters
    ----------
    convention : {"gain", "epsilon", "gamma", "fan_in_gamma"}
        - ``gain``: std = value / sqrt(fan_in), so that gain 1 is the usual scaling.
        - ``epsilon``: std = value, the same for all layers (Chen and Luo, arXiv 2402.15958).
        - ``gamma``: std = m^-value, with ``m`` the width of the hidden layer the weights feed, or for the output layer
          the width they read (Luo et al. 2021, arXiv 2007.07497; Zhou et al. 2022, arXiv 2105.11686).
        - ``fan_in_gamma``: std = fan_in^-value for every matrix, the gamma of the literature on language models
          (Zhang et al. 2024, arXiv 2405.05409); 1/2 is gain 1.
    value : float, or one for each layer
        Positive for epsilon and gain; any finite number for the exponents. Several stand in a sequence or a text,
        ``"1x0.1x1"``, the first layer's first, and become a `PerLayer`.

    Raises
    ------
    ArchitectureError
        For another convention or a value out of range.

    Examples
    --------
    >>> InitScale("gamma", 4.0).std(fan_in=5, fan_out=50, output_layer=False) == 50**-4.0
    True
    >>> InitScale("gain", 0.1).std(fan_in=100, fan_out=7, output_layer=False)
    0.01
    >>> InitScale("gain", "1x0.1x1").layers(3)[1]
    InitScale(convention='gain', value=0.1)
    """

    convention: Convention
    value: float | PerLayer

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            *others, last = CONVENTIONS
            raise ArchitectureError(
                f"There is no init scale convention {shown(self.convention)}; choose {', '.join(others)} or {last}."
            )
        given: Any = self.value
        value = given
        if isinstance(given, str):
            try:
                value = read_value(given)
            except ValueError:
                raise ArchitectureError(
                    f"The init scale {self.convention} is {shown(given)}; it must be a number, or one for each layer "
                    "with x between, such as 1x0.1x1."
                ) from None
        elif isinstance(given, Sequence) and not isinstance(given, PerLayer):
            value = PerLayer(given)
        object.__setattr__(self, "value", value)
        several = isinstance(value, PerLayer)
        # The bounds also turn away NaN and infinity.
        exponent = self.convention in _EXPONENTS
        low, bound = (-64.0, "between -64 and 1e6") if exponent else (0.0, "positive and below 1e6")
        for layer, one in enumerate(value if isinstance(value, PerLayer) else (value,), 1):
            # A command asks this module before it needs NumPy.
            is_real = isinstance(one, Real) and not isinstance(one, bool)
            if not is_real or not low < one < 1e6:
                what = f"{self.convention} of layer {layer}" if several else self.convention
                raise ArchitectureError(f"The init scale {what} is {one!r:.60}; it must be {bound}.")
        if isinstance(value, PerLayer):
            if not value:
                raise ArchitectureError(
                    f"The init scale {self.convention} is {shown(given)}; give a number, or one for each layer."
                )
            object.__setattr__(self, "value", PerLayer(map(float, value)))

    @property
    def name(self) -> str:
        """The number, or those of the layers with x between, in digits that are read as the same."""
        return str(self.value) if isinstance(self.value, PerLayer) else shortest(self.value)

    @property
    def overall(self) -> float:
        """The number that it counts as where starts are put in order of size.

        Of several numbers, one for each layer, it is the geometric mean, and of exponents the arithmetic one: that is
        the one number with the same product of the layers' standard deviations where layers are equally wide.
        """
        if not isinstance(self.value, PerLayer):
            return self.value
        if self.convention in _EXPONENTS:
            return math.fsum(self.value) / len(self.value)
        return math.exp(math.fsum(map(math.log, self.value)) / len(self.value))

    @property
    def smallness(self) -> float:
        """Grows as the scale gets smaller: a larger exponent is a smaller scale."""
        return self.overall if self.convention in _EXPONENTS else -self.overall

    def layers(self, count: int) -> tuple["InitScale", ...]:
        """The scale of each of so many layers, hidden and output.

        Parameters
        ----------
        count : int

        Returns
        -------
        tuple of InitScale
            Each of one number.

        Raises
        ------
        ArchitectureError
            If it has numbers for another number of layers.
        """
        if not isinstance(self.value, PerLayer):
            return (self,) * count
        if len(self.value) != count:
            raise ArchitectureError(
                f"The init scale {self.convention} {self.value} has {len(self.value)} numbers, and the network {count} "
                f"layers, the output layer included; give one number, or {count} with x between."
            )
        return tuple(InitScale(self.convention, value) for value in self.value)

    def times(self, factor: float, width: int) -> "InitScale":
        """The scale that makes a start so many times as large, in three digits.

        Parameters
        ----------
        factor : float
        width : int
            Of the layers, 2 or more, by which exponents count.

        Returns
        -------
        InitScale

        Examples
        --------
        >>> InitScale("gain", "1x0.1").times(3, 50), InitScale("gamma", 2.0).times(10, 100)
        (InitScale(convention='gain', value='3x0.3'), InitScale(convention='gamma', value=1.5))
        """
        exponent, several = self.convention in _EXPONENTS, isinstance(self.value, PerLayer)
        made = [
            float(f"{value - math.log(factor, width) if exponent else value * factor:.3g}")
            for value in (self.value if isinstance(self.value, PerLayer) else (self.value,))
        ]
        return InitScale(self.convention, PerLayer(made) if several else made[0])

    def std(self, fan_in: int, fan_out: int, *, output_layer: bool) -> float:
        """The standard deviation for a layer that reads ``fan_in`` numbers and makes ``fan_out``.

        Parameters
        ----------
        fan_in, fan_out : int
        output_layer : bool

        Returns
        -------
        float

        Raises
        ------
        ArchitectureError
            If the scale has a number for each layer, where `layers` gives that of each; or a width is not a whole
            number of 1 or more.
        """
        for what, width in (("fan_in", fan_in), ("fan_out", fan_out)):
            if not is_whole(width) or width < 1:
                raise ArchitectureError(f"The {what} is {shown(width)}; give a whole number of 1 or more.")
        value = self.value
        if isinstance(value, PerLayer):
            raise ArchitectureError(
                f"The init scale {self.convention} {value} has a number for each layer; take that of one, "
                f"scale.layers({len(value)})[0] of the first."
            )
        match self.convention:
            case "gain":
                return float(value / fan_in**0.5)
            case "epsilon":
                return value
            case "gamma":
                return _power(fan_in if output_layer else fan_out, value)
            case "fan_in_gamma":
                return _power(fan_in, value)


def _power(width: int, exponent: float) -> float:
    try:
        return float(width**-exponent)
    except OverflowError:
        return math.inf
