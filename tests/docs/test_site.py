"""The built site: without a warning, complete, and in need of nothing from elsewhere."""

import os
import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest
from mkdocstrings import Inventory

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.slow

ROOMS = [
    "problems",
    "observe",
    "theory",
    "training",
    "forecasting",
    "exports",
    "studies",
    "sweeping",
    "reduction",
    "figures",
    "experiments",
    "reporting",
]


# A process for each signature says where its lines break, which nothing here asks.
BUILD = """
from mkdocs.__main__ import cli
from mkdocstrings_handlers.python._internal import rendering
rendering._get_formatter = lambda: lambda code, width: code + "\\n"
cli()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", BUILD, "build", "--strict", "--quiet", "--site-dir", str(folder)]
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
        if not isinstance(getattr(module, name), ModuleType):
            # A function named as its module is documented within that.
            assert {f"{room}.{name}", f"{room}.{name}.{name}"} & documented, f"{room}.{name} is not in the reference"


def test_every_formula_is_typeset(site):
    page = (site / "theory" / "index.html").read_text("utf-8")
    assert page.count('class="arithmatex"') > 200
    assert "katex/katex.min.js" in page
    assert not re.search(r"\$[^$<]{1,80}\$", re.sub(r"<(script|code)[\s\S]*?</\1>", "", page))
    fonts = re.findall(r"url\((fonts/[\w-]+\.woff2)\)", (site / "katex" / "katex.min.css").read_text("utf-8"))
    assert fonts
    assert [font for font in fonts if not (site / "katex" / font).exists()] == []


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(r"<(?:script|img|iframe|link[^>]+stylesheet)[^>]+(?:src|href)=\"?(?:https?:)?//")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    assert [page for page in pages if loaded.search(page.read_text("utf-8"))] == []
