"""What the package's models that are no `Network` have in common: rows in, rows out, and draws by kind of matrix."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

from nucleate._arrays import is_whole, real_array
from nucleate._wording import card, listed, shown
from nucleate.activations import Activation, get_activation
from nucleate.devices import MEMORY, in_float64
from nucleate.errors import ArchitectureError
from nucleate.init_scale import InitScale, PerLayer
from nucleate.network import check_seed, standard_normal
from nucleate.observe import Layer

Scale = InitScale | Mapping[str, InitScale]
"""One init scale, with a number for all kinds of matrices or one for each, or the scale of each kind by its name."""


class Model(ABC):
    """A model of rows: what `ConvNetwork` and `Transformer` share.

    A subclass is a frozen dataclass that JAX knows as a pytree, with the fields ``shape`` and ``activation``.
    """

    shape: tuple[int, ...]
    activation: Activation

    @property
    def inputs(self) -> int:
        """The number d of a row's columns."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return str(jax.tree.leaves(self)[0].dtype)

    @property
    @abstractmethod
    def kinds(self) -> dict[str, Any]:
        """The matrices of each kind that has an init scale of its own, by the kind's name."""

    @property
    @abstractmethod
    def fits_constants(self) -> bool:
        """Whether it can give a constant, whatever the inputs, as `nucleate.Network.fits_constants`."""

    @property
    @abstractmethod
    def signals(self) -> int:
        """How many numbers a row becomes on its way, which training keeps for the gradient."""

    @abstractmethod
    def on_columns(self, x: Float[Array, "d n"]) -> Float[Array, "c n"]:
        """The outputs for the columns of ``x``: the layout in which training is fastest.

        Parameters
        ----------
        x : array of shape (d, n)
            A column a row of data.

        Returns
        -------
        array of shape (c, n)
        """

    @abstractmethod
    def layers(self, x: Float[np.ndarray, "n d"]) -> list[Layer]:
        """Its layers as measures see them, on rows: what units do is seen at every position.

        Of more than 2048 signals, 2048 evenly spaced ones are seen.

        Parameters
        ----------
        x : array of shape (n, d)
            Rows on which the units are seen.

        Returns
        -------
        list of Layer

        Raises
        ------
        ArchitectureError
            If ``x`` is not made of rows that the model reads.
        """

    def describe(self) -> str:
        """The architecture in a line, the same for models that can be trained together.

        Returns
        -------
        str
        """
        return repr(self)

    def _card(self, rows: dict[str, Any]) -> str:
        size = f"{sum(leaf.size for leaf in jax.tree.leaves(self)):,}"
        common = {"activation": self.activation.name, "parameters": size, "dtype": self.dtype}
        return card(type(self).__name__, rows | common)

    def check_rows(self, x: Float[np.ndarray, "n d"]) -> None:
        """Refuse rows that it cannot read.

        Parameters
        ----------
        x : array

        Raises
        ------
        ArchitectureError
        """
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise ArchitectureError(
                f"The input has shape {x.shape}, and the model reads rows of {say_shape(self.shape)}; expected (rows, "
                f"{self.inputs})."
            )

    def __call__(self, x: Float[Array | np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """The outputs for the rows of ``x``, as a NumPy array of the model's dtype; while JAX traces, as a tracer.

        Raises
        ------
        ArchitectureError
            If ``x`` is not made of rows that the model reads.
        """
        if isinstance(x, jax.core.Tracer):
            outputs: Any = self.on_columns(x.astype(self.dtype).T).T
            return outputs
        x = real_array("The input", x)
        self.check_rows(x)
        return _outputs(self, x.astype(self.dtype))

    @in_float64
    def astype(self, dtype: str) -> Any:
        """The same model in another dtype.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        model
        """
        return jax.tree.map(lambda leaf: leaf.astype(dtype), self)


@in_float64
@jax.jit
def _outputs(model: Any, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    return model.on_columns(x.T).T


class Draws:
    """The matrices of a model, drawn one after another; ``kinds`` are in the order of a scale with several numbers.

    As those of `nucleate.Network.create`, the standard normal draws depend on the seed and the matrix's place alone:
    models of one seed at two scales, or in two dtypes, are multiples or roundings of each other.
    """

    def __init__(self, scale: Scale, kinds: Sequence[str], seed: int, dtype: str) -> None:
        if dtype not in ("float32", "float64"):
            raise ArchitectureError(f"The dtype is {dtype!r:.60}; it must be float32 or float64.")
        self._scales = scales_by_kind(scale, kinds)
        self._seed, self._dtype, self._drawn = check_seed(seed), dtype, 0

    def matrix(
        self,
        kind: str,
        shape: tuple[int, ...],
        *,
        fan_in: int,
        units: int | None = None,
        bias: bool = False,
        output: bool = False,
    ) -> tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, " m"] | None]:
        """A matrix of this kind, and the biases of its units, None without; these are the first axis unless it is said.

        Biases have the standard deviation of their matrix. An output layer is one for the convention ``gamma``.
        """
        size, units = int(np.prod(shape)), shape[0] if units is None else units
        # Drawing takes the random bits, the draw in float64 and its copy in the dtype.
        if 24 * size > MEMORY:
            raise ArchitectureError(
                f"The {kind} has {size:.3g} parameters, more than this machine's memory of {MEMORY / 1e9:.3g} GB can "
                "hold; make it smaller."
            )
        std, place = self._scales[kind].std(fan_in, units, output_layer=output), self._drawn
        self._drawn += 1
        weight = std * standard_normal(self._seed, place, 0, size).reshape(shape)
        of_units = std * standard_normal(self._seed, place, 1, units) if bias else None
        return weight.astype(self._dtype), None if of_units is None else of_units.astype(self._dtype)


def scales_by_kind(scale: Scale, kinds: Sequence[str]) -> dict[str, InitScale]:
    """The init scale of each kind of matrix.

    Examples
    --------
    >>> scales_by_kind(InitScale("gain", "1x0.1"), ["conv1", "head"])["head"]
    InitScale(convention='gain', value=0.1)
    """
    if isinstance(scale, InitScale):
        if isinstance(scale.value, PerLayer) and len(scale.value) != len(kinds):
            raise ArchitectureError(
                f"The init scale {scale.convention} {scale.value} has {len(scale.value)} numbers, and the model "
                f"{len(kinds)} kinds of matrices ({', '.join(kinds)}); give one number, or one for each with x between."
            )
        return dict(zip(kinds, scale.layers(len(kinds)), strict=True))
    if not isinstance(scale, Mapping) or not all(isinstance(one, InitScale) for one in scale.values()):
        raise ArchitectureError(
            f"The scale is {scale!r:.60}; give an InitScale, such as InitScale('epsilon', 0.01), or one for each kind "
            f"of matrix by its name: {', '.join(kinds)}."
        )
    if scale.keys() != set(kinds):
        more = [*map(shown, scale.keys() - set(kinds))]
        what = f"names {listed(more)}, which it has not" if more else "lacks some"
        raise ArchitectureError(
            f"The model has the kinds of matrices {', '.join(kinds)}, and the scale {what}; name each of them once."
        )
    return {kind: scale[kind].layers(1)[0] for kind in kinds}


def check_activation(activation: str | Activation) -> Activation:
    """The activation, also of a name, if it is what it says."""
    found = activation if isinstance(activation, Activation) else get_activation(activation)
    found.check()
    return found


def check_whole(name: str, given: Any, least: int = 1) -> int:
    """A whole number that is large enough; raises `ArchitectureError` for anything else."""
    if not is_whole(given) or not least <= given < 2**31:
        raise ArchitectureError(f"The {name} is {given!r:.60}; it must be a whole number of {least} or more.")
    return int(given)


def check_choice(name: str, given: Any, choices: Sequence[Any]) -> Any:
    """One of the choices; raises `ArchitectureError` for anything else."""
    if given not in choices or isinstance(given, bool) != any(isinstance(one, bool) for one in choices):
        raise ArchitectureError(f"The {name} is {given!r:.60}; choose {' or '.join(map(str, choices))}.")
    return given


def check_shape(shape: Any, ranks: Mapping[int, str]) -> tuple[int, ...]:
    """The shape of a row, with as many axes as one of ``ranks``, which says what each stands for."""
    told = " or ".join(ranks.values())
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) not in ranks:
        raise ArchitectureError(f"The shape of the inputs is {shape!r:.60}; give {told}.")
    if not all(is_whole(size) and 1 <= size < 2**31 for size in shape):
        raise ArchitectureError(f"The shape of the inputs is {tuple(shape)!r:.60}; each must be 1 or more.")
    return tuple(map(int, shape))


