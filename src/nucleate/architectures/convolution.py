"""The convolutional network: kernels over one or two axes, pooling, and a linear head."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nucleate._wording import count
from nucleate.activations import Activation
from nucleate.architectures.model import (
    Draws,
    Model,
    Scale,
    check_activation,
    check_choice,
    check_shape,
    check_whole,
    for_each,
    say_shape,
    which_biases,
    wide,
    with_bias,
)
from nucleate.devices import in_float64
from nucleate.errors import ArchitectureError
from nucleate.observe import Layer
from nucleate.observe.layers import signals_seen

PADDINGS = ("same", "valid", "circular")
POOLINGS = ("mean", "max")
READOUTS = ("mean", "flatten")


@dataclass(frozen=True)
class Step:
    """What a convolutional layer does beside multiplying: how kernels move, and what of their signals is pooled.

    Parameters
    ----------
    stride : int
    padding : {"same", "valid", "circular"} or int
        What is around the inputs: zeros so that stride 1 keeps their size, nothing, what is at the other end, or so
        many zeros on every side.
    pool : int
        How many neighbouring positions along each axis become one; 1 pools nothing.
    pooling : {"mean", "max"}
    """

    stride: int
    padding: Literal["same", "valid", "circular"] | int
    pool: int
    pooling: Literal["mean", "max"]

    def edges(self, kernel: int) -> tuple[int, int]:
        """How many positions are added before and behind the inputs along an axis.

        Parameters
        ----------
        kernel : int
            How many positions a kernel reads along the axis.

        Returns
        -------
        tuple of int
        """
        if isinstance(self.padding, int):
            return self.padding, self.padding
        return (0, 0) if self.padding == "valid" else ((kernel - 1) // 2, kernel // 2)

    def size(self, size: int, kernel: int) -> int:
        """How many positions a kernel takes along an axis, before pooling; not positive where it does not fit.

        Parameters
        ----------
        size, kernel : int
            Positions of the inputs along the axis, and those that a kernel reads.

        Returns
        -------
        int
        """
        return (size + sum(self.edges(kernel)) - kernel) // self.stride + 1


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["kernels", "biases", "head", "head_bias"],
    meta_fields=["shape", "steps", "readout", "activation"],
)
@dataclass(frozen=True, repr=False)
class ConvNetwork(Model):
    """A convolutional network: layers of kernels with an activation and pooling, and a linear head.

    Its rows are flat, of the numbers of an array of ``shape`` in NumPy's order, channels last. To measures kernels are
    the units: their incoming vector is the kernel, flattened, with its bias, and their outgoing one is what the next
    layer's kernels, or the head, have for its channel.

    Parameters
    ----------
    kernels : tuple of arrays, shapes (m_l, k_l, m_{l-1}) or (m_l, k_l, k_l, m_{l-1})
        Entry j of layer l is kernel j, over one or two axes, of the channels that it reads.
    biases : tuple of arrays of shape (m_l,), or None for a layer without bias
    head : array of shape (c, features)
        Reads the mean of each channel over its positions, or with ``readout="flatten"`` each channel at each position,
        channels last.
    head_bias : array of shape (c,) or None
    shape : tuple of int
        Of a row: (length, channels) or (height, width, channels).
    steps : tuple of Step
        How each layer's kernels move, and what is pooled behind its activation.
    readout : {"mean", "flatten"}
    activation : Activation
        Applied after every layer but the head.

    Examples
    --------
    >>> from nucleate import InitScale
    >>> network = ConvNetwork.create((8, 8, 1), [4, 6], 10, scale=InitScale("gain", 0.1), pool=2)
    >>> network
    ConvNetwork(8 x 8 x 1, 4 and 6 kernels of 3 x 3, mean pool 2, 2, mean, 10 outputs, tanh, no biases, float32)
    >>> network(np.ones((5, 64))).shape
    (5, 10)
    """

    kernels: tuple[Float[Array | np.ndarray, "m ..."], ...]
    biases: tuple[Float[Array | np.ndarray, " m"] | None, ...]
    head: Float[Array | np.ndarray, "c features"]
    head_bias: Float[Array | np.ndarray, " c"] | None
    shape: tuple[int, ...]
    steps: tuple[Step, ...]
    readout: Literal["mean", "flatten"]
    activation: Activation

    @classmethod
    def create(
        cls,
        shape: Sequence[int],
        channels: Sequence[int],
        outputs: int,
        *,
        scale: Scale,
        kernel: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[str | int] = "same",
        pool: int | Sequence[int] = 1,
        pooling: str = "mean",
        readout: str = "mean",
        activation: str | Activation = "tanh",
        bias: bool | str | Sequence[bool] = False,
        seed: int = 0,
        dtype: str = "float32",
    ) -> "ConvNetwork":
        """Draw a network with normal parameters of the given scale.

        Parameters
        ----------
        shape : sequence of int
            Of a row: (length, channels) or (height, width, channels).
        channels : sequence of int
            How many kernels each layer has.
        outputs : int
        scale : InitScale, or mapping of str to InitScale
            The kinds of matrices are ``conv1``, ``conv2``, ... and ``head``. The fan-in of a kernel is what it reads,
            ``k c`` or ``k k c``; the width that ``gamma`` takes is the number of kernels.
        kernel, stride, pool : int, or one for each layer
            Along every axis.
        padding : {"same", "valid", "circular"} or int, or one for each layer
        pooling : {"mean", "max"}
        readout : {"mean", "flatten"}
        activation : str or Activation
        bias : bool, {"none", "first", "all"}, or one truth value for each layer and the head
            A layer's biases have the standard deviation of its kernels.
        seed : int
        dtype : {"float32", "float64"}

        Returns
        -------
        ConvNetwork

        Raises
        ------
        ArchitectureError
            For sizes out of range, a kernel that does not fit its inputs, a choice that there is not, or a scale that
            has not one number for each kind of matrix.
        """
        shape = check_shape(shape, {2: "(length, channels)", 3: "(height, width, channels)"})
        channels = (channels,) if isinstance(channels, int) else channels
        widths = [check_whole(f"number of kernels of layer {k}", m) for k, m in enumerate(channels, 1)]
        if not widths:
            raise ArchitectureError(
                "A convolutional network needs at least one layer; give channels such as 8 or 8,16."
            )
        count, axes = len(widths), len(shape) - 1
        outputs = check_whole("number of outputs", outputs)
        kernels_sizes = [check_whole("kernel", k) for k in for_each("kernel", kernel, count)]
        steps = tuple(
            Step(
                check_whole("stride", s),
                check_whole("padding", p, 0) if isinstance(p, int) else check_choice("padding", p, PADDINGS),
                check_whole("pool", q),
                check_choice("pooling", pooling, POOLINGS),
            )
            for s, p, q in zip(
                *(for_each(n, g, count) for n, g in (("stride", stride), ("padding", padding), ("pool", pool))),
                strict=True,
            )
        )
        with_biases = which_biases(bias, count + 1)
        draws = Draws(scale, kinds_of(count), seed, dtype)
        kernels, biases, reads, sizes = [], [], shape[-1], shape[:-1]
        for number, (m, k, step) in enumerate(zip(widths, kernels_sizes, steps, strict=True), 1):
            sizes = _sizes_behind(sizes, k, step, number)
            drawn, of_units = draws.matrix(
                f"conv{number}", (m, *(k,) * axes, reads), fan_in=k**axes * reads, bias=with_biases[number - 1]
            )
            kernels.append(drawn)
            biases.append(of_units)
            reads = m
        features = reads * (int(np.prod(sizes)) if check_choice("readout", readout, READOUTS) == "flatten" else 1)
        head, head_bias = draws.matrix("head", (outputs, features), fan_in=features, bias=with_biases[-1], output=True)
        chosen: Any = readout
        return cls(tuple(kernels), tuple(biases), head, head_bias, shape, steps, chosen, check_activation(activation))

    @property
    def kinds(self) -> dict[str, Any]:
        """The kernels of each layer and the head, by the names of their init scales."""
        return dict(zip(kinds_of(len(self.kernels)), (*self.kernels, self.head), strict=True))

    @property
    def fits_constants(self) -> bool:
        """Whether it can give a constant: by a bias beyond the first layer, or by ``s(0) != 0``."""
        later = (*self.biases[1:], self.head_bias)
        return self.activation.value != 0 or any(bias is not None for bias in later)

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The positions along each axis: of the inputs, and behind each layer, its pooling included."""
        sizes = [self.shape[:-1]]
        for number, (kernel, step) in enumerate(zip(self.kernels, self.steps, strict=True), 1):
            sizes.append(_sizes_behind(sizes[-1], kernel.shape[1], step, number))
        return tuple(sizes)

    @property
    def signals(self) -> int:
        """How many numbers a row becomes on its way: the patches that kernels read, and their signals."""
        before = zip(self.kernels, self.steps, self.sizes, strict=False)
        places = [
            (kernel, np.prod([step.size(size, kernel.shape[1]) for size in sizes])) for kernel, step, sizes in before
        ]
        return int(sum(count * (kernel[0].size + 2 * len(kernel)) for kernel, count in places))

    def __repr__(self) -> str:
        layers = " and ".join(str(len(kernel)) for kernel in self.kernels)
        wide = [say_shape(kernel.shape[1:-1]) for kernel in self.kernels]
        kernels = " and ".join(wide if len(set(wide)) > 1 else wide[:1])
        biased = [str(number) for number, bias in enumerate(self.biases, 1) if bias is not None]
        biased += ["the head"] if self.head_bias is not None else []
        biases = f"biases in {', '.join(biased)}" if biased else "no biases"
        told = "".join(
            f", {name} {', '.join(str(getattr(step, name)) for step in self.steps)}"
            for name, usual in (("stride", 1), ("padding", "same"))
            if any(getattr(step, name) != usual for step in self.steps)
        )
        if any(step.pool != 1 for step in self.steps):
            told += f", {self.steps[0].pooling} pool {', '.join(str(step.pool) for step in self.steps)}"
        return (
            f"ConvNetwork({say_shape(self.shape)}, {layers} kernels of {kernels}{told}, {self.readout}, "
            f"{count(len(self.head), 'output')}, {self.activation.name}, {biases}, {self.dtype})"
        )

    def _repr_html_(self) -> str:
        kernels = ", ".join(f"{len(kernel)} of {say_shape(kernel.shape[1:])}" for kernel in self.kernels)
        sizes = {"kernels": kernels, "readout": self.readout, "outputs": len(self.head)}
        return self._card({"inputs": say_shape(self.shape), **sizes})

    @in_float64
    def on_columns(self, x: Float[Array, "d n"]) -> Float[Array, "c n"]:
        return self._forward(x)[0]

    def _forward(self, x: Float[Array, "d n"]) -> tuple[Any, list[Any], list[Any]]:
        """The outputs, and what enters and leaves each layer's activation, of shape (m, positions..., n)."""
        signal = jnp.moveaxis(x.reshape(*self.shape, -1), -2, 0)
        entering, leaving = [], []
        for kernel, bias, step in zip(self.kernels, self.biases, self.steps, strict=True):
            patches = _patches(signal, kernel.shape[1], step)
            z: Any = (kernel.reshape(len(kernel), -1) @ patches.reshape(len(patches), -1)).reshape(
                -1, *patches.shape[1:]
            )
            if bias is not None:
                z = z + bias.reshape(-1, *(1,) * (z.ndim - 1))
            entering.append(z)
            leaving.append(self.activation(z))
            signal = _pooled(leaving[-1], step)
        if self.readout == "mean":
            features = signal.mean(axis=tuple(range(1, signal.ndim - 1)))
        else:
            features = jnp.moveaxis(signal, 0, -2).reshape(-1, signal.shape[-1])
        outputs = self.head @ features
        return outputs if self.head_bias is None else outputs + self.head_bias[:, None], entering, leaving

    def layers(self, x: Float[np.ndarray, "n d"]) -> list[Layer]:
        self.check_rows(x)
        model = wide(self)
        entering, leaving = _activity(model, np.asarray(x, np.float64).T)
        channel = len(model.kernels[-1])
        read = [np.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1) for kernel in model.kernels[1:]]
        read.append(np.moveaxis(model.head.reshape(len(model.head), -1, channel), -1, 0).reshape(channel, -1))
        return [
            Layer(
                name=f"conv{number}",
                incoming=with_bias(kernel, bias),
                weights=with_bias(kernel, None),
                outgoing=outgoing,
                entering=signals_seen(enters),
                leaving=signals_seen(leaves),
                # The largest of opposite signals is not the opposite of the largest.
                opposites_are_one=self.activation.parity != "none" and (step.pool == 1 or step.pooling == "mean"),
                at_zero=self.activation.value,
            )
            for number, (kernel, bias, step, outgoing, enters, leaves) in enumerate(
                zip(model.kernels, model.biases, model.steps, read, entering, leaving, strict=True), 1
            )
        ]


