"""Cores, memory and devices: the one place that says where computations run, and how JAX is set for them.

Nothing here changes JAX's configuration or starts a backend when it is imported. What a computation needs, 64-bit types
above all, is set for that computation alone, in its own thread; what leaves it are NumPy arrays, which mean the same
whatever the user's setting.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, cached_property, wraps
from importlib.metadata import version
from pathlib import Path
from threading import Event, RLock, local
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import ThreadpoolController

from nucleate._wording import choose_one, name_parameter, shown
from nucleate.errors import SpecError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

try:
    MEMORY: float = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    """Bytes of memory; infinite where the system does not say."""
except (AttributeError, ValueError, OSError):
    MEMORY = float("inf")

DEVICES = ("auto", "cpu", "gpu")
"""Where a person may ask a verb to compute; auto is where JAX computes."""

IN_TURN, SMALL = 8, 1e6
"""How many items a thread takes in one call where it has several, and up to how many bytes of an item: below, what a
call costs counts."""

MOST_MAPS = 20_000
"""Memory maps from which on compiled programs are let go. Linux gives a process 65,530; beyond, LLVM crashes."""

SECONDS_BETWEEN_COUNTS = 1.0
"""How often memory maps are counted at most: in a second far fewer are taken than there is room for."""

_MAPS = Path("/proc/self/maps")

_COMPILED: WeakSet[Any] = WeakSet()
"""The package's functions that JAX compiles, which hold the programs."""


@cache
def machine() -> str:
    """The kind of machine this is: what computes, and by which versions.

    >>> machine().split(", ")[0] == f"nucleate {version('nucleate')}"
    True
    """
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8", "replace").splitlines() if told.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or "unknown processor"
    where = processor if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    return f"nucleate {version('nucleate')}, JAX {version('jax')}, {platform.machine()}, {where}"


@contextmanager
def float64() -> Iterator[None]:
    """JAX's 64-bit types, in this thread and for this block, whatever the user's setting.

    Products of float32 are of all their digits too, where a GPU would take ten bits of each factor (TF32).

    >>> import jax.numpy as jnp
    >>> with float64():
    ...     print(jnp.zeros(1, "float64").dtype)
    float64
    """
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def in_float64(function: Callable[P, R]) -> Callable[P, R]:
    """The function, computing on the CPU with JAX's 64-bit types on, and giving NumPy arrays.

    It is the small computations between others that are wrapped so: a GPU would take longer to be told of one than a
    CPU takes for it, and few GPUs are made for 64-bit types.

    Called while JAX traces (inside ``jit``, ``grad`` or ``vmap``) it is the function itself: precision is then the
    business of whoever traces.

    >>> import jax.numpy as jnp
    >>> in_float64(jnp.tanh)(np.array([0.0])).dtype
    dtype('float64')
    """
    _remember(function)

    @wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return function(*args, **kwargs)
        bound_programs()
        with float64(), on_cpu():
            return on_host(function(*args, **kwargs))

    return computed


def on_host(tree: R) -> R:
    """The tree with NumPy arrays for JAX's."""
    return jax.tree.map(
        lambda leaf: (
            np.asarray(leaf) if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer) else leaf
        ),
        tree,
    )


class OnDevice(Sequence[Any]):
    """What came of items that were computed together: one stacked tree, which stays on the device.

    All of it is fetched when the first item is asked for. Given to `for_each` again, nothing of it is moved. The tree
    is as a program left it, of `at_once` of the items.
    """

    def __init__(self, tree: Any, items: int) -> None:
        self.tree, self._items = tree, items

    def __len__(self) -> int:
        return self._items

    def __getitem__(self, index: Any) -> Any:
        place = range(self._items)[index]
        # A copy, so that who keeps one item does not keep all.
        return jax.tree.map(lambda leaf: np.array(leaf[place]), self._fetched)

    @cached_property
    def _fetched(self) -> Any:
        return on_host(self.tree)


