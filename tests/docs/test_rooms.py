"""The table of rooms in docs/architecture.md is the house as it stands: all rooms, in the order of their imports."""

import ast
import inspect
import re
import textwrap
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/nucleate"
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
TABLE = PAGE.split("| room |")[1].split("\n\n")[0]
ROOMS = [name.strip("/") for row in TABLE.splitlines()[2:] for name in re.findall(r"`([\w/]+)`", row.split("|")[1])]


def room_of(file):
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = {room: [file for file in sorted(SOURCE.rglob("*.py")) if room_of(file) == room] for room in ROOMS}


def imports(file):
    """The modules of this package that a file imports, anywhere in it, with the names that it takes of them."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nucleate":
            yield node.module.split(".")[1:], {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("nucleate."):
                    yield alias.name.split(".")[1:], set()


def test_the_table_has_every_room_once():
    there = {room_of(file) for file in SOURCE.rglob("*.py")} - {"__init__", "__main__"}
    assert sorted(ROOMS) == sorted(there)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_the_rooms_above_it(room):
    above = ROOMS[: ROOMS.index(room)]
    for file in FILES[room]:
        for module, names in imports(file):
            taken = {module[0]} if module else names & {*ROOMS}
            assert taken <= {*above, room}, (file, module, names)


def test_no_module_is_imported_back_by_one_that_it_imports():
    """Not even within a function, or for the types alone."""
    files = {file.relative_to(SOURCE).with_suffix("").parts: file for file in SOURCE.rglob("*.py")}
    files = {place: file for place, file in files.items() if file.name != "__init__.py"}
    graph = {
        place: {
            found
            for module, names in imports(file)
            for found in ((*module, name) if (*module, name) in files else (*module,) for name in {*names, ""})
            if found in files
        }
        for place, file in files.items()
    }
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_package_makes_public_is_imported_from_it(room):
    for file in FILES[room]:
        for module, names in imports(file):
            if len(module) > 1 and module[0] != room:
                public = import_module(f"nucleate.{module[0]}").__all__
                assert not names & {*public}, (file, module, names)


def public_callables(room):
    """The functions that a room, or the package itself, makes public, and the methods of its classes."""
    module = import_module(f"nucleate.{room}".rstrip("."))
    for name in getattr(module, "__all__", ()):
        each = getattr(module, name)
        if inspect.isclass(each) and each.__module__.startswith("nucleate."):
            methods = {method: getattr(each, method) for method in vars(each) if not method.startswith("_")}
            # Without properties, fields, and functions that a field is by default.
            yield from (
                (f"{name}.{method}", body)
                for method, body in methods.items()
                if getattr(body, "__qualname__", "") == f"{each.__qualname__}.{method}"
            )
        elif inspect.isfunction(each):
            yield name, each


def sections_of(each):
    """The sections that the docstring of a function owes its reader."""
    signature = inspect.signature(each)
    body = ast.parse(textwrap.dedent(inspect.getsource(each)))
    if {*signature.parameters} - {"self", "cls"}:
        yield "Parameters"
    if signature.return_annotation not in (None, "None", "NoReturn"):
        yield "(Returns|Yields)"
    if any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(body)):
        yield "Raises"


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_what_is_public_says_what_it_takes_returns_and_raises(room):
    silent = [
        (name, section)
        for name, each in public_callables(room)
        for section in sections_of(each)
        if not re.search(rf"^{section}\n---", inspect.getdoc(each) or "", re.MULTILINE)
    ]
    assert not silent


def test_the_places_that_it_names_for_new_things_are_there():
    places = re.findall(r"`((?:src|tests)/[\w/.]+)`", PAGE)
    assert len(places) > 15
    assert all((ROOT / place).exists() for place in places)
