"""Nothing that the package does changes the process it runs in, and float64 asked for is float64 got."""

import os
import pkgutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import nucleate
from nucleate.devices import float64, for_each, in_float64, single_blas_thread

pytestmark = pytest.mark.slow

IMPORT_ALL = """
import importlib, pkgutil, jax
from jax._src import xla_bridge
before = dict(jax.config.values)
import nucleate
for module in pkgutil.walk_packages(nucleate.__path__, "nucleate."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not xla_bridge._backends, "importing started a backend"
assert before == dict(jax.config.values)
assert nucleate.activation_names() == NAMES, nucleate.activation_names()
"""
NAMES = ("linear", "tanh", "relu", "leaky_relu", "xtanh", "sigmoid_shifted", "softplus_shifted", "gelu", "silu")
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
nucleate.devices.MOST_MAPS = 3000
traced, maps = [], []
own = jax.jit(lambda x: traced.append(x) or x + 1)
own(1.0)
problem = nucleate.load_problem("sine-5d")
for width in range(1, 501):
    network = nucleate.Network.create(5, [width], 1, scale=nucleate.InitScale("gain", 0.5))
    network(problem.train.x)
    if width % 50 == 0:
        nucleate.train(network, problem, learning_rate=0.01, steps=4, evaluations=4)
    if width % 10 == 0:
        maps.append(Path("/proc/self/maps").read_bytes().count(b"\\n"))
assert max(maps) < 5000, maps
assert maps != sorted(maps), "nothing was let go"
own(1.0)
assert len(traced) == 1, "a function of the user's was let go"
"""


def run(code, timeout=600, **environment):
    code = f"NAMES = {NAMES}\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


def test_importing_every_module_starts_no_backend_registers_nothing_and_changes_no_setting():
    run(IMPORT_ALL)


@pytest.mark.parametrize("x64", ["0", "1"])
def test_every_verb_leaves_jaxs_settings_alone_and_computes_in_the_precision_asked_for(x64):
    run(VERBS, JAX_ENABLE_X64=x64)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_after_the_import_trains():
    run(
        IMPORT_ALL
        + """
import os, warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    network = nucleate.Network.create(5, [4], 1, scale=nucleate.InitScale("gain", 1.0))
    nucleate.train(network, nucleate.load_problem("sine-5d"), steps=3, learning_rate=0.01)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )


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


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_for_each_keeps_the_order_and_computes_wide(count):
    square = jax.jit(lambda item, shift: item["x"] ** 2 + shift)
    items = [{"x": np.array([1e-200 * k])} for k in range(count)]
    found = for_each(square, items, np.array(0.0))
    assert [float(value[0]) for value in found] == [0.0] * count
    with float64():
        assert jnp.zeros(1).dtype == np.float64


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="this system has no such limit")
def test_a_process_that_compiles_500_architectures_stays_near_the_bound_of_memory_maps():
    run(MANY_ARCHITECTURES, timeout=1800)


def test_an_error_in_one_thread_is_raised():
    def fail(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item"):
        for_each(fail, [1, 2, 3])


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
    with single_blas_thread():
        threads = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
    assert len(threads) >= 2
    assert all(count == 1 for file, count in threads.items() if "blas" in file)
