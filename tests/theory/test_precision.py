"""In a fresh process and with JAX as it comes: float64 is what is given, and nothing of JAX's is set or started."""

import os
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from nucleate import devices, theory
from tests.theory.states import gaussian

pytestmark = pytest.mark.slow

CLEAN = """
    import importlib, pkgutil
    import jax
    from nucleate import theory

    for module in pkgutil.iter_modules(theory.__path__, "nucleate.theory."):
        importlib.import_module(module.name)
    # JAX lets the number of devices be set only while no backend has been started.
    jax.config.update("jax_num_cpu_devices", 3)
    assert jax.device_count("cpu") == 3
    assert not jax.config.jax_enable_x64
"""

FLOAT64 = """
    import jax, numpy as np
    from nucleate.theory import State, blowup_time, conditions, energy

    state = State(np.ones(2), np.ones((2, 3)), np.ones(3))
    for result in (*blowup_time(*state)[:3], energy(state)):
        assert not isinstance(result, jax.Array)
        assert result.dtype == "float64"
    assert isinstance(conditions(state).all_grow, np.ndarray)
    assert not jax.config.jax_enable_x64
    assert jax.numpy.ones(1).dtype == "float32"
"""


def in_a_fresh_process(code):
    # Without the settings of the shell that runs the tests, but for where compiled programs are kept.
    kept = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_")
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_") or name.startswith(kept)}
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True, env=env)


def test_importing_every_module_sets_nothing_of_jax_and_starts_no_backend():
    in_a_fresh_process(CLEAN)


def test_results_are_numpy_arrays_in_float64_and_the_setting_stays_as_it_is():
    in_a_fresh_process(FLOAT64)


def everything():
    """What every public function gives, but those that take a network."""
    layers, loss = gaussian(0, 3, 4), theory.completion_loss([0, 1], [1, 0], [3.0, 1.0])
    (a, W2, b), state, factors = layers, theory.State(*layers), theory.draw_factors((2, 2), 3, 0.1)
    return {
        "one": theory.blowup_time(*layers),
        "ensemble": theory.blowup_time(*(np.stack([layer, layer]) for layer in layers)),
        "two": theory.blowup_time(a, a),
        "linear": theory.linear_blowup_time(factors, np.eye(2)),
        "potential": theory.potential_blowup_time(theory.chain_potential, layers, 3),
        "chain": theory.chain_potential(layers),
        "product": theory.linear_potential(factors, np.eye(2)),
        "fractions": theory.states_at_fractions(layers, [0.5]),
        "times": theory.states_at_times(layers, [0.1]),
        "condensation": tuple(theory.condensation(*layers, np.ones(4))),
        "conditions": theory.conditions(state),
        "field": theory.vector_field(state),
        "energy": theory.energy(state),
        "integrals": theory.first_integrals(state),
        "split": theory.split_first_layer(W2, b),
        "solution": theory.two_layer_solution(factors[:2], np.eye(2), [1.0]),
        "losses": (loss(np.eye(2)), theory.sensing_loss([np.eye(2)], [1.0])(np.eye(2))),
        "forecast": tuple(theory.forecast_factorization(loss, factors)),
        "moment": theory.leading_moment(loss, factors),
        "end to end": theory.end_to_end(factors),
        "escape": theory.escape_time(loss, factors, 0.1),
    }


def test_whatever_the_users_setting_results_are_the_same_numpy_arrays_in_float64():
    results = []
    for setting in (False, True):
        with jax.enable_x64(setting):
            results.append(everything())
            assert jax.config.jax_enable_x64 is setting
    for name in results[0]:
        for off, on in zip(*(jax.tree.leaves(result[name]) for result in results), strict=True):
            assert isinstance(off, np.ndarray | np.generic | float), name
            assert isinstance(on, np.ndarray | np.generic | float), name
            assert np.asarray(off).dtype in (np.float64, np.int64, np.bool_), name
            np.testing.assert_array_equal(off, on, err_msg=name)


def test_traced_by_jax_a_formula_has_the_precision_of_whoever_traces():
    state = theory.State(*gaussian(0, 3, 4))
    with jax.enable_x64(False):
        assert jax.jit(theory.energy)(state).dtype == "float32"
        assert jax.jit(theory.conditions)(state).all_grow.dtype == "bool"
    with devices.float64():
        assert jax.grad(theory.energy)(state).W2.dtype == "float64"
