"""The public names, and that verbs are functions."""

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
def test_sweep_is_a_function_in_whatever_order_it_is_imported(first):
    code = f"{first}; assert callable(nucleate.sweep) and nucleate.Study"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("work", "without"),
    [
        ("nucleate.problems.describe_problems()", {"jax", "polars", "scipy", "pydantic"}),
        (
            "nucleate.forecast, nucleate.load_problem('diabetes')",
            {"diffrax", "sklearn", "matplotlib", "onnx", "plotly"},
        ),
        ("nucleate.sweep, nucleate.train", {"diffrax", "sklearn", "matplotlib", "onnx", "plotly"}),
    ],
)
def test_what_a_command_does_not_need_is_not_imported(work, without):
    code = f"import sys, nucleate; {work}; print(*({without} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
