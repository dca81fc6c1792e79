"""The public names, and that verbs are functions."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from enum import Enum
from typing import Protocol

import pytest

import nucleate
from nucleate import theory

PACKAGES = ["nucleate", *(f"nucleate.{found.name}" for found in pkgutil.iter_modules(nucleate.__path__) if found.ispkg)]


def public_classes():
    """Every class that some package lists in its ``__all__``, once."""
    packages = [importlib.import_module(name) for name in PACKAGES]
    listed = [getattr(package, name) for package in packages for name in getattr(package, "__all__", ())]
    defined = {id(one): one for one in listed if inspect.isclass(one)}
    return [one for one in defined.values() if not issubclass(one, (Enum, Exception, Protocol))]


@pytest.mark.parametrize("name", nucleate.__all__)
def test_every_public_name_is_there(name):
    assert getattr(nucleate, name) is not None
    assert name in dir(nucleate)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'condense'"):
        nucleate.condense  # noqa: B018


def process(code):
    """What a new process prints that runs this code."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", [name for name in PACKAGES[1:] if name != "nucleate.cli"])
def test_every_package_is_there_once_nucleate_is_imported(name, monkeypatch):
    room = name.removeprefix("nucleate.")
    monkeypatch.delattr(nucleate, room, raising=False)
    assert getattr(nucleate, room) is importlib.import_module(name)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_lists_its_names_before_any_is_loaded(name):
    package = importlib.import_module(name)
    assert {*package.__all__} <= {*dir(package)}


@pytest.mark.slow
def test_sweep_is_a_function_in_whatever_order_it_is_imported():
    process("from nucleate.studies import Study; import nucleate; assert callable(nucleate.sweep) and nucleate.Study")


@pytest.mark.parametrize("known", public_classes(), ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_every_public_class_says_what_it_has(known):
    if inspect.signature(known).parameters:
        assert re.search(r"^(Parameters|Attributes)\n---", inspect.getdoc(known) or "", re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in theory.__all__ if inspect.isfunction(getattr(theory, name))])
def test_every_statement_of_theory_says_whose_it_is(name):
    doc = getattr(theory, name).__doc__
    assert "arXiv" in doc or re.search(r"\bhere\b", doc)


NEEDLESS = {"diffrax", "sklearn", "scipy.stats", "matplotlib", "onnx", "plotly"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "done",
    [
        # One after the other in one process.
        {
            "nucleate.problems.describe_problems()": {"jax", "polars", "scipy", "pydantic"},
            "nucleate.forecast, nucleate.load_problem('diabetes')": NEEDLESS,
            "assert callable(nucleate.sweep) and nucleate.train": NEEDLESS,
            "nucleate.Network, nucleate.theory.blowup_time, nucleate.inspect": set(),
        },
        {"nucleate.CondensedRegressor, nucleate.reduce": {"diffrax", "matplotlib", "onnx", "nucleate.studies"}},
    ],
    ids=lambda done: ", then ".join(done),
)
def test_what_a_command_does_not_need_is_not_imported_and_numpys_random_numbers_stay(done):
    code = "".join(f"{work}; print(*({without} & set(sys.modules)))\n" for work, without in done.items())
    asked = "assert numpy.random.rand() == numpy.random.RandomState(0).rand()"
    assert process(f"import sys, numpy, nucleate; numpy.random.seed(0)\n{code}{asked}").split() == []
