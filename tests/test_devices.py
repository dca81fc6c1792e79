"""Nothing that the package does changes the process it runs in, and float64 asked for is float64 got."""

import os
import pkgutil
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import nucleate
from nucleate import devices
from nucleate.devices import float64, for_each, in_float64, single_blas_thread, spread
from tests.cli.asking import refusal

pytestmark = pytest.mark.slow

IMPORT_ALL = """
import importlib, locale, logging, os, pkgutil, random, signal, sys, threading, warnings
import numpy as np

def process():
    return {
        "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook, warnings.showwarning),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "logging": (list(logging.root.handlers), logging.root.level, logging.getLoggerClass()),
        "numbers": (locale.setlocale(locale.LC_ALL), np.geterr(), np.get_printoptions()),
        "python": (sys.path[:], sys.getrecursionlimit(), sys.stdout, os.getcwd(), threading.enumerate()),
        "random": (random.getstate(), str(np.random.get_state())),
    }

before, filters, environment = process(), list(warnings.filters), dict(os.environ)
import nucleate
nucleate.sweep, nucleate.reproduce, nucleate.CondensedClassifier
assert "rich" in sys.modules and process()["random"] == before["random"], "JAX or rich moved the random numbers"
import jax
from jax._src import xla_bridge
settings = dict(jax.config.values)
for module in pkgutil.walk_packages(nucleate.__path__, "nucleate."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not xla_bridge._backends, "importing started a backend"
assert settings == dict(jax.config.values)
after = process()
assert after == before, [name for name in before if after[name] != before[name]]
# Libraries have settings of their own.
added = [each for each in warnings.filters if each not in filters]
assert all(any(of in str(each) for of in ("plotly", "scipy", "matrix subclass")) for each in added), added
theirs = ("JAX_", "KMP_", "TF_", "TPU_", "_RJEM_")
changed = [name for name, value in os.environ.items() if environment.get(name) != value]
assert all(name.startswith(theirs) for name in changed) and environment.keys() <= os.environ.keys(), changed
assert nucleate.activation_names() == NAMES, nucleate.activation_names()
"""
NAMES = (
    "linear",
    "tanh",
    "relu",
    "leaky_relu",
    "xtanh",
    "sigmoid_shifted",
    "sigmoid",
    "softplus",
    "elu",
    "selu",
    "softplus_shifted",
    "gelu",
    "silu",
)
VERBS = """
import tempfile, warnings
warnings.simplefilter("error")
import jax
import numpy as np
before = dict(jax.config.values)
import nucleate
problem = nucleate.load_problem("diabetes")
network = nucleate.Network.create(10, [12, 12], 1, scale=nucleate.InitScale("epsilon", 0.01), dtype="float64")
assert network.weights[0].dtype == np.float64 and network(problem.test.x).dtype == np.float64
run = nucleate.train(network, problem, learning_rate=0.1, steps=30)
assert run.final.dtype == "float64"
nucleate.forecast(network, problem, learning_rate=0.1, horizon=500)
time = nucleate.theory.blowup_time([2.0], [[2.0]], [2.0])
assert time.estimate.dtype == np.float64 and abs(float(time.estimate) - 0.5) < 1e-12
with tempfile.TemporaryDirectory() as folder:
    study = nucleate.sweep("diabetes", gains=[0.3], hidden=[8], steps=30, evaluations=5, out=folder, progress=False)
    nucleate.reduce_study(study, baselines=False)
    nucleate.report(study, out=folder + "/report.html")
assert before == dict(jax.config.values)
assert len(jax.devices()) == 1
"""


