"""What the documentation says: its code runs, prints what it says, and names only tests and files that there are."""

import re

import pytest

from nucleate.experiments import EXPERIMENTS
from tests.docs.blocks import PAGES, ROOT, run_blocks, same

TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
FILE = re.compile(r"`((?:src|tests|benchmarks|examples|docs)/[\w./-]*\w)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_block_of_the_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = run_blocks(page)
    fences = len(re.findall(r"^```(?:python|console)$", page.read_text("utf-8"), flags=re.M))
    assert blocks >= fences


@pytest.mark.parametrize(
    ("expected", "printed", "verdict"),
    [
        ("loss 1.00 at step 7", "loss 1.04  at\nstep 7\n", True),
        ("loss 1.00", "loss 1.10", False),
        ("loss 1.00", "gain 1.00", False),
        ("a 1 ... z 3", "a 1 b 2 z 3", True),
        ("a 1 ... z 3", "a 1 b 2 z 4", False),
        ("┏━━┓\n┃ 12 ┃", "┏━━━┓\n┃ 12 ┃", True),
    ],
)
def test_printing_is_compared_with_five_percent_of_room(expected, printed, verdict):
    assert same(expected, printed) is verdict


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_test_file_and_experiment_that_a_page_names_is_there(page):
    text = page.read_text("utf-8")
    for file, name in TEST.findall(text):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), flags=re.M), f"{file} has no {name}"
    for file in FILE.findall(text):
        assert (ROOT / file).exists(), f"{page.name} names {file}"
    named = set(re.findall(r"nucleate reproduce ([a-z][a-z-]+)", text))
    assert named <= {"list", "all", *(experiment.name for experiment in EXPERIMENTS)}


def test_the_page_of_verdicts_has_every_experiment_with_its_thresholds():
    text = (ROOT / "docs/reproduce.md").read_text("utf-8")
    table = text[text.index("| experiment |") :].partition("\n\n")[0].replace("\\|", "/").splitlines()[2:]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert [name for name, *_ in rows if name] == [experiment.name for experiment in EXPERIMENTS]
    criteria = [criterion for experiment in EXPERIMENTS for criterion in experiment.criteria]
    verdict = ""
    for (_, _, threshold, quick, full, said), criterion in zip(rows, criteria, strict=True):
        verdict = said or verdict
        assert threshold == f"{criterion.relation} {criterion.threshold:.10g}"
        for number in (quick, full):
            value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
            assert criterion.met_by(value) or verdict == "**does not hold**"


def test_every_claim_of_the_theory_stands_beside_what_verifies_it():
    tables = re.findall(
        r"^\| claim .*\n\|[-| ]+\n((?:\|.*\n)+)", (ROOT / "docs/theory.md").read_text("utf-8"), flags=re.M
    )
    rows = "".join(tables).splitlines()
    assert len(rows) > 20
    for row in rows:
        assert TEST.search(row) or "nucleate reproduce" in row, row