def for_each(
    function: Callable[..., Any], items: Sequence[Any], *shared: Any, beside: Sequence[Sequence[Any]] = ()
) -> Sequence[Any]:
    """``function(item, *shared)`` for every item on a thread a core, with 64-bit types on; NumPy arrays come back.

    The threads share one device: a compiled program releases Python's lock while it runs, so that all cores are used
    without telling JAX to split the CPU into devices. On a GPU all items go through one vectorized program instead,
    `at_once` so many, and stay there until they are asked for, as an `OnDevice`.

    The function is compiled by JAX, and the same object at every call, so that it is compiled once for all items. What
    they have in common are arrays, or whatever can be hashed; each sequence ``beside`` has one more argument for every
    item, which comes after it.

    >>> for_each(lambda item, more: item + more, [1, 2], 10)
    [11, 12]
    """
    columns = (items, *beside)

    def one(row: tuple[Any, ...]) -> Any:
        with _settled():
            return on_host(function(*row, *shared))

    if not items:
        return []
    if _on_one_core() and _THREAD.called_off.is_set():
        raise CancelledError
    _remember(function)
    bound_programs()
    if steps_together():
        with _settled():
            stacked = tuple(_stacked(column) for column in columns)
            done = _together(device().platform)(function, stacked, shared)
            return OnDevice(jax.block_until_ready(done), len(items))
    rows = list(zip(*columns, strict=True))
    if _on_one_core() and len(rows) > 1 and _bytes_of(rows[0]) <= SMALL:
        return _in_turns(function, columns, shared)
    program = hash((function, _shapes((rows[0], shared))))
    first: list[Any] = []
    rest = rows
    # The first alone, so that threads do not compile one program side by side.
    with _COMPILING:
        if program not in _CALLS_LAPACK:
            with _settled():
                lowered = function.lower(*rows[0], *shared).as_text() if hasattr(function, "lower") else ""
            _CALLS_LAPACK[program] = "lapack" in lowered
            first, rest = [one(rows[0])], rows[1:]
        calls_lapack = _CALLS_LAPACK[program]
    if calls_lapack:
        # Side by side, they wait for ever.
        with _LAPACK:
            return [*first, *map(one, rest)]
    return [*first, *spread(one, rest)]


@contextmanager
def _settled() -> Iterator[None]:
    # Left open, the device is another one to JAX than the same one chosen, and what it compiled is compiled again.
    with float64(), jax.default_device(device()):
        yield


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Compute on one of `DEVICES`, in this thread, in those of `spread` and for this block; see `check_device`.

    >>> with on_device("cpu"):
    ...     steps_together()
    False
    """
    check_device(name)
    if name == "auto":
        yield
        return
    with jax.default_device(jax.devices(name)[0]):
        yield


def on_cpu() -> AbstractContextManager[Any]:
    """Compute on the CPU, in this thread, in those of `spread` and for this block; where JAX may use one at all.

    >>> with on_cpu():
    ...     steps_together()
    False
    """
    return jax.default_device(_cpu()) if _cpu() is not None else nullcontext()


@cache
def _cpu() -> jax.Device | None:
    try:
        return jax.devices("cpu")[0]
    except RuntimeError:
        return None  # JAX_PLATFORMS may leave it out


def check_device(name: str, *, here: bool = True) -> None:
    """Refuse another name than those of `DEVICES`, and where this process must have it, a device that there is not."""
    if not isinstance(name, str) or name not in DEVICES:
        raise SpecError(f"{name_parameter('device')} is {shown(name)}{choose_one(name, DEVICES)}.")
    if name == "auto" or not here:
        return
    try:
        jax.devices(name)
    except RuntimeError:
        limit = os.environ.get("JAX_PLATFORMS")
        if limit:
            remedy = f"unset JAX_PLATFORMS, which is {shown(limit)}"
        else:
            remedy = "install JAX for it, as by pip install 'jax[cuda12]' for one of NVIDIA's"
        raise SpecError(
            f"JAX finds no {name.upper()} here; {remedy}, or leave out {name_parameter('device')}."
        ) from None


def device() -> jax.Device:
    """Where this thread computes."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return chosen if isinstance(chosen, jax.Device) else jax.local_devices(backend=chosen)[0]