MANY_ARCHITECTURES = """
from pathlib import Path
import jax, nucleate, nucleate.devices
nucleate.devices.MOST_MAPS = 2400
nucleate.devices.SECONDS_BETWEEN_COUNTS = 0.0  # else it is chance whether one comes in time
traced, maps = [], []
own = jax.jit(lambda x: traced.append(x) or x + 1)
own(1.0)
problem = nucleate.load_problem("sine-5d")
for width in range(1, 161):
    network = nucleate.Network.create(5, [width], 1, scale=nucleate.InitScale("gain", 0.5))
    network(problem.train.x)
    if width % 40 == 0:
        nucleate.train(network, problem, learning_rate=0.01, steps=4, evaluations=4)
    if width % 10 == 0:
        maps.append(Path("/proc/self/maps").read_bytes().count(b"\\n"))
assert max(maps) < 2800, maps
assert maps != sorted(maps), "nothing was let go"
own(1.0)
assert len(traced) == 1, "a function of the user's was let go"
"""


def run(code, timeout=600, check=True, **environment):
    code = f"NAMES = {NAMES}\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code],
        check=check,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


FORK = """
import os
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    child = os.fork()
if child == 0:
    network = nucleate.Network.create(5, [4], 1, scale=nucleate.InitScale("gain", 1.0))
    nucleate.train(network, nucleate.load_problem("sine-5d"), steps=3, learning_rate=0.01)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def process():
    """What became of a process that imports every module, forks a child that trains, and calls every verb twice."""
    parts = {"imported": IMPORT_ALL, "forked": FORK if hasattr(os, "fork") else ""}
    parts |= {f"called with {wide}": f"jax.config.update('jax_enable_x64', {wide})\n{VERBS}" for wide in (False, True)}
    code = "".join(f"{part}\nprint({name!r}, flush=True)\n" for name, part in parts.items())
    return run("import warnings\n" + code, check=False, JAX_ENABLE_X64="0")


def test_importing_every_module_starts_no_backend_registers_nothing_and_changes_no_setting(process):
    assert "imported" in process.stdout, process.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_after_the_import_trains(process):
    assert "forked" in process.stdout, process.stderr


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_every_verb_leaves_jaxs_settings_alone_and_computes_in_the_precision_asked_for(wide, process):
    assert f"called with {wide}" in process.stdout, process.stderr


def test_modules_are_all_walked():
    assert len([module for module in pkgutil.walk_packages(nucleate.__path__, "nucleate.")]) > 50


def test_in_float64_computes_wide_outside_of_a_trace_and_as_traced_inside():
    sine = in_float64(jnp.sin)
    wide = sine(np.array([0.1]))
    assert isinstance(wide, np.ndarray)
    assert wide.dtype == np.float64
    assert wide[0] == np.sin(0.1)
    assert jax.jit(sine)(np.array([0.1], np.float32)).dtype == np.float32
    assert not jax.config.jax_enable_x64


def test_products_of_float32_keep_all_their_digits_on_every_device():
    # Else a GPU takes ten bits of each factor; what a function asks for itself is left to it.
    with float64():
        told = str(jax.make_jaxpr(jnp.dot)(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)))
    assert "HIGHEST" in told
    assert jax.config.jax_default_matmul_precision is None


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_for_each_keeps_the_order_and_computes_wide(count):
    square = jax.jit(lambda item, shift: item["x"] ** 2 + shift)
    items = [{"x": np.array([1e-200 * k])} for k in range(count)]
    found = for_each(square, items, np.array(0.0))
    assert [float(value[0]) for value in found] == [0.0] * count
    with float64():
        assert jnp.zeros(1).dtype == np.float64


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="this system has no such limit")
def test_a_process_that_compiles_many_architectures_stays_near_the_bound_of_memory_maps():
    run(MANY_ARCHITECTURES, timeout=1800)


def test_an_error_in_one_thread_is_raised():
    def fail(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item"):
        for_each(fail, [1, 2, 3])


def test_what_another_thread_computes_ends_when_one_fails(monkeypatch):
    monkeypatch.setattr(devices, "CORES", 2)
    begun, calls = threading.Event(), [0]
    more = jax.jit(lambda item: item + 1)

    def compute(fails):
        if fails:
            begun.wait(60)
            raise ValueError("no")
        while calls[0] < 100_000:
            for_each(more, [np.ones(2), np.zeros(2)])
            calls[0] += 1
            begun.set()

    with pytest.raises(ValueError, match="no"):
        spread(compute, [True, False])
    assert 1 <= calls[0] < 100_000


def test_programs_that_call_lapack_do_not_wait_for_each_other():
    # In a process of its own, which can be killed: side by side they wait for ever.
    run(
        """
