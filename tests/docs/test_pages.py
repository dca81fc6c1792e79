"""What the documentation says: its code runs, prints what it says, and names only tests and files that there are."""

import re
from importlib import import_module

import pytest

from nucleate.experiments import EXPERIMENTS
from tests.docs.blocks import OF_TORCH, PAGES, ROOT, run_blocks, same

pytestmark = pytest.mark.slow

TEXTS = [*PAGES, ROOT / "README.ja.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
FILE = re.compile(r"`((?:src|tests|benchmarks|examples|docs)/[\w./-]*\w)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[\w-]+)?\)")
NAME = re.compile(r"`(theory|observe|problems|optimizers|studies)\.(\w+)`")
FOOTNOTE = re.compile(r"\[\^([\w-]+)\]")
NAMES = [experiment.name for experiment in EXPERIMENTS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_block_of_the_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    if page in OF_TORCH:
        for extra in ("torch", "torch_pruning", "onnxscript"):
            pytest.importorskip(extra)
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


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_every_test_file_name_and_experiment_that_a_page_mentions_is_there(page):
    text = page.read_text("utf-8")
    for file, name in TEST.findall(text):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), flags=re.M), f"{file} has no {name}"
    for file in FILE.findall(text):
        assert (ROOT / file).exists(), f"{page.name} names {file}"
    for file in LINK.findall(text):
        assert (page.parent / file).exists(), f"{page.name} links to {file}"
    for room, name in NAME.findall(text):
        assert hasattr(import_module(f"nucleate.{room}"), name), f"{page.name} names {room}.{name}"
    named = set(re.findall(r"nucleate reproduce ([a-z][a-z-]+)", text))
    assert named <= {"list", "all", *NAMES}


def test_the_japanese_readme_has_the_same_commands_and_code():
    english, japanese = [_code((ROOT / name).read_text("utf-8")) for name in ("README.md", "README.ja.md")]
    assert len(english) > 10
    assert japanese == english


def test_the_page_of_verdicts_has_every_experiment_with_its_thresholds():
    text = (ROOT / "docs/reproduce.md").read_text("utf-8")
    table = text[text.index("| experiment | number |") :].partition("\n\n")[0].replace("\\|", "/").splitlines()[2:]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    assert [name for name, *_ in rows if name] == NAMES
    criteria = [criterion for experiment in EXPERIMENTS for criterion in experiment.criteria]
    verdict = ""
    for (_, _, threshold, quick, full, said), criterion in zip(rows, criteria, strict=True):
        verdict = said or verdict
        assert threshold == f"{criterion.relation} {criterion.threshold:.10g}"
        if full == "not measured":
            assert verdict.endswith("at the quick size")
        for number in (quick, full) if full != "not measured" else (quick,):
            value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
            assert criterion.met_by(value) or verdict == "**does not hold**"


def test_every_claim_of_the_theory_says_whose_it_is_and_what_verifies_it():
    text = (ROOT / "docs/theory.md").read_text("utf-8")
    tables = re.findall(r"^\| claim \| whose .*\n\|[-| ]+\n((?:\|.*\n)+)", text, flags=re.M)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in "".join(tables).splitlines()]
    assert len(rows) > 20
    for _, whose, *_, tests in rows:
        assert re.search(r"\b(here|Chen and Luo|Zhou et al|Arora et al|Saxe et al)\b", whose), whose
        assert FOOTNOTE.search(tests), tests
        assert set(re.findall(r"`([\w-]+)`", tests)) <= set(NAMES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_footnote_names_a_test_and_is_used(page):
    text = page.read_text("utf-8")
    defined = dict(re.findall(r"^\[\^([\w-]+)\]: (.*)$", text, flags=re.M))
    used = set(FOOTNOTE.findall(re.sub(r"^\[\^.*$", "", text, flags=re.M)))
    assert used == set(defined)
    assert all(TEST.search(line) for line in defined.values())


def _code(text):
    """The indented commands and the Python lines of a readme, without comments and the report's language."""
    lines = re.findall(r"^    (.+)$", text, flags=re.M)
    lines += "".join(re.findall(r"```python\n(.*?)```", text, flags=re.S)).splitlines()
    return [re.sub(r"\s*#.*|--lang \w+", "", line) for line in lines]
