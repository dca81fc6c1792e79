"""Weight decay as an axis of the grid, and schedules and clipping with it: trained, kept, told and drawn."""

import json
from dataclasses import replace

import numpy as np
import optax
import pytest

import nucleate
from nucleate import Study, StudyError, figures
from nucleate.estimators import CondensedRegressor
from nucleate.problems import load_problem
from nucleate.reporting import advise, report, say_outlook
from nucleate.studies import Cell, Findings, Plan, make_spec, study_findings, summarize
from nucleate.sweeping import outlooks
from nucleate.sweeping.chunks import train_chunks
from tests.cli.asking import ask

pytestmark = pytest.mark.slow

GRID = {"data": "diabetes", "hidden": [6], "steps": 40, "evaluations": 8, "gains": [1.0, 0.01], "lrs": [0.1]}
DECAYS = (0.0, 0.1, 2.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """At gain 0.01 and decay 2, larger than the moment's first singular value, the plateau never ends."""
    folder = tmp_path_factory.mktemp("decays") / "study"
    return nucleate.sweep(**GRID, weight_decays=DECAYS, seeds=2, out=folder, progress=False)


def test_every_scale_and_rate_has_every_decay(study):
    cells = [(scale, decay) for scale in GRID["gains"] for decay in DECAYS for _ in range(2)]
    assert study.results.select("gain", "weight_decay").rows() == cells
    assert study.forecasts.select("gain", "weight_decay").rows() == cells
    assert summarize(study).select("gain", "lr", "weight_decay").rows() == [
        (scale, 0.1, decay) for scale in GRID["gains"] for decay in DECAYS
    ]
    losses = study.results.filter(gain=1.0)["train_loss"].to_numpy()[::2]
    assert losses[0] < losses[1] < losses[2]


def test_a_run_is_that_of_train_with_its_decay(study):
    spec = study.spec
    start = Plan(spec).start(Plan(spec).runs[3], 10, 1)
    run = nucleate.train(start, study.load_problem(), learning_rate=0.1, weight_decay=0.1, steps=40, evaluations=8)
    assert study.results["train_loss"][3] == run.trajectory["train_loss"][-1]


def test_one_decay_makes_no_column_and_the_default_no_other_study(tmp_path):
    plain = make_spec(**GRID)
    same = make_spec(**GRID, weight_decays=[0], schedule="constant", warmup=0, clip=None)
    assert plain.digest == same.digest
    assert list(plain.axes) == ["gain", "lr"]
    assert Plan(plain).table.columns == ["run", "gain", "lr", "seed"]
    changes = ({"weight_decays": 0.1}, {"schedule": "cosine"}, {"warmup": 5}, {"clip": 1.0})
    assert len({plain.digest, *(plain.changed(**change).digest for change in changes)}) == 5


def test_a_chunk_that_was_put_away_goes_on_to_the_same_bits():
    schedule = {"optimizer": "adamw", "schedule": "cosine", "warmup": 10, "clip": 0.1}
    plan = Plan(make_spec(**GRID, weight_decays=DECAYS, **schedule))
    chunk, problem = plan.chunks[0], load_problem("diabetes")
    (whole,) = train_chunks(plan, [(chunk, None)], problem)
    asked = iter([False] * 3 + [True] * 100)
    (kept,) = train_chunks(plan, [(chunk, None)], problem, stop=lambda: next(asked))
    assert isinstance(kept, bytes)
    (again,) = train_chunks(plan, [(chunk, kept)], problem)
    assert again.results.drop("machine").equals(whole.results.drop("machine"))
    assert again.files == whole.files


def test_a_schedule_of_ones_own_is_kept_by_name_and_fingerprint(tmp_path):
    def halves(step):
        return 0.5 ** (step // 10)

    given = GRID | {"gains": [1.0], "out": tmp_path / "study", "progress": False}
    nucleate.sweep(**given, schedule=halves)
    read = Study.load(tmp_path / "study")
    assert (read.spec.schedule.name, read.spec.schedule.make) == ("halves", None)
    assert list(make_spec(**GRID, schedule=halves).definitions) == ["schedule 'halves'"]
    assert nucleate.sweep(**given, schedule=halves).missing == 0

    def halves(step):
        return 0.5 ** (step // 20)

    with pytest.raises(StudyError, match="schedule 'halves'"):
        nucleate.sweep(**given, schedule=halves)
    # What optax makes has one name for many.
    one, other = (make_spec(**GRID, schedule=optax.cosine_decay_schedule(1.0, steps)) for steps in (20, 40))
    assert one.definitions != other.definitions


def cell(scale, decay, validation, neurons, rate=0.1):
    few = neurons <= 2
    return Cell(
        scale, rate, decay, (0,), (0,), 1, 0, few, (neurons,), (neurons,), few, few, validation, validation, 5.0
    )


def test_small_starts_and_decays_are_held_against_the_largest_scale_of_least_decay(study):
    cells = (cell(1.0, 0.1, 0.5, 2.0), cell(1.0, 0.0, 0.7, 6.0), cell(0.01, 0.0, 0.6, 1.0), cell(0.01, 0.1, 0.8, 1.0))
    findings = Findings(study, cells, None)
    assert findings.largest_scale is cells[1]
    assert [findings.is_another_start(one) for one in cells] == [True, False, True, True]
    assert not findings.is_another_start(replace(cells[1], lr=0.3))


def test_a_decay_that_exceeds_growth_is_named_as_what_makes_the_plateau_endless(study):
    assert study.results.filter(gain=0.01, weight_decay=2.0)["stage"].unique().to_list() == ["initial plateau"]
    (outlook,) = (one for one in outlooks(study) if one.weight_decay == 2.0 and one.scale == 0.01)
    assert outlook.verdict == "decays away"
    assert "weight_decay" in {remedy.setting for remedy in outlook.remedies}
    assert "gain" not in {remedy.setting for remedy in outlook.remedies}
    english, japanese = (say_outlook(outlook, lang) for lang in ("en", "ja"))
    assert english.startswith("At gain 0.01, learning rate 0.1 and weight decay 2, 2 runs were")
    assert "never ends, in however many steps, for the weight decay shrinks the weights faster" in english
    assert "学習率 0.1、重み減衰 2 では" in japanese
    assert "重み減衰による縮小" in japanese


@pytest.mark.parametrize(
    ("lang", "corner", "grid", "label"),
    [
        (
            "en",
            "weight decay",
            "Each of these with weight decays 0, 0.1, 2",
            "gain 1, learning rate 0.1 and weight decay 0.1: ",
        ),
        ("ja", "重み減衰", "それぞれについて重み減衰 0, 0.1, 2", "gain 1、学習率 0.1、重み減衰 0.1："),
    ],
)
def test_the_page_maps_scale_against_decay(study, tmp_path, lang, corner, grid, label):
    page = report(study, lang=lang, out=tmp_path / "page.html").read_text("utf-8")
    assert f'<th scope="col">{corner}</th>' in page
    assert grid in page
    assert f'aria-label="{label}' in page


def test_a_page_without_decay_does_not_speak_of_it(tmp_path):
    plain = nucleate.sweep(**GRID, out=tmp_path / "study", progress=False)
    page = report(plain, out=tmp_path / "page.html").read_text("utf-8").split("<script")[0]
    assert "weight decay" not in page.lower().replace("_", " ")
    assert "schedule" not in page


def test_figures_have_the_decays_upright(study):
    panels = figures.phase_map(study).axes
    assert panels[0].get_ylabel() == "weight decay"
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["0", "0.1", "2"]
    titles = [axes.get_title() for axes in figures.loss_by_scale(study).axes]
    assert titles == [f"learning rate 0.1, weight decay {decay:g}" for decay in DECAYS]
    assert "weight decay 0.1, seed 0" in figures.cosine_heat_maps(study, weight_decay=0.1).get_suptitle()


def test_what_is_advised_names_the_decay(study):
    assert study_findings(study).largest_scale.weight_decay == 0
    assert "(gain 1 and weight decay 0)" in " ".join(advise(study)) or "gain 1 and weight decay 0," in " ".join(
        advise(study)
    )


def test_a_command_trains_with_decay_and_says_it(tmp_path):
    answer = ask(
        *("train", "diabetes", "--hidden", "6", "--steps", "40", "--evaluations", "8", "--optimizer", "adamw"),
        *("--weight-decay", "0.1", "--schedule", "cosine", "--warmup", "5", "--clip", "1", "--out", tmp_path / "run"),
        "--json",
    )
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["result"]["weight_decay"] == 0.1
    kept = Study.load(tmp_path / "run").spec
    assert (kept.weight_decays, kept.schedule.name, kept.warmup, kept.clip) == ((0.1,), "cosine", 5, 1.0)


def test_a_forecast_says_where_decay_exceeds_growth():
    grid = ("forecast", "diabetes", "--hidden", "6", "--gains", "0.01", "--lrs", "0.1", "--budget", "200")
    answer = ask(*grid, "--weight-decays", "0,2")
    assert answer.exit_code == 0, answer.stderr
    assert "In 1 of 2 runs (gain 0.01 lr 0.1 weight_decay 2) weight decay exceeds growth, so that" in answer.stdout
    told = json.loads(ask(*grid, "--weight-decays", "0,2", "--json").stdout)
    assert [row["decays_away"] for row in told["forecasts"]] == [False, True]
    assert told["recommendation"]["weight_decay"] == 0


def test_an_estimator_decays_and_schedules():
    x = np.random.default_rng(0).standard_normal((60, 4))
    y = x[:, 0] + x[:, 1] ** 2
    given = {"hidden": (5,), "scale": 1.0, "optimizer": "adamw", "steps": 60}
    sizes = [
        np.linalg.norm(CondensedRegressor(**given, weight_decay=decay, schedule="cosine").fit(x, y).network_.weights[0])
        for decay in (0.0, 1.0)
    ]
    assert sizes[1] < 0.9 * sizes[0]
    with pytest.raises(nucleate.SpecError, match="give the weight decay too"):
        CondensedRegressor(**given).fit(x, y)
