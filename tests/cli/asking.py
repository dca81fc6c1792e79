"""A command asked in this process, which has imported everything already."""

import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple
from unittest.mock import patch

import pytest

from nucleate.cli import main


class Answer(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


def ask(*arguments, cwd="."):
    """The exit code of a command, and what it prints where."""
    printed, said = StringIO(), StringIO()
    with (
        patch.object(sys, "argv", ["nucleate", *map(str, arguments)]),
        chdir(cwd),
        redirect_stdout(printed),
        redirect_stderr(said),
        pytest.raises(SystemExit) as left,
    ):
        main()
    return Answer(left.value.code, printed.getvalue(), said.getvalue())


def refusal(*arguments, cwd="."):
    """What a command says that refuses: one line on standard error, nothing on standard output, exit code 2."""
    answer = ask(*arguments, cwd=cwd)
    assert answer.exit_code == 2, answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    return answer.stderr
