"""A study's forecast and the scale it recommends."""

import pytest

from nucleate import SpecError
from nucleate.studies import Plan, make_spec
from nucleate.sweeping import forecast_chunk, forecast_study, measure_study, recommend_scale, tabulate_forecasts

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
    assert recommend_scale(SPEC, forecasts, budget=10**6) == (0.005, 0.1, latest[0.005, 0.1])
    assert recommend_scale(SPEC, forecasts, budget=latest[0.005, 0.1] - 1) == (0.01, 0.1, latest[0.01, 0.1])
    assert recommend_scale(SPEC, forecasts, budget=5) is None


def test_mini_batches_are_refused():
    with pytest.raises(SpecError, match="Forecasts are of full-batch training; leave out the batch size"):
        forecast_study(make_spec(data="diabetes", gains=[1], batch_size=10), PROBLEM, horizon=100)