def device_memory() -> float:
    """Bytes of the device's memory that JAX may use; infinite where it does not say, as of a CPU."""
    return float((device().memory_stats() or {}).get("bytes_limit", float("inf")))


def spread(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """``function(item)`` for every item, on a thread a core; on such a thread itself, one after another.

    When one fails, or Ctrl-C is pressed, the others end at their next call of `for_each`.

    >>> spread(str, [1, 2])
    ['1', '2']
    """
    if _on_one_core() or (len(items) < 2 and CORES > 1):
        return list(map(function, items))
    chosen, called_off = jax.config.jax_default_device, Event()  # type: ignore[attr-defined]

    def there(item: T) -> R:
        _THREAD.called_off = called_off
        try:
            # What is chosen for a block is chosen for one thread.
            with jax.default_device(chosen):
                return function(item)
        finally:
            _THREAD.called_off = None

    if CORES < 2:
        return list(map(there, items))
    with ThreadPoolExecutor(CORES) as threads:
        try:
            return list(threads.map(there, items))
        except BaseException:
            called_off.set()
            raise


_THREAD = local()


def _on_one_core() -> bool:
    """Whether this thread computes an item of `spread`, beside which the other cores have theirs."""
    return getattr(_THREAD, "called_off", None) is not None


_CALLS_LAPACK: dict[int, bool] = {}
_COMPILING, _LAPACK = RLock(), RLock()


def steps_together() -> bool:
    """Whether items are computed together in one vectorized program, as on a GPU, instead of on threads."""
    return device().platform != "cpu"


def at_once(items: int) -> int:
    """How many so many items are when they are computed together: the next power of two.

    As items of a batch end one after another, a program is compiled for each halving and not for each number.

    >>> [at_once(items) for items in (1, 2, 3, 16, 17)]
    [1, 2, 4, 16, 32]
    """
    return 1 << (items - 1).bit_length()


def _stacked(items: Sequence[Any]) -> Any:
    """One tree of them, filled up with what needs no time of its own, so that few numbers of items are compiled for."""
    if isinstance(items, OnDevice):
        return items.tree
    full = [*items, *[items[-1]] * (at_once(len(items)) - len(items))]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *full)


def _call(function: Callable[..., Any], row: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
    return function(*row, *shared)


@cache
def _together(platform: str) -> Callable[..., Any]:
    import equinox as eqx  # takes a while, and most commands do without

    # XLA tries Triton's products of many shapes at every compilation, which took 13 s on an H200 instead of 0.6; those
    # of the vendor's library, which are left, are as fast.
    options = {"xla_gpu_enable_triton_gemm": False} if platform == "gpu" else {}
    jit: Any = eqx.filter_jit  # its types leave out what it hands on to jax.jit
    return jit(eqx.filter_vmap(_call, in_axes=(None, 0, None)), compiler_options=options)


def _in_turns(function: Callable[..., Any], columns: Sequence[Sequence[Any]], shared: tuple[Any, ...]) -> list[Any]:
    """As `for_each`, on this thread: `IN_TURN` items a call, each as if it were alone."""
    count, program = len(columns[0]), _one_after_another(function)
    groups = [range(first, min(first + IN_TURN, count)) for first in range(0, count, IN_TURN)]
    done: list[Any] = []
    for group in groups:
        stacked = tuple(_filled([column[place] for place in group]) for column in columns)
        # A call for each, as several together would be taken in turns again.
        done += for_each(program, [stacked], *shared, beside=([np.int32(len(group))],))
    # Copies, so that who keeps one item does not keep all.
    return [
        jax.tree.map(lambda leaf, place=place: np.array(leaf[place]), found)
        for group, found in zip(groups, done, strict=True)
        for place in range(len(group))
    ]


def _filled(items: Sequence[Any]) -> Any:
    """One tree of them, filled up with zeros to `IN_TURN`."""

    def stack(*leaves: Any) -> np.ndarray:
        whole = np.zeros((IN_TURN, *np.shape(leaves[0])), leaves[0].dtype)
        np.stack(leaves, out=whole[: len(leaves)])
        return whole

    return jax.tree.map(stack, *items)


@cache
def _one_after_another(function: Callable[..., Any]) -> Callable[..., Any]:
    import equinox as eqx

    def all_of(columns: tuple[Any, ...], count: Any, *shared: Any) -> Any:
        def one(place: Any, found: Any) -> Any:
            own = function(*jax.tree.map(lambda leaf: entry(leaf, place), columns), *shared)
            return jax.tree.map(lambda leaf, part: with_entry(leaf, place, part), found, own)

        alike = eqx.filter_eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], columns), *shared)
        nothing = jax.tree.map(lambda leaf: jnp.zeros((IN_TURN, *leaf.shape), leaf.dtype), alike)
        return jax.lax.fori_loop(0, count, one, nothing)

    return eqx.filter_jit(all_of)