def kinds_of(layers: int) -> list[str]:
    """The kinds of matrices of a convolutional network of so many layers."""
    return [*(f"conv{number}" for number in range(1, layers + 1)), "head"]


def _sizes_behind(sizes: tuple[int, ...], kernel: int, step: Step, number: int) -> tuple[int, ...]:
    behind = tuple(step.size(size, kernel) for size in sizes)
    least, edge = min(sizes), max(step.edges(kernel))
    # Of the rows themselves a kernel sees a part; maps that were pooled may be smaller than it.
    longest = least if number == 1 else least + min(edge, kernel - 1)
    if step.padding in ("same", "circular") and kernel > max(longest, 1):
        raise ArchitectureError(
            f"The kernel of layer {number} is {kernel} wide, and its inputs {say_shape(sizes)}; make the kernel "
            "smaller."
        )
    if step.stride > least > 1:
        raise ArchitectureError(
            f"The kernels of layer {number} move {step.stride} positions at a time over inputs of {say_shape(sizes)}; "
            "make the stride smaller."
        )
    if isinstance(step.padding, int) and step.padding >= kernel:
        raise ArchitectureError(
            f"The padding of layer {number} is {step.padding}, and its kernels are {kernel} wide, so that some of them "
            "would read nothing but zeros; make the padding smaller than the kernel."
        )
    if min(behind) < 1:
        raise ArchitectureError(
            f"The kernel of layer {number} is {kernel} wide, and its inputs {say_shape(sizes)}; make the kernel "
            "smaller, or the padding larger."
        )
    if step.padding == "circular" and max(step.edges(kernel)) > min(sizes):
        raise ArchitectureError(
            f"The kernel of layer {number} is {kernel} wide and goes more than once around its inputs, "
            f"{say_shape(sizes)}; make it smaller."
        )
    pooled = tuple(size // step.pool for size in behind)
    if min(pooled) < 1:
        raise ArchitectureError(
            f"Layer {number} has {say_shape(behind)} positions, and pools {step.pool} along each axis; pool fewer."
        )
    return pooled


def _patches(signal: Float[Array, "c *positions n"], kernel: int, step: Step) -> Float[Array, "k *positions n"]:
    """What kernels read at each position, the offsets within a kernel first and channels last, as kernels have it.

    Slices, for XLA's own convolutions are many times slower inside a loop on a CPU.
    """
    axes = range(1, signal.ndim - 1)
    around = [(0, 0), *[step.edges(kernel) for _ in axes], (0, 0)]
    patches = jnp.pad(signal, around, mode="wrap" if step.padding == "circular" else "constant")
    # An axis at a time, last first: twice as many slices as a kernel is wide, and not its square.
    for axis in reversed(axes):
        span = (step.size(signal.shape[axis], kernel) - 1) * step.stride + 1
        slices = [jax.lax.slice_in_dim(patches, at, at + span, step.stride, axis) for at in range(kernel)]
        patches = jnp.concatenate(slices)
    return patches


def _pooled(signal: Float[Array, "m *positions n"], step: Step) -> Float[Array, "m *pooled n"]:
    if step.pool == 1:
        return signal
    pooled = signal
    for axis in range(1, signal.ndim - 1):
        size = pooled.shape[axis] // step.pool
        whole = jax.lax.slice_in_dim(pooled, 0, size * step.pool, axis=axis)
        grouped = whole.reshape(*whole.shape[:axis], size, step.pool, *whole.shape[axis + 1 :])
        pooled = grouped.mean(axis + 1) if step.pooling == "mean" else grouped.max(axis + 1)
    return pooled


@in_float64
@jax.jit
def _activity(model: ConvNetwork, x: Float[Array, "d n"]) -> tuple[Any, Any]:
    return model._forward(x)[1:]
