"""The network: an immutable JAX pytree of weights and biases, of any depth from two layers on. It knows no data."""

import itertools
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, UInt

from nucleate._arrays import is_truth, is_whole, real_array
from nucleate._files import (
    pack_tensors,
    parse_json,
    parse_tensors,
    read_sealed,
    seal_tensors,
    why_unreadable,
    write_atomically,
)
from nucleate._wording import FROM_PYTHON, card
from nucleate.activations import Activation, activation_names, get_activation
from nucleate.devices import MEMORY, in_float64
from nucleate.errors import ArchitectureError
from nucleate.init_scale import InitScale

WIDE = 500
"""From this width on, no more columns than neurons go through a network as rows; see `Network.on_columns`."""

_FORMAT = "nucleate network 1"
_BLOCK = 4096
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
T = TypeVar("T")
Drop = Callable[[int, Float[Array, "m n"]], Float[Array, "m n"]]
"""Of a hidden layer's place, from 0, and what leaves it: what of it goes on."""


@partial(jax.tree_util.register_dataclass, data_fields=["weights", "biases"], meta_fields=["activation"])
@dataclass(frozen=True)
class Network:
    """A fully connected network ``W_L s(... s(W_1 x + b_1) ...) + b_L``.

    Parameters
    ----------
    weights : tuple of arrays, shapes (m_1, d), (m_2, m_1), ..., (c, m_{L-1})
        Row k of layer l holds the input weights of neuron k.
    biases : tuple of arrays of shape (m_l,), or None for a layer without bias
    activation : Activation
        Applied after every layer but the last.

    Networks that this package makes hold NumPy arrays, whose dtype does not depend on JAX's settings.

    Examples
    --------
    >>> network = Network.create(5, [50, 50], 1, scale=InitScale("epsilon", 1e-3), seed=0)
    >>> network
    Network(5-50-50-1, tanh, no biases, float32)
    >>> network(jnp.ones((80, 5))).shape
    (80, 1)
    """

    weights: tuple[Float[Array | np.ndarray, "fan_out fan_in"], ...]
    biases: tuple[Float[Array | np.ndarray, " fan_out"] | None, ...]
    activation: Activation

    @classmethod
    def create(
        cls,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        scale: InitScale | Sequence[InitScale],
        activation: str | Activation = "tanh",
        bias: bool | Sequence[bool] = False,
        seed: int = 0,
        dtype: str = "float32",
    ) -> "Network":
        """Draw a network with normal parameters of the given scale.

        The standard normal draws depend on the seed and the shapes alone: networks of one seed at two scales, or in
        two dtypes, are multiples or roundings of each other.

        Parameters
        ----------
        inputs, hidden, outputs : int, sequence of int, int
            The widths d, (m_1, ..., m_{L-1}) and c; at least one hidden layer.
        scale : InitScale, or one for each layer
            One may itself have a number for each layer.
        activation : str or Activation
        bias : bool, or one for each layer
            A layer's biases have the standard deviation of its weights.
        seed : int
        dtype : {"float32", "float64"}

        Returns
        -------
        Network

        Raises
        ------
        ArchitectureError
            For widths below 1 or beyond this machine's memory, no hidden layer, a seed that is no whole number, or a
            sequence that does not have one entry for each layer.
        """
        seed = check_seed(seed)
        widths = check_widths(inputs, hidden, outputs)
        layers = len(widths) - 1
        parameters = sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(widths))
        # Drawing takes the random bits, the draw in float64 and its copy in the dtype.
        if 24 * parameters > MEMORY:
            raise ArchitectureError(
                f"The widths {'-'.join(map(str, widths))} make {parameters:.3g} parameters, more than this machine's "
                f"memory of {MEMORY / 1e9:.3g} GB can hold; make the hidden widths smaller."
            )
        if dtype not in ("float32", "float64"):
            raise ArchitectureError(f"The dtype is {dtype!r}; it must be float32 or float64.")
        one_or_each = scale.layers(layers) if isinstance(scale, InitScale) else scale
        scales: list[InitScale] = _one_for_each_layer("scale", one_or_each, layers)
        with_bias = _one_for_each_layer("bias", bias, layers)
        for entry in scales:
            if not isinstance(entry, InitScale):
                raise ArchitectureError(
                    f"The scale is {entry!r}; give an InitScale, such as InitScale('epsilon', 0.01)."
                )

        weights, biases = [], []
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            std = scales[layer].std(fan_in, fan_out, output_layer=layer == layers - 1)
            weight = standard_normal(seed, layer, 0, fan_out * fan_in).reshape(fan_out, fan_in)
            weights.append((std * weight).astype(dtype))
            biases.append((std * standard_normal(seed, layer, 1, fan_out)).astype(dtype) if with_bias[layer] else None)
        if not isinstance(activation, Activation):
            activation = get_activation(activation)
        activation.check()
        return cls(tuple(weights), tuple(biases), activation)

    @property
    def widths(self) -> tuple[int, ...]:
        """``(d, m_1, ..., m_{L-1}, c)``."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))

    @property
    def hidden(self) -> tuple[int, ...]:
        """The widths of the hidden layers."""
        return self.widths[1:-1]

    @property
    def depth(self) -> int:
        """The number of layers L, hidden and output."""
        return len(self.weights)

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return str(self.weights[0].dtype)

    @property
    def fits_constants(self) -> bool:
        """Whether it can give a constant, whatever the inputs: by a bias beyond the first layer, or by ``s(0) != 0``.

        Such a network fits the targets' mean before anything condenses, and its plateau is that of the best constant.
        """
        return self.activation.value != 0 or any(bias is not None for bias in self.biases[1:])

    def __repr__(self) -> str:
        with_bias = [str(layer) for layer, bias in enumerate(self.biases, 1) if bias is not None]
        biases = f"biases in layers {', '.join(with_bias)}" if with_bias else "no biases"
        return f"Network({'-'.join(map(str, self.widths))}, {self.activation.name}, {biases}, {self.dtype})"

    def _repr_html_(self) -> str:
        with_bias = [str(layer) for layer, bias in enumerate(self.biases, 1) if bias is not None]
        rows = {
            "widths": " - ".join(map(str, self.widths)),
            "activation": self.activation.name,
            "biases": f"in layers {', '.join(with_bias)}" if with_bias else "none",
            "parameters": f"{sum(leaf.size for leaf in jax.tree.leaves(self)):,}",
            "dtype": self.dtype,
        }
        return card("Network", rows)

    def __call__(self, x: Float[Array | np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """The outputs for the rows of ``x``, as a NumPy array of the network's dtype; while JAX traces, as a tracer.

        Raises
        ------
        ArchitectureError
            If ``x`` does not have the network's number of columns.
        """
        if not isinstance(x, jax.core.Tracer):
            x = real_array("The input", x).astype(self.dtype)
        if x.ndim != 2 or x.shape[1] != self.widths[0]:
            raise ArchitectureError(f"The input has shape {x.shape}; expected (rows, {self.widths[0]}).")
        return _outputs(self, x.astype(self.dtype))

    @in_float64
    def on_columns(self, x: Float[Array, "d n"], drop: Drop | None = None) -> Float[Array, "c n"]:
        """The outputs for the columns of ``x``: the layout in which training is fastest.

        Wide layers multiply few columns faster as rows, so there it is these that go through. In training with dropout,
        ``drop`` of a hidden layer's place, from 0, and what leaves it, as columns, is what goes on.

        Parameters
        ----------
        x : array of shape (d, n)
            A column a row of data.
        drop : callable, optional
            From a layer's place and its signal to the signal that goes on.

        Returns
        -------
        array of shape (c, n)
        """
        as_rows = self.depth > 1 and min(self.widths[1:-1]) >= max(WIDE, x.shape[1])
        turn: Any = jnp.transpose if as_rows else lambda signal: signal
        signal = turn(x)
        for layer in range(self.depth - 1):
            signal = self.activation(self._affine(layer, signal, as_rows))
            signal = signal if drop is None else turn(drop(layer, turn(signal)))
        return turn(self._affine(self.depth - 1, signal, as_rows))

    @in_float64
    def pre_activations(self, x: Float[Array, "d n"]) -> tuple[Float[Array, "m n"], ...]:
        """What enters the activation in each hidden layer, for the columns of ``x``; shapes (m_l, n).

        Parameters
        ----------
        x : array of shape (d, n)
            A column a row of data.

        Returns
        -------
        tuple of arrays of shape (m_l, n)
        """
        entering = [self._affine(0, x)]
        for layer in range(1, self.depth - 1):
            entering.append(self._affine(layer, self.activation(entering[-1])))
        return tuple(entering)

    def _affine(self, layer: int, x: Float[Array, "fan_in n"], as_rows: bool = False) -> Float[Array, "fan_out n"]:
        """Of columns, or of rows, (n, fan_in) to (n, fan_out)."""
        weights: Any = self.weights[layer]
        product, bias = x @ weights.T if as_rows else weights @ x, self.biases[layer]
        return product if bias is None else product + (bias if as_rows else bias[:, None])

    @in_float64
    def astype(self, dtype: str) -> "Network":
        """The same network in another dtype.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        Network
        """
        return jax.tree.map(lambda leaf: leaf.astype(dtype), self)

    def to_bytes(self, metadata: Mapping[str, str] | None = None) -> bytes:
        """A safetensors file's bytes: tensors ``weights.0``, ``biases.0``, ..., the architecture, and a checksum.

        Parameters
        ----------
        metadata : mapping of str to str, optional
            Kept in the file beside the architecture, and given back by `read_metadata`.

        Returns
        -------
        bytes
        """
        tensors = {f"weights.{layer}": np.asarray(weight) for layer, weight in enumerate(self.weights)}
        tensors |= {f"biases.{layer}": np.asarray(b) for layer, b in enumerate(self.biases) if b is not None}
        architecture = {
            "format": _FORMAT,
            "widths": self.widths,
            "biases": [bias is not None for bias in self.biases],
            "activation": self.activation.name,
            "dtype": self.dtype,
        }
        told = json.dumps({**(metadata or {}), **architecture}, ensure_ascii=False)
        return seal_tensors(pack_tensors(tensors, {"nucleate": told}))

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write `to_bytes` to ``path``, which appears whole or not at all.

        Parameters
        ----------
        path : path
        metadata : mapping of str to str, optional
            As of `to_bytes`.

        Raises
        ------
        NucleateError
            If the path cannot be written.
        """
        write_atomically(Path(path), self.to_bytes(metadata))

    @classmethod
    def load(cls, path: str | Path, activation: Activation | None = None) -> "Network":
        """The network that `save` wrote, bit for bit.

        Parameters
        ----------
        path : path
        activation : Activation, optional
            Its activation, where that is one of your own and not registered.

        Returns
        -------
        Network

        Raises
        ------
        ArchitectureError
            If the file is missing, no safetensors file, damaged, or holds no network of this package: its checksum is
            compared, and every shape.

        Examples
        --------
        >>> import tempfile
        >>> network = Network.create(2, [3], 1, scale=InitScale("gain", 1.0), bias=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save(Path(folder) / "network.safetensors")
        ...     Network.load(Path(folder) / "network.safetensors")
        Network(2-3-1, tanh, biases in layers 1, 2, float32)
        """
        content = _read(path)
        try:
            return cls.from_bytes(content, activation)
        except ArchitectureError as error:
            raise ArchitectureError(f"The network file {path} cannot be used here. {error}") from error
        except ValueError as error:
            raise ArchitectureError(f"The network file {path} is damaged ({error}); save the network again.") from error

    @classmethod
    def from_bytes(cls, content: bytes, activation: Activation | None = None) -> "Network":
        """The network that `to_bytes` was given.

        Parameters
        ----------
        content : bytes
        activation : Activation, optional
            As of `load`.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If these bytes are not those of a network, with what is wrong.
        ArchitectureError
            If they are those of another model, or have an activation that is not known.
        """
        tensors, told = parse_tensors(content)
        metadata = _metadata(told)
        widths, with_bias, name = (metadata.get(key) for key in ("widths", "biases", "activation"))
        if not (isinstance(widths, list) and len(widths) > 2 and all(type(width) is int for width in widths)):
            raise ValueError(f"its widths are {widths!r:.60}")
        if not (isinstance(with_bias, list) and len(with_bias) == len(widths) - 1):
            raise ValueError(f"its biases are {with_bias!r:.60}")
        shapes: dict[str, tuple[int, ...]] = {
            f"weights.{layer}": shape for layer, shape in enumerate(zip(widths[1:], widths, strict=False))
        }
        shapes |= {f"biases.{layer}": (widths[layer + 1],) for layer, has in enumerate(with_bias) if has}
        found = {tensor: array.shape for tensor, array in tensors.items()}
        if found != shapes:
            raise ValueError(f"it holds {found!r:.200} for the widths {widths!r:.60}")
        dtypes = {str(array.dtype) for array in tensors.values()}
        if dtypes not in ({"float32"}, {"float64"}):
            raise ValueError(f"its dtype is {' and '.join(sorted(dtypes))}")
        if activation is None or activation.name != name:
            if name not in activation_names():
                raise ArchitectureError(
                    f"Its activation {name!r} is not known; register it first, by nucleate.register_activation, or "
                    f"pass it {FROM_PYTHON}."
                )
            activation = get_activation(name)
        biases = tuple(tensors[f"biases.{layer}"] if has else None for layer, has in enumerate(with_bias))
        return cls(tuple(tensors[f"weights.{layer}"] for layer in range(len(with_bias))), biases, activation)


