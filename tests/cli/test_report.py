"""`nucleate report` and `nucleate plot` as their users meet them."""

import json
import os

import pytest

from nucleate import sweep
from nucleate.cli import main
from nucleate.cli.after_commands import PICTURES
from nucleate.reduction import reduce_study

pytestmark = pytest.mark.slow

STARTS = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds a small study, reduced."""
    folder = tmp_path_factory.mktemp("report")
    grid = {"gains": [1.0, 0.05], "lrs": [0.2], "hidden": [12, 12], "steps": 150, "evaluations": 8}
    study = sweep("diabetes", **grid, out=folder / "study", progress=False)
    reduce_study(study, study.load_problem(), method="merge")
    return folder


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """Runs a command beside the study; gives its exit code and what it printed where."""

    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["nucleate", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return left.value.code, told.out, told.err

    return run


def test_report_prints_the_path_of_the_page_it_wrote(command, folder):
    assert command("report", "study", "--lang", "ja", "--out", "page.html") == (0, "page.html\n", "")
    assert (folder / "page.html").read_text("utf-8").startswith('<!doctype html>\n<html lang="ja">')


def test_report_as_json_is_one_object(command, folder):
    answer = json.loads(command("report", "study", "--json")[1])
    assert answer == {"report": "report.html", "bytes": (folder / "report.html").stat().st_size}


@pytest.mark.parametrize("kind", PICTURES)
def test_plot_draws_every_kind(command, folder, kind):
    ending = list(STARTS)[list(PICTURES).index(kind) % 3]
    _, said, _ = command("plot", "study", "--kind", kind, "--out", f"picture.{ending}", "--json")
    assert json.loads(said) == {"figure": f"picture.{ending}"}
    assert (folder / f"picture.{ending}").read_bytes().startswith(STARTS[ending])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "absent"], "absent holds no study (there is no spec.json)"),
        (["report", "study/spec.json"], "holds no study"),
        (["report", "study", "--lang", "fr"], "There is no language 'fr'; choose one of en, ja"),
        (["report", "study", "--out", "study"], "study cannot be written (it is a folder); choose another file"),
        (["report", "study", "--out", "study/data.json"], "data.json is there already and is no page, so it would be"),
        (["report", "study", "--out", "absent/page.html"], "page.html cannot be written (No such file or directory)"),
        (["report", "study", "--out", "study/spec.json/page.html"], "cannot be written (Not a directory)"),
        (["plot", "absent"], "absent holds no study"),
        (["plot", "study", "--kind", "pie"], "There is no picture 'pie'; choose one of loss, cosine, phase"),
        (["plot", "study", "--out", "picture.docx"], "has no ending that is known; give it .pdf, .png or .svg"),
        (["plot", "study", "--out", "absent/picture.pdf"], "cannot be written"),
        (["plot", "study", "--kind", "trajectory", "--run", "7"], "has no finished run 7; its runs are 0 to 1"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(command, folder, arguments, says):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not list(folder.rglob("*.part"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written_is_one_sentence(command, folder):
    (folder / "closed").mkdir(mode=0o500)
    assert "cannot be written (Permission denied)" in command("report", "study", "--out", "closed/page.html")[2]
