"""The built site: without a warning, complete, and in need of nothing from elsewhere."""

import os
import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest
from mkdocstrings import Inventory

import nucleate
from tests.docs.blocks import ROOT

ROOMS = ["training", *(name for name in nucleate.__all__ if isinstance(getattr(nucleate, name), ModuleType))]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.parametrize("room", ["nucleate", *(f"nucleate.{room}" for room in ROOMS)])
def test_every_public_name_is_in_the_reference(site, room):
    with (site / "objects.inv").open("rb") as file:
        documented = set(Inventory.parse_sphinx(file, domain_filter=["py"]))
    module = import_module(room)
    for name in module.__all__:
        # A function named as its module, as verbs are, is documented within that; other rooms have pages.
        if callable(getattr(module, name)) or not isinstance(getattr(module, name), ModuleType):
            assert {f"{room}.{name}", f"{room}.{name}.{name}"} & documented, f"{room}.{name} is not in the reference"


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(r"<(?:script|img|iframe|link[^>]+stylesheet)[^>]+(?:src|href)=\"?(?:https?:)?//")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    assert [page for page in pages if loaded.search(page.read_text("utf-8"))] == []
