"""`nucleate demo`, on a small grid: the whole story, its order, what it prints, and going on after an interruption."""

import json
import re

import pytest

from nucleate import demo
from nucleate.reduction import load_reduction
from nucleate.studies import Study, make_spec, recommended_run
from nucleate.sweeping import runner
from nucleate.sweeping.chunks import forecast_chunk

from .asking import ask

pytestmark = pytest.mark.slow

SMALL = make_spec(data="diabetes", hidden=[12, 12], gains=[1.0, 0.03], lrs=[0.2], seeds=2, steps=200, evaluations=8)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the demo says, and where it left its things."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "demo_spec", lambda: SMALL)
        # Its sweep has nothing to forecast.
        patch.setattr(runner, "forecast_chunk", None)
        return run(out), out


def run(out, *arguments):
    return ask("demo", "--out", out, *arguments)


def test_it_tells_the_four_stages_in_their_order_and_ends_with_the_page(told):
    result, out = told
    assert result.exit_code == 0
    stages = re.findall(r"^\d/4 \w+(?=:)", result.stderr, flags=re.M)
    assert stages == ["1/4 forecast", "2/4 sweep", "3/4 reduce", "4/4 report"]
    said = result.stdout
    order = ["forecast to end", "The smallest scale that 200 steps are enough for: gain 0.03", "validation rmse"]
    order += ["hidden widths 12,12 become", "times as fast", "loss.png", "phase_map.png", "report-ja.html"]
    places = [said.index(part) for part in order]
    assert places == sorted(places)
    assert said.splitlines()[-1] == str(out / "report-en.html")


def test_the_forecast_is_that_of_the_study_and_the_reduction_that_of_the_recommended_run(told, tmp_path):
    _, out = told
    study = Study.load(out / "study")
    plateaus, recommendation = demo.forecast_plateaus(SMALL, tmp_path / "study")
    small = study.forecasts.filter(gain=0.03)["drop_1_percent"]
    assert plateaus.filter(gain=0.03)["0.2"].item() == small.median()
    assert plateaus.filter(gain=1.0)["0.2"].item() is None
    assert recommendation.scale == 0.03
    assert load_reduction(study.path / "reduction").run == recommended_run(study)


def test_what_it_forecasts_is_what_its_sweep_would(told):
    _, out = told
    study, problem = Study.load(out / "study"), SMALL.load_problem()
    (chunk,) = study.plan.chunks
    assert study.forecasts.equals(forecast_chunk(study.plan, chunk, problem))


def test_the_page_shows_both_and_the_figures_are_there(told):
    _, out = told
    page = (out / "report-en.html").read_text("utf-8")
    kept = load_reduction(out / "study" / "reduction")
    assert f"{kept.parameters.after} of {kept.parameters.before} parameters" in page
    assert "Forecast against outcome" in page
    assert "有効ダイナミクス" in (out / "report-ja.html").read_text("utf-8")
    for name in ("loss.png", "cosine.png", "phase_map.png"):
        assert (out / name).stat().st_size > 10_000


def test_again_it_does_nothing_twice_and_as_json_it_is_one_object(told, monkeypatch):
    _, out = told
    monkeypatch.setattr(demo, "demo_spec", lambda: SMALL)
    monkeypatch.setattr(demo, "reduce_study", None)
    answer = json.loads(run(out, "--json").stdout)
    assert answer["report"] == str(out / "report-en.html")
    assert answer["reduction"]["hidden"]["before"] == [12, 12]
    assert len(answer["table"]) == len(answer["forecast"]) == 2


def test_interrupted_while_reducing_it_keeps_the_study_and_goes_on(told, monkeypatch):
    _, out = told

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo_spec", lambda: SMALL)
    monkeypatch.setattr(demo, "kept_reduction", interrupt)
    result = run(out)
    assert result.exit_code == 130
    assert f"what is done is kept in {out}. The same command goes on from there." in result.stderr
