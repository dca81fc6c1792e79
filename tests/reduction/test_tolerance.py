"""What a tolerance allows."""

import numpy as np
import pytest

import nucleate
from nucleate.models import outputs_of
from nucleate.reduction.tolerance import fits_within, predictions, spread, yardstick

from .networks import drawn, regression


@pytest.fixture
def learned():
    rng = np.random.default_rng(0)
    network = drawn((3, 4, 1))
    return network, regression(rng, network, rows=4000, noise=0.5)


def test_one_percent_of_the_error_is_a_deviation_of_a_seventh(learned):
    network, problem = learned
    outputs = outputs_of(network, problem.validation.x)
    error = problem.metric(outputs, problem.validation.y)
    noise = np.random.default_rng(1).standard_normal(outputs.shape)
    noise *= error / np.sqrt(np.mean(noise**2))
    # Noise that knows nothing of the residuals.
    residual = problem.validation.y - outputs
    noise -= residual * np.mean(noise * residual) / np.mean(residual**2)
    fits = fits_within(problem, network, 0.01)
    assert fits(outputs + 0.139 * noise)
    assert not fits(outputs + 0.144 * noise)
    moved = problem.metric(outputs + 0.1418 * noise, problem.validation.y)
    assert moved / error == pytest.approx(1.01, abs=2e-4)


def test_each_of_several_targets_is_held_to_its_own_error():
    rng = np.random.default_rng(0)
    network, x = drawn((3, 4, 2)), rng.standard_normal((2000, 3))
    y = (np.asarray(network(x)) + 0.5 * rng.standard_normal((2000, 2))) * [1e5, 0.1]
    problem = nucleate.Problem.from_arrays(x, y)
    fits, outputs = fits_within(problem, network, 0.01), outputs_of(network, problem.validation.x)
    step = rng.choice([-1, 1], len(outputs)) * np.sqrt(np.mean((outputs - problem.validation.y)[:, 1] ** 2))
    for share, passes in ((0.13, True), (0.15, False)):
        changed = outputs.copy()
        changed[:, 1] += share * step
        assert fits(changed) is passes
        # In the targets' own units that is next to nothing.
        y_of, others = problem.validation.y, (outputs, changed)
        assert np.ptp([problem.metric(one, y_of) for one in others]) < 1e-6 * problem.metric(outputs, y_of)


def test_the_spread_of_a_constant_target_is_no_rounding():
    values = np.column_stack([np.full(1000, 0.1), np.arange(1000.0)])
    assert spread(values).tolist() == pytest.approx([1.0, np.sqrt((1000**2 - 1) / 12)])


def test_a_lucky_metric_alone_does_not_pass(learned):
    network, problem = learned
    fits = fits_within(problem, network, 0.01)
    assert not fits(problem.validation.y)


def changed_share(problem, before, after):
    return yardstick(problem, problem.validation).deviation(*(predictions(problem, one) for one in (before, after)))


def test_labels_may_change_by_the_tolerance():
    problem = nucleate.load_problem("iris")
    network = drawn((4, 5, 3), dtype="float32")
    outputs = outputs_of(network, problem.validation.x)
    changed = outputs.copy()
    changed[:1] = np.roll(outputs[:1], 1, axis=1)
    assert changed_share(problem, outputs, changed) == 1 / len(outputs)
    assert fits_within(problem, network, 0.9)(changed)
    assert not fits_within(problem, network, 0.01)(changed)


def test_a_rare_class_is_not_given_up_for_the_common_one():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 2))
    labels = np.where(x[:, 0] > 2.0, "defect", "fine")
    problem = nucleate.Problem.from_arrays(x, labels)
    network = drawn((2, 4, 2))
    network = nucleate.train(network, problem, learning_rate=0.5, steps=300, measures=()).best
    outputs = outputs_of(network, problem.validation.x)
    # All of the rare class are fewer than the tolerance lets change.
    always = np.tile([0.0, 1.0], (len(outputs), 1))
    changed = changed_share(problem, outputs, always)
    assert 0 < changed <= 0.03
    assert problem.metric(always, problem.validation.y) >= 0.97
    assert fits_within(problem, network, 0.03)(outputs)
    assert not fits_within(problem, network, 0.03)(always)


def test_outputs_that_are_no_numbers_do_not_pass(learned):
    network, problem = learned
    outputs = outputs_of(network, problem.validation.x).copy()
    outputs[3] = np.nan
    assert not fits_within(problem, network, 0.5)(outputs)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1, np.nan])
def test_a_tolerance_out_of_range_is_refused(learned, tolerance):
    with pytest.raises(nucleate.SpecError, match="it must be between 0 and 1"):
        fits_within(learned[1], learned[0], tolerance)