def check_seed(seed: int) -> int:
    """A seed as Python has it; a truth value is none.

    Parameters
    ----------
    seed : int

    Returns
    -------
    int

    Raises
    ------
    ArchitectureError
        For what is no whole number.
    """
    try:
        return _whole(seed)
    except TypeError:
        raise ArchitectureError(f"The seed is {seed!r:.60}; it must be a whole number.") from None


def _whole(given: Any) -> int:
    if is_truth(given):
        raise TypeError
    return operator.index(given)


def check_widths(inputs: int, hidden: Sequence[int], outputs: int) -> tuple[int, ...]:
    """The widths ``(d, m_1, ..., m_{L-1}, c)`` of a network, if there can be one of them.

    Parameters
    ----------
    inputs, hidden, outputs : int, sequence of int, int

    Returns
    -------
    tuple of int

    Raises
    ------
    ArchitectureError
        For widths that are no whole numbers or below 1, or no hidden layer.
    """
    try:
        widths = tuple(map(_whole, (inputs, *hidden, outputs)))
    except TypeError:
        for name, given in (("inputs", inputs), ("outputs", outputs)):
            if not is_whole(given):
                raise ArchitectureError(f"The {name} are {given!r:.60}; give how many there are.") from None
        raise ArchitectureError(
            f"The hidden widths are {hidden!r}; give whole numbers in a list, such as [50]."
        ) from None
    if len(widths) < 3:
        raise ArchitectureError("A network needs at least one hidden layer; give hidden widths such as 50 or 50,50.")
    if min(widths) < 1:
        raise ArchitectureError(f"The widths are {'-'.join(map(str, widths))}; each must be 1 or more.")
    return widths