def for_each(name: str, given: Any, count: int) -> tuple[Any, ...]:
    """One entry for each of so many layers; one alone stands for all."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return (given,) * count
    if len(given) != count:
        raise ArchitectureError(
            f"The {name} has {len(given)} entries for {count} layers; give one, or one for each layer."
        )
    return tuple(given)


def which_biases(bias: Any, count: int) -> tuple[bool, ...]:
    """Which of so many layers have biases: "none", "first", "all", a truth value, or one for each."""
    named = {"none": (False,) * count, "all": (True,) * count, "first": (True, *(False,) * (count - 1))}
    if isinstance(bias, str) and bias in named:
        return named[bias]
    given = for_each("bias", bias, count)
    if not all(isinstance(one, bool) for one in given):
        raise ArchitectureError(f"The bias is {bias!r:.60}; choose none, first or all, or say True or False.")
    return given


def say_shape(shape: Sequence[int]) -> str:
    """``28 x 28 x 1``."""
    return " x ".join(map(str, shape))


def wide(model: Any) -> Any:
    """The model in float64 by NumPy: XLA would flush float32's denormal numbers to zero."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)


def with_bias(weights: Any, bias: Any) -> Float[np.ndarray, "m k"]:
    """What each unit reads: its weights, and its bias as last column where it has one."""
    vectors = np.asarray(weights, np.float64).reshape(len(weights), -1)
    return vectors if bias is None else np.column_stack([vectors, np.asarray(bias, np.float64)])
