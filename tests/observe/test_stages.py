"""Stages found on curves whose stages are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.observe import Stages, stages
from nucleate.observe.curve import ends_higher
from nucleate.training import evaluation_steps


def staircase(steps, falls, width=0.05):
    """Loss 1, falling by ``height`` around each ``step`` within ``width`` of it."""
    return 1 - sum(height / (1 + np.exp((at - steps) / (width * at))) for at, height in falls)


@pytest.mark.parametrize("at", [50, 3000, 200_000])
def test_a_staircase_has_its_stages_at_every_time_scale(at):
    steps = np.unique(np.linspace(0, 20 * at, 800).astype(int))
    loss = staircase(steps, [(at, 0.6), (8 * at, 0.3)])
    found = stages(steps, loss)
    assert 0.7 * at < found.plateau_end < at
    assert at < found.descent_end < 1.5 * at
    resumed, ended = found.boundaries[2:]
    assert 6 * at < resumed < 8 * at
    assert 8 * at < ended < 12 * at
    assert found.current == "secondary plateau"


def test_the_end_of_the_plateau_is_interpolated():
    steps = np.array([0, 100, 200])
    assert stages(steps, np.array([1.0, 1.0, 0.96])).plateau_end == pytest.approx(125)


def test_a_flat_curve_is_all_plateau():
    assert stages(np.arange(100), np.full(100, 0.7)) == Stages()


def test_a_curve_still_falling_is_in_its_descent():
    steps = np.arange(0, 1000)
    assert stages(steps, np.exp(-steps / 300)).current == "descent"


def test_falling_without_plateau_starts_its_descent_at_once():
    steps = np.arange(0, 5000)
    found = stages(steps, 0.4 + 0.6 * np.exp(-steps / 100))
    assert found.plateau_end < 3
    assert 200 < found.descent_end < 600


@given(st.integers(20, 500), st.floats(0.1, 0.9), st.floats(0.02, 0.2), st.floats(0.1, 10))
def test_more_of_the_curve_moves_no_end_once_found_and_units_do_not_matter(at, height, width, unit):
    steps = np.arange(0, 4 * at)
    loss = staircase(steps, [(at, height)], width)
    whole = stages(steps, loss)
    assert stages(steps, unit * loss).current == whole.current
    for until in (at, 2 * at, 3 * at):
        early = stages(steps[:until], loss[:until]).boundaries
        assert early == whole.boundaries[: len(early)]


@given(st.floats(0.01, 0.09))
def test_a_slow_creep_is_a_plateau_not_many_descents(slope):
    steps = np.unique(np.geomspace(1, 1e6, 300).astype(int))
    curve = np.where(steps < 100, 2.0, 1.0) * steps**-slope
    assert len(stages(np.append(0, steps), np.append(2.0, curve)).boundaries) == 2


def test_the_plateau_is_measured_from_the_best_constant_where_one_can_be_learned():
    steps = np.arange(0, 1001, 10)
    to_the_constant = 0.54 + 0.15 * np.exp(-steps / 30)
    assert stages(steps, to_the_constant).plateau_end < 10
    assert stages(steps, to_the_constant, 0.54) == Stages()
    below = np.interp(steps, [0, 100, 600, 800, 1000], [0.69, 0.54, 0.54, 0.34, 0.34])
    assert stages(steps, below, 0.54).plateau_end == pytest.approx(605.4)
    assert stages(steps, below, 2.0) == stages(steps, below)


@pytest.mark.parametrize("start", [0.0, 5e-324])
def test_a_curve_without_anything_to_fall_by_stays_on_its_plateau(start):
    assert stages(np.arange(50), np.full(50, start)) == Stages()
    assert stages(np.arange(50), np.linspace(1, 0, 50), 0.0) == Stages()


@pytest.mark.parametrize(("end", "stage"), [(1.5, "rise"), (1.0, "rise"), (0.6, "rise"), (0.5, "secondary plateau")])
def test_a_curve_that_rises_again_is_in_its_rise_once_half_its_fall_is_undone(end, stage):
    steps = np.arange(0, 2001, 10)
    curve = np.interp(steps, [0, 100, 200, 400, 450], [1.0, 1.0, 0.1, 0.1, end])
    found = stages(steps, curve)
    assert found.current == stage
    assert 100 < found.plateau_end < 110
    assert stages(steps[:40], curve[:40]).current == "secondary plateau"


def evaluated_in_noise(curve, share, seed, evaluations=80):
    """A curve of 5000 steps as it is evaluated, with noise of that share of it."""
    steps = evaluation_steps(5000, evaluations)
    return steps, curve(steps) * (1 + share * np.random.default_rng(seed).standard_normal(len(steps)))


def falling(by):
    return lambda steps: 1 - by / (1 + np.exp((1000 - steps) / 50))


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_a_flat_curve_in_noise_has_not_left_its_plateau(share):
    flat = [stages(*evaluated_in_noise(np.ones_like, share, seed)) for seed in range(200)]
    assert sum(found != Stages() for found in flat) <= 2


@pytest.mark.parametrize("share", [0.001, 0.01])
@pytest.mark.parametrize("by", [0.1, 0.5])
def test_a_fall_beyond_the_noise_ends_the_plateau_where_it_does_without_noise(share, by):
    alone = stages(*evaluated_in_noise(falling(by), 0, 0))
    for seed in range(30):
        found = stages(*evaluated_in_noise(falling(by), share, seed))
        assert found.plateau_end == pytest.approx(alone.plateau_end, rel=0.2)
        assert found.current == "secondary plateau"


def test_in_much_noise_a_fall_is_seen_once_there_are_evaluations_enough():
    def seen(evaluations):
        found = [stages(*evaluated_in_noise(falling(0.1), 0.05, seed, evaluations)) for seed in range(40)]
        return sum(stage.plateau_end is not None for stage in found)

    assert seen(20) < 30
    assert seen(400) == 40


@given(st.integers(0, 10**6), st.floats(1e-6, 0.05), st.floats(0.3, 2.0))
def test_a_constant_that_noise_hides_is_no_end_of_the_plateau(seed, share, start):
    steps, loss = evaluated_in_noise(lambda steps: 1 + start * np.exp(-steps / 30), share, seed)
    assert stages(steps, loss, 1.0).current == "initial plateau"


def test_a_spike_is_no_noise():
    steps = np.arange(0, 2000, 20)
    loss = falling(0.5)(steps)
    spiked = np.where(steps == 400, 30.0, loss)
    assert stages(steps, spiked).plateau_end == stages(steps, loss).plateau_end


@pytest.mark.parametrize("rows", [8, 32])
@pytest.mark.parametrize("evaluations", [10, 30, 100])
def test_a_curve_of_batches_that_falls_hardly_ever_ends_higher(rows, evaluations):
    level = 0.2 + np.exp(-np.arange(evaluations) / 20)
    drawn = np.random.default_rng(0).chisquare(rows, (400, evaluations)) / rows
    assert sum(map(ends_higher, level * drawn)) <= 4


@pytest.mark.parametrize("sign", [0, -2], ids=["above zero", "below zero"])
@pytest.mark.parametrize("by", [3.0, 100.0])
def test_a_curve_of_batches_that_has_risen_ends_higher(by, sign):
    level = np.exp(-np.arange(80) / 20) + 0.2
    level[60:] *= by
    drawn = np.random.default_rng(0).chisquare(32, (100, 80)) / 32
    # As where a constant is added to the loss.
    assert all(map(ends_higher, level * drawn + sign))


def test_a_curve_without_noise_ends_higher_where_it_is_above_its_least():
    steps = np.arange(50)
    assert not ends_higher(np.exp(-steps / 10))
    assert ends_higher(1 + (steps - 40.0) ** 2)
    assert not ends_higher(np.ones(2))