def standard_normal(seed: int, layer: int, part: int, size: int) -> Float[np.ndarray, " size"]:
    """The numbers that ``jax.random.normal`` gives for the key of a layer's weights or biases.

    One program draws them block by block, where JAX would compile one for every shape.
    """
    # A key is two halves of 64 bits, and so is what is drawn by it: of the layer, and of one of its two parts.
    key = divmod(int(seed) % 2**64, 2**32)
    for place in (layer, part):
        key = _threefry(key, (0, place))
    blocks = [_block(np.array(key, np.uint32), np.uint64(start)) for start in range(0, size, _BLOCK)]
    return np.concatenate(blocks)[:size]


def _threefry(key: tuple[int, int], count: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32 of 20 rounds (Salmon et al. 2011, doi:10.1145/2063384.2063405), which JAX's keys are made by.

    Of one number here, for which JAX would trace a program.
    """
    keys = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    left, right = (count[0] + key[0]) % 2**32, (count[1] + key[1]) % 2**32
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            left = (left + right) % 2**32
            right = left ^ ((right << bits | right >> 32 - bits) % 2**32)
        left = (left + keys[(group + 1) % 3]) % 2**32
        right = (right + keys[(group + 2) % 3] + group + 1) % 2**32
    return left, right


@in_float64
@jax.jit
def _block(key: UInt[Array, "2"], start: UInt[Array, ""]) -> Float[Array, " block"]:
    place = start + jnp.arange(_BLOCK, dtype=jnp.uint64)
    halves = jnp.concatenate([place >> 32, place]).astype(jnp.uint32)
    high, low = jnp.split(threefry_2x32(key, halves).astype(jnp.uint64), 2)
    # 52 random bits behind the bits of 1.0 make a number from 1 to 2.
    bits = (high << 32 | low) >> 12 | jnp.uint64(0x3FF0000000000000)
    least = np.nextafter(-1.0, 0.0)
    uniform = (jax.lax.bitcast_convert_type(bits, jnp.float64) - 1.0) * (1.0 - least) + least
    return np.sqrt(2) * jax.lax.erf_inv(jnp.maximum(least, uniform))


@in_float64
@jax.jit
def _outputs(network: Network, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    return network.on_columns(x.T).T


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a network file, the architecture's entries and those given to `Network.save`.

    Raises
    ------
    ArchitectureError
        If the file is missing, no safetensors file, or not written by this package.
    """
    try:
        return _metadata(parse_tensors(_read(path))[1])
    except ArchitectureError:
        raise
    except ValueError as error:
        raise ArchitectureError(f"The network file {path} is damaged ({error}); save the network again.") from error


def _metadata(told: Mapping[str, str]) -> dict[str, Any]:
    metadata = parse_json(told.get("nucleate", "{}").encode())
    if "model" in metadata:
        raise ArchitectureError(
            "This is the file of a model that is no fully connected network; nucleate.models.load_model reads it."
        )
    if metadata.get("format") != _FORMAT:
        raise ValueError("it holds no nucleate network, such as Network.save writes")
    return metadata


def _read(path: str | Path, what: str = "network") -> bytes:
    if not isinstance(path, str | PathLike):
        raise ArchitectureError(f"The {what}'s file is {path!r:.60}; give a path.")
    try:
        return read_sealed(path)
    except FileNotFoundError:
        raise ArchitectureError(f"There is no {what} file {path}; check the path.") from None
    except (OSError, ValueError) as error:
        raise ArchitectureError(
            f"The {what} file {path} cannot be read ({why_unreadable(error)}); save the {what} again."
        ) from error


def _one_for_each_layer(name: str, given: T | Sequence[T], layers: int) -> list[T]:
    if isinstance(given, str):
        raise ArchitectureError(f"{name} is {given!r}; give one value that is no text, or one for each layer.")
    if not isinstance(given, Sequence):
        return [given] * layers
    if len(given) != layers:
        raise ArchitectureError(
            f"{name} has {len(given)} entries for {layers} layers; give one, or one for each layer."
        )
    return list(given)
