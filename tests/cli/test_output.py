"""What commands print: nothing in it steers a terminal, nothing is cut, and under --json it is one object."""

import json

import pytest

from nucleate.cli.output import print_json, print_records, say

from .asking import ask

STEERS = "[red]a\x1b[2J\rb\x07\u202ec\x9bd"
HARMLESS = "[red]a\\x1b[2J\\rb\\x07\\u202ec\\x9bd"


def test_a_line_shows_what_would_steer_the_terminal(capsys):
    say(f"The column {STEERS} is kept.\nAnd a second line.")
    assert capsys.readouterr().out == f"The column {HARMLESS} is kept.\nAnd a second line.\n"


def test_a_table_shows_markup_and_what_would_steer_the_terminal(capsys):
    print_records([{STEERS: STEERS, "rows": 3}])
    printed = capsys.readouterr().out
    assert printed.count(HARMLESS) == 2
    assert "\x1b" not in printed


def test_json_says_the_same_to_a_parser_and_holds_nothing_that_steers(capsys):
    content = {"name": STEERS, "loss": [float("nan"), float("inf"), 1.0], "unpaired": "\udcff"}
    print_json(content)
    printed = capsys.readouterr().out
    assert json.loads(printed) == content | {"loss": [None, None, 1.0]}
    assert not {"\x1b", "\r", "\x07", "\u202e", "\x9b", "\udcff"} & set(printed)


@pytest.mark.parametrize("columns", [None, "0", "20", "80"])
def test_no_value_of_a_table_is_cut_however_narrow_the_place(capsys, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    values = [f"value{number}" for number in range(20)]
    print_records([{f"name{number}": value for number, value in enumerate(values)}])
    printed = capsys.readouterr().out
    assert all(value in printed for value in values)
    assert (printed.count("\n") == 5) == (columns is None)


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (["train", "absent.csv"], "DataError", "There is no file absent.csv"),
        (["train", "sine-5d", "--steps", "x"], "UsageError", "--steps is 'x'; it must be a whole number."),
        (["train", "--stepps", "3"], "UsageError", "did you mean '--steps'"),
        (["report"], "UsageError", "`nucleate report` needs STUDY; see `nucleate report --help`."),
        (["smelt"], "UsageError", "There is no command 'smelt'"),
        (["plot", "absent"], "StudyError", "absent holds no study"),
        (["train", "sine-5d", "--gain", "nan"], "SpecError", "init scale gain is nan"),
    ],
)
def test_under_json_a_refusal_is_an_object_too(arguments, kind, says):
    answer = ask(*arguments, "--json")
    error = json.loads(answer.stdout)["error"]
    assert (answer.exit_code, error["exit_code"], error["kind"]) == (2, 2, kind)
    assert says in error["message"]
    assert answer.stderr == f"nucleate: {error['message']}\n"


def test_under_json_help_is_an_object_too():
    assert "Usage: nucleate train" in json.loads(ask("train", "--help", "--json").stdout)["text"]


def test_what_fails_in_nucleate_itself_is_a_sentence_with_a_code_of_its_own(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("nucleate.problems.describe_problems", fail)
    answer = ask("problems", "--json")
    assert answer.exit_code == json.loads(answer.stdout)["error"]["exit_code"] == 70
    assert answer.stderr == (
        "nucleate: something in nucleate failed (ZeroDivisionError: division by zero); run nucleate --debug problems "
        "--json to see where, and please report it with what that prints.\n"
    )
    assert "in fail\n" in ask("--debug", "problems").stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "There is too little memory; make the hidden widths"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), "There is too little memory"),
        (PermissionError(13, "Permission denied", "a\x1bb"), "a\\x1bb cannot be used (Permission denied); check the"),
        (KeyboardInterrupt(), "interrupted; nothing is kept. The same command begins anew."),
        (KeyboardInterrupt(15), "interrupted by SIGTERM; nothing is kept."),
    ],
)
def test_what_the_surroundings_do_is_a_sentence(monkeypatch, error, says):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("nucleate.problems.describe_problems", fail)
    assert f"nucleate: {says}" in ask("problems").stderr
