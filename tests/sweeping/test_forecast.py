"""A study's forecast and the scale it recommends."""

import numpy as np
import pytest

from nucleate import Problem, SpecError
from nucleate.studies import Plan, make_spec
from nucleate.sweeping import forecast_study, measure_study, recommend_scale, tabulate_forecasts
from nucleate.sweeping.chunks import forecast_chunk
from nucleate.training import train_many

pytestmark = pytest.mark.slow

SPEC = make_spec(data="diabetes", hidden=[30, 30], epsilons=[0.01, 0.005], lrs=[0.1, 0.05], seeds=2)
PROBLEM = SPEC.load_problem()


@pytest.fixture(scope="module")
def forecasts():
    return forecast_study(SPEC, PROBLEM, horizon=20_000)


def test_every_run_of_the_plan_is_forecast_and_tabled(forecasts):
    assert [run for run, _ in forecasts] == list(Plan(SPEC).runs)
    table = tabulate_forecasts(SPEC, forecasts)
    assert table.select("epsilon", "lr", "seed").rows()[:3] == [(0.01, 0.1, 0), (0.01, 0.1, 1), (0.01, 0.05, 0)]
    assert "measured_10_percent" not in table.columns


def test_a_chunk_is_forecast_to_the_same_rows_in_a_table_of_its_own(forecasts):
    plan = Plan(SPEC.changed(steps=20_000))
    assert forecast_chunk(plan, plan.chunks[0], PROBLEM).equals(tabulate_forecasts(SPEC, forecasts))


def test_measuring_puts_the_outcome_beside(forecasts):
    table = tabulate_forecasts(SPEC, forecasts, measure_study(SPEC, PROBLEM, forecasts))
    for row in table.iter_rows(named=True):
        assert row["lower_10"] <= row["measured_10_percent"] <= row["upper_10"]


def test_the_smallest_scale_within_the_budget_is_recommended_with_its_fastest_rate(forecasts):
    latest = {
        (run.scale, run.learning_rate): max(
            forecast.drop_steps[0.3].upper
            for other, forecast in forecasts
            if (other.scale, other.learning_rate) == (run.scale, run.learning_rate)
        )
        for run, _ in forecasts
    }
    assert recommend_scale(SPEC, forecasts, budget=20_000)[:3] == (0.005, 0.1, latest[0.005, 0.1])
    assert recommend_scale(SPEC, forecasts, budget=latest[0.005, 0.1] - 1)[:3] == (0.01, 0.1, latest[0.01, 0.1])
    assert recommend_scale(SPEC, forecasts, budget=5) is None


def test_a_budget_that_the_forecasts_do_not_reach_is_refused(forecasts):
    with pytest.raises(SpecError, match="do not reach to a budget of 30000 steps; make them with budget=30000"):
        recommend_scale(SPEC, forecasts, budget=30_000)


def staircase():
    """Three outputs learned one after another: singular values 1, 0.5 and 0.25."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (3, 5))
    x = rng.standard_normal((200, 5))
    return Problem.from_arrays(x, x @ (right * [1, 0.5, 0.25]) @ left.T)


@pytest.mark.parametrize("problem", [PROBLEM, staircase()], ids=["diabetes", "staircase"])
def test_within_every_budget_the_recommended_scale_trains_to_a_loss_among_the_lowest(problem):
    spec = make_spec(data="diabetes", hidden=[30, 30], epsilons=[0.03, 0.01, 0.005], lrs=[0.1, 0.05])
    forecasts = forecast_study(spec, problem, horizon=900)
    runs = [run for run, _ in forecasts]
    cells, rates = [(run.scale, run.learning_rate) for run in runs], [run.learning_rate for run in runs]
    starts = [Plan(spec).start(run, problem.inputs, problem.outputs) for run in runs]
    recommended = set()
    for budget in (75, 170, 230, 350, 900):
        found = recommend_scale(spec, forecasts, budget=budget)
        training = train_many(starts, problem, learning_rates=rates, steps=budget, evaluations=4)
        trained = {cell: run.trajectory["train_loss"][-1] for cell, run in zip(cells, training, strict=True)}
        start = max(forecast.loss[0] for _, forecast in forecasts)
        # What an activation's bend leaves of an exactly linear target is below a hundredth of the start.
        assert trained[found.scale, found.lr] <= 1.15 * min(trained.values()) + 0.01 * start
        assert trained[found.scale, found.lr] <= found.loss + 0.03 * start
        recommended.add(found.scale)
    # The room for the descent is no reason to stay with the largest scale.
    assert {min(spec.scales), max(spec.scales)} <= recommended


def test_runs_in_mini_batches_are_forecast_each_with_its_own_batches():
    spec = make_spec(data="diabetes", hidden=[10, 10], epsilons=[0.02], lrs=[0.1], seeds=2, batch_size=10)
    for (run, expected), found in zip(
        forecasts := forecast_study(spec, PROBLEM, horizon=2000), measure_study(spec, PROBLEM, forecasts), strict=True
    ):
        assert (expected.batch_size, expected.seed) == (10, run.seed)
        assert expected.drop_steps[0.1].lower <= found.drop_steps[0.1] <= expected.drop_steps[0.1].upper


def test_networks_beyond_the_memory_are_not_forecast_and_none_is_drawn(monkeypatch):
    monkeypatch.setattr("nucleate.network.standard_normal", lambda *_: pytest.fail("a network was drawn"))
    # The parameters alone would fit.
    monkeypatch.setattr("nucleate.network.MEMORY", 1e12)
    monkeypatch.setattr("nucleate.training.checks.MEMORY", 1e12)
    with pytest.raises(SpecError, match=r"8 x Network\(10-10000000-1, float32\) together need about"):
        forecast_study(SPEC.changed(hidden=[10**7]), PROBLEM, horizon=20_000)