def entry(stack: jax.Array, place: Any) -> jax.Array:
    """``stack[place]`` for a place that is known only when the program runs, in a tenth of the operations to compile.

    >>> int(entry(jnp.arange(3), 1))
    1
    """
    return jax.lax.dynamic_index_in_dim(stack, place, keepdims=False, allow_negative_indices=False)


def with_entry(stack: jax.Array, place: Any, part: jax.Array) -> jax.Array:
    """``stack.at[place].set(part)``, as `entry`; a scatter is compiled to a loop.

    >>> with_entry(jnp.zeros(3, int), 1, 5).tolist()
    [0, 5, 0]
    """
    return jax.lax.dynamic_update_index_in_dim(stack, part, place, 0, allow_negative_indices=False)


def _bytes_of(tree: Any) -> int:
    return sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(tree))


def _shapes(tree: Any) -> tuple[Any, ...]:
    leaves, structure = jax.tree.flatten(tree)
    return (structure, *((np.shape(leaf), leaf.dtype) if hasattr(leaf, "dtype") else leaf for leaf in leaves))


def _remember(function: Callable[..., Any]) -> None:
    if hasattr(function, "clear_cache"):
        _COMPILED.add(function)


class _Watch:
    """When memory maps are next counted, and how many were left when programs were last let go."""

    next = 0.0
    left = 0


def bound_programs() -> None:
    """Let compiled programs go when they take too many memory maps, 10 to 100 each; they are compiled anew at a call.

    The package's own go first, and whatever else JAX has compiled only where that is not enough.
    """
    now = time.monotonic()
    if now < _Watch.next:
        return
    _Watch.next = now + SECONDS_BETWEEN_COUNTS
    # What was left is not JAX's, and would be looked for in vain at every count.
    if _count_maps() <= max(MOST_MAPS, _Watch.left + MOST_MAPS // 2):
        return
    with _COMPILING:
        _CALLS_LAPACK.clear()
        for function in list(_COMPILED):
            function.clear_cache()
    if _count_maps() > MOST_MAPS // 2:
        jax.clear_caches()
    _Watch.left = _count_maps()


def _count_maps() -> int:
    """The process's memory maps; 0 where the system does not tell, and has no such limit."""
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


def single_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread.

    OpenBLAS threads wait by spinning: where training shares the cores, two of them made a call of 2 ms take 340.
    """
    return _blas().limit(limits=1)


@cache
def _blas() -> ThreadpoolController:
    # SciPy brings a BLAS of its own, which is found only once it is loaded.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController().select(user_api="blas")
