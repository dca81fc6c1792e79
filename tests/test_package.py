"""The public names, and that a verb is both a folder and a function."""

import subprocess
import sys

import pytest

import nucleate


@pytest.mark.parametrize("name", nucleate.__all__)
def test_every_public_name_is_there(name):
    assert getattr(nucleate, name) is not None
    assert name in dir(nucleate)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'condense'"):
        nucleate.condense  # noqa: B018


@pytest.mark.parametrize("first", ["import nucleate", "from nucleate.studies import Study; import nucleate"])
def test_sweep_is_a_function_and_a_folder_in_whatever_order_it_is_imported(first):
    code = f"{first}; assert callable(nucleate.sweep) and nucleate.Study"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_jax_already_runs_on_one_device_nucleate_says_so():
    code = (
        "import jax; jax.numpy.ones(1).block_until_ready()\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import nucleate.devices as setup\n"
        "assert setup.CORES == 1"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 or "JAX was already running with 1 device(s)" in result.stderr
