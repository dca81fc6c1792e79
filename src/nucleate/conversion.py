"""From one convention of the init scale to the others, for given widths.

The conventions are different functions of a layer's shape. One number of one convention is therefore one number of
another only where the layers happen to agree; else each layer has a number of its own, and no mean of them is the same
start.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nucleate._wording import card
from nucleate.errors import ArchitectureError
from nucleate.init_scale import CONVENTIONS, Convention, InitScale, PerLayer
from nucleate.network import check_widths

SAME = 1e-9
"""Numbers of two layers that differ by less of themselves are one: rounding alone makes some 1e-15."""


@dataclass(frozen=True)
class ScaleConversion:
    """One start in all conventions.

    Parameters
    ----------
    scale : InitScale
        As it was given.
    widths : tuple of int
        ``(d, m_1, ..., m_{L-1}, c)``.
    stds : tuple of float
        The standard deviation of each layer's parameters.
    values : dict of str to tuple of (float or None)
        For each convention the number of each layer. None where there is none: a width of 1 is 1 to any power.
    """

    scale: InitScale
    widths: tuple[int, ...]
    stds: tuple[float, ...]
    values: dict[Convention, tuple[float | None, ...]]

    def one_number(self, convention: Convention) -> float | None:
        """The one number that makes this start of all layers, where there is one.

        Parameters
        ----------
        convention : str

        Returns
        -------
        float or None

        Raises
        ------
        ArchitectureError
            For a convention that there is not.
        """
        first, *others = self._values_of(convention)
        if first is None or not all(
            one is not None and math.isclose(one, first, rel_tol=SAME, abs_tol=1e-12) for one in others
        ):
            return None
        return first

    def to(self, convention: Convention) -> InitScale:
        """The start in another convention: of one number, or where there is no such one, of one for each layer.

        Parameters
        ----------
        convention : str

        Returns
        -------
        InitScale

        Raises
        ------
        ArchitectureError
            If a layer has no number of that convention, or there is no such one.
        """
        values = self._values_of(convention)
        if convention == self.scale.convention:
            return self.scale
        missing = [layer for layer, value in enumerate(values, 1) if value is None]
        if missing:
            raise ArchitectureError(
                f"No {convention} gives layer {missing[0]} of {'-'.join(map(str, self.widths))} the standard deviation "
                f"{self.stds[missing[0] - 1]:g}; stay with {self.scale.convention} {self.scale.name}."
            )
        one = self.one_number(convention)
        return InitScale(convention, PerLayer(v for v in values if v is not None) if one is None else one)

    def _values_of(self, convention: Convention) -> tuple[float | None, ...]:
        # It refuses a convention that there is not.
        return self.values[InitScale(convention, 1.0).convention]

    def to_json(self) -> dict[str, Any]:
        """What JSON keeps: the layers with their numbers, and for each convention the one number, or null.

        Returns
        -------
        dict
        """
        return {
            "convention": self.scale.convention,
            "value": self.scale.name if isinstance(self.scale.value, PerLayer) else self.scale.value,
            "widths": list(self.widths),
            "layers": [
                {"layer": layer, "fan_in": fan_in, "fan_out": fan_out, "std": std}
                | {convention: self.values[convention][layer - 1] for convention in CONVENTIONS}
                for layer, ((fan_in, fan_out), std) in enumerate(zip(pairwise(self.widths), self.stds, strict=True), 1)
            ],
            "one_number": {convention: self.one_number(convention) for convention in CONVENTIONS},
        }

    def _repr_html_(self) -> str:
        rows = {"widths": " - ".join(map(str, self.widths))}
        for convention, values in self.values.items():
            one = self.one_number(convention)
            told = ["—" if value is None else f"{value:.6g}" for value in values]
            rows[convention] = f"{one:.6g}" if one is not None else f"{' x '.join(told)} (one for each layer)"
        return card(f"Init scale {self.scale.convention} {self.scale.name}", rows)


def convert_scale(scale: InitScale, inputs: int, hidden: Sequence[int], outputs: int = 1) -> ScaleConversion:
    """An init scale in all conventions, for the widths of a network.

    Parameters
    ----------
    scale : InitScale
    inputs, hidden, outputs : int, sequence of int, int
        As of `nucleate.Network.create`.

    Returns
    -------
    ScaleConversion

    Raises
    ------
    ArchitectureError
        For widths of which there is no network, or a scale with numbers for another number of layers.

    Examples
    --------
    >>> converted = convert_scale(InitScale("gain", 1.0), 50, [50, 50])
    >>> converted.to("fan_in_gamma"), converted.to("gamma")
    (InitScale(convention='fan_in_gamma', value=0.5), InitScale(convention='gamma', value=0.5))
    >>> convert_scale(InitScale("gain", 1.0), 100, [25]).to("epsilon")
    InitScale(convention='epsilon', value='0.1x0.2')
    """
    if not isinstance(scale, InitScale):
        raise ArchitectureError(f"The scale is {scale!r:.60}; give an InitScale, such as InitScale('epsilon', 0.01).")
    widths = check_widths(inputs, hidden, outputs)
    shapes = list(pairwise(widths))
    layers = scale.layers(len(shapes))
    # The width whose power each convention takes.
    powers: dict[Convention, list[int]] = {
        "gamma": [*(fan_out for _, fan_out in shapes[:-1]), shapes[-1][0]],
        "fan_in_gamma": [fan_in for fan_in, _ in shapes],
    }
    logs, stds = [], []
    for number, (one, (fan_in, fan_out)) in enumerate(zip(layers, shapes, strict=True)):
        stds.append(one.std(fan_in, fan_out, output_layer=number == len(shapes) - 1))
        # The standard deviation itself may be beyond all floats.
        if scale.convention in powers:
            logs.append(-one.overall * math.log(powers[scale.convention][number]))
        else:
            logs.append(math.log(one.overall) - (scale.convention == "gain") * math.log(fan_in) / 2)
    values: dict[Convention, tuple[float | None, ...]] = {}
    for convention in CONVENTIONS:
        if convention == scale.convention:
            values[convention] = tuple(one.overall for one in layers)
        elif convention in powers:
            values[convention] = _exponents(logs, powers[convention])
        else:
            roots = [1.0 if convention == "epsilon" else math.sqrt(fan_in) for fan_in, _ in shapes]
            values[convention] = tuple(std * root for std, root in zip(stds, roots, strict=True))
        values[convention] = tuple(_in_range(convention, value) for value in values[convention])
    return ScaleConversion(scale, widths, tuple(stds), values)


def _exponents(logs: Sequence[float], widths: Sequence[int]) -> tuple[float | None, ...]:
    """Of a width of 1 any exponent makes 1, and none makes another number; it takes that of the other layers."""
    found = [-log / math.log(width) for log, width in zip(logs, widths, strict=True) if width > 1]
    free = found[0] if found else 0.0
    return tuple(
        -log / math.log(width) if width > 1 else free if log == 0 else None
        for log, width in zip(logs, widths, strict=True)
    )


def _in_range(convention: Convention, value: float | None) -> float | None:
    if value is None:
        return None
    try:
        InitScale(convention, value)
    except ArchitectureError:
        return None
    return value
