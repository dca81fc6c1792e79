"""The code blocks of the documentation's pages, run in their order, and held to what the pages say they print.

``python`` blocks of a page share one namespace. A ``console`` block holds ``$ command`` lines, each followed by what
the command prints; a ``text`` block after a ``python`` block is what that printed. Numbers may be off by five percent,
as they are from machine to machine, white space and the lines of tables do not count, and ``...`` stands for anything.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sysconfig
import warnings
from pathlib import Path

from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from tests.cli.asking import ask

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_TORCH = [page for page in PAGES if "\nimport torch\n" in page.read_text("utf-8")]
"""Those whose code needs the extra `torch`."""

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_BLANK = r"[\s─━┌┐└┘├┤┬┴┼┏┓┗┛┡┩╇┳┻╋│┃]"
_PIECE = re.compile(rf"(?P<gap>\.\.\.)|(?P<number>{_NUMBER})|(?P<blank>{_BLANK}+)|(?P<other>.)")
_PATTERNS = {"gap": ".*?", "number": f"({_NUMBER})", "blank": f"{_BLANK}*"}
_TOLERANCE = 0.05


def run_blocks(page: Path) -> int:
    """Run the page's blocks in the present folder; returns how many there were."""
    parsers = [CodeBlockParser(language, run) for language, run in _RUN.items()]
    examples = list(Document.parse(str(page), *parsers))
    for example in examples:
        example.evaluate()
    return len(examples)


def same(expected: str, printed: str) -> bool:
    """Whether a program printed what a page says, as loosely as this module promises."""
    pieces = [(match.lastgroup, match.group()) for match in _PIECE.finditer(expected.strip())]
    found = re.fullmatch("".join(_PATTERNS.get(kind, re.escape(text)) for kind, text in pieces), printed.strip(), re.S)
    if found is None:
        return False
    numbers = [float(text) for kind, text in pieces if kind == "number"]
    return all(
        abs(float(got) - wanted) <= _TOLERANCE * abs(wanted)
        for got, wanted in zip(found.groups(), numbers, strict=True)
    )


def _python(example: Example) -> None:
    example.namespace.setdefault("__name__", "__main__")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        PythonEvaluator()(example)
    example.document.printed = printed.getvalue()


def _text(example: Example) -> str | None:
    return _difference(example.parsed, getattr(example.document, "printed", ""))


def _console(example: Example) -> str | None:
    commands = re.split(r"^\$ ", example.parsed.replace("\\\n", ""), flags=re.M)
    if commands[0].strip():
        return f"The block does not begin with '$ ': {commands[0]}"
    for block in commands[1:]:
        command, _, expected = block.partition("\n")
        done = _run(command)
        if done.returncode != 0:
            return f"{command} ended with exit code {done.returncode}:\n{done.stderr}"
        if expected.strip() and (difference := _difference(expected, done.stdout)):
            return f"{command}: {difference}"
    return None


def _run(command: str) -> subprocess.CompletedProcess[str]:
    cwd = None
    if command.startswith("nucleate ") and not set(command) & set("|&;<>$`*"):
        # In this process, which has imported everything, and compiled much.
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            return subprocess.CompletedProcess(command, *ask(*shlex.split(command)[1:]))
    if command.startswith("make "):
        # The targets themselves take minutes; that make knows them is what a page can get wrong.
        command, cwd = command.replace("make ", "make --dry-run ", 1), ROOT
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=cwd, env=os.environ | {"PATH": path}, check=False
    )


def _difference(expected: str, printed: str) -> str | None:
    return None if same(expected, printed) else f"the page says\n{expected}\nbut what was printed is\n{printed}"


_RUN = {"python": _python, "text": _text, "console": _console}