import jax, jax.numpy as jnp, numpy as np
from nucleate.devices import for_each
largest = jax.jit(lambda matrix: jnp.linalg.eigh(matrix + matrix.T)[0][-1])
matrices = list(np.random.default_rng(0).standard_normal((60, 100, 100)))
found = for_each(largest, matrices)
np.testing.assert_allclose(found, [np.linalg.eigvalsh(matrix + matrix.T)[-1] for matrix in matrices], rtol=1e-10)
""",
        timeout=120,
    )


def test_every_blas_is_held_to_one_thread_scipys_own_too():
    with threadpool_limits(2, "blas"), single_blas_thread():
        threads = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
    of_blas = [count for file, count in threads.items() if "blas" in file]
    assert len(of_blas) >= 2
    assert set(of_blas) == {1}


WITHOUT_GPU = pytest.mark.skipif(jax.default_backend() != "cpu", reason="this machine has another device")
PROBLEM = nucleate.load_problem("sine-5d")


def starts(count, dtype="float32"):
    scale = nucleate.InitScale("gain", 0.3)
    return [nucleate.Network.create(5, [8], 1, scale=scale, seed=seed, dtype=dtype) for seed in range(count)]


@WITHOUT_GPU
@pytest.mark.parametrize(
    "verb",
    [
        lambda **device: nucleate.train(starts(1)[0], PROBLEM, steps=4, **device),
        lambda **device: nucleate.train_many(starts(1), PROBLEM, learning_rates=[0.01], steps=4, **device),
        lambda **device: nucleate.forecast(starts(1)[0], PROBLEM, horizon=4, **device),
        lambda **device: nucleate.forecast_many(starts(1), PROBLEM, learning_rates=[0.01], horizon=4, **device),
        lambda **device: nucleate.sweep("no-such-data", **device),
    ],
)
def test_a_device_that_there_is_not_is_refused_before_anything_else(verb, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with pytest.raises(
        nucleate.SpecError, match=r"^JAX finds no GPU here; install JAX for it, as by .*, or leave out 'device'\.$"
    ):
        verb(device="gpu")
    with pytest.raises(
        nucleate.SpecError, match=r"^'device' is 'gpus'; did you mean 'gpu'\? Choose one of auto, cpu, gpu\.$"
    ):
        verb(device="gpus")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(nucleate.SpecError, match=r"unset JAX_PLATFORMS, which is 'cpu', or leave out"):
        verb(device="gpu")


@WITHOUT_GPU
@pytest.mark.parametrize("command", ["forecast", "sweep", "train"])
def test_so_does_the_command_line_and_leaves_no_folder(command, tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert "JAX finds no GPU here; " in (said := refusal(command, "sine-5d", "--device", "gpu", cwd=tmp_path))
    assert "or leave out --device." in said
    assert "--device is 'tpu'; choose one of auto, cpu, gpu." in refusal(
        command, "sine-5d", "--device", "tpu", cwd=tmp_path
    )
    assert not list(tmp_path.iterdir())


def test_where_an_executor_computes_its_workers_need_the_device_and_this_process_does_not(tmp_path):
    asked = []

    class Elsewhere:
        """Has what is asked for, which this machine may lack."""

        def submit(self, function, plan, orders, problem, device):
            asked.append(device)
            done = function(plan, orders, problem)
            future = type("Done", (), {"done": lambda self: True, "result": lambda self: done})
            return future()

    study = nucleate.sweep(
        "sine-5d",
        gains=[0.3],
        hidden=[4],
        steps=10,
        evaluations=4,
        out=tmp_path / "study",
        progress=False,
        executor=Elsewhere(),
        device="gpu",
    )
    assert study.results["status"].to_list() == ["finished"]
    assert set(asked) == {"gpu"}


def test_on_the_cpu_asked_for_come_the_bits_of_the_cpu_taken():
    rates = [0.01, 0.02]
    taken, asked = (
        nucleate.train_many(starts(2), PROBLEM, learning_rates=rates, steps=20, evaluations=4, **device)
        for device in ({}, {"device": "cpu"})
    )
    for one, other in zip(taken, asked, strict=True):
        assert one.trajectory.equals(other.trajectory)


def test_mini_batches_stepped_together_as_on_a_gpu_give_the_same_to_rounding(monkeypatch):
    settings = {"learning_rates": [0.01, 0.02, 0.03], "seeds": [0, 1, 2], "batch_size": 16, "optimizer": "adam"}
    settings |= {"steps": 40, "evaluations": 6}
    walked = nucleate.train_many(starts(3), PROBLEM, **settings)
    monkeypatch.setattr(devices, "steps_together", lambda: True)
    for one, other in zip(walked, nucleate.train_many(starts(3), PROBLEM, **settings), strict=True):
        assert (one.status, one.steps) == (other.status, other.steps)
        np.testing.assert_allclose(one.trajectory["train_loss"], other.trajectory["train_loss"], rtol=1e-5)


def test_forecasts_stepped_together_as_on_a_gpu_give_the_same_to_rounding(monkeypatch):
    # In double precision, since in single the path itself gathers rounding of 1e-5.
    networks, rates = starts(2, dtype="float64"), [0.1, 0.2]
    alone = nucleate.forecast_many(networks, PROBLEM, learning_rates=rates, horizon=2000)
    monkeypatch.setattr(devices, "steps_together", lambda: True)
    together = nucleate.forecast_many(networks, PROBLEM, learning_rates=rates, horizon=2000)
    for one, other in zip(alone, together, strict=True):
        assert one.drop_steps == other.drop_steps
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-9)


def test_runs_that_step_together_must_fit_the_devices_own_memory(monkeypatch):
    monkeypatch.setattr(devices, "steps_together", lambda: True)
    monkeypatch.setattr(devices, "device_memory", lambda: 1e6)
    nucleate.train_many(starts(1), PROBLEM, learning_rates=[0.01], steps=4, evaluations=4)
    with pytest.raises(nucleate.SpecError, match=r"^300 x .* together need about .* GB, and its cpu has 0\.001; make"):
        nucleate.train_many(starts(1) * 300, PROBLEM, learning_rates=[0.01] * 300, steps=4)


@pytest.mark.parametrize("count", [2, 11])
def test_a_core_that_has_several_items_gives_the_bits_of_each_alone(count):
    items = [{"x": np.float32(start), "y": np.full(3, start, np.float32)} for start in range(count)]
    steps = [np.int32(3 * item) for item in range(count)]

    @jax.jit
    def work(item, steps, rate):
        def one(state):
            return {"x": state["x"] + 1, "y": jnp.tanh(state["y"] - rate * jnp.sin(state["y"]))}

        return jax.lax.while_loop(lambda state: state["x"] < steps, one, item)

    def on_a_core(_):
        return for_each(work, items, np.float32(0.3), beside=(steps,))

    alone = [
        for_each(work, [item], np.float32(0.3), beside=([own],))[0] for item, own in zip(items, steps, strict=True)
    ]
    for together in spread(on_a_core, range(2)):
        assert len(together) == count
        for one, other in zip(together, alone, strict=True):
            assert one["x"] == other["x"]
            assert one["y"].tobytes() == other["y"].tobytes()


def test_on_one_core_nothing_is_spread_further():
    def threads(_):
        return {threading.get_ident(), *spread(lambda _: threading.get_ident(), range(4))}

    assert all(len(idents) == 1 for idents in spread(threads, range(2)))


def test_the_threads_of_a_block_compute_where_the_block_does():
    run(
        """
import jax, jax.numpy as jnp
from nucleate.devices import device, spread
first, second = jax.devices()
with jax.default_device(second):
    assert device() == second
    assert spread(lambda _: jnp.zeros(1).devices(), range(4)) == [{second}] * 4
assert device() == first
""",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
