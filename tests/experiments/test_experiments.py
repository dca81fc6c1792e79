"""The experiments at sizes too small to decide anything: what they give, and that they give it again."""

import math
import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nucleate import activation_names
from nucleate.experiments import EXPERIMENTS, get_experiment
from nucleate.experiments.blow_up import Way
from nucleate.experiments.multiplicity import ACTIVATIONS, Plan
from nucleate.experiments.norm_eps import NEXT_CHARACTER, story
from nucleate.experiments.phase_diagram import apart
from nucleate.experiments.target_direction import Turn
from nucleate.experiments.two_stages import anchors
from nucleate.experiments.weight_decay import phases
from nucleate.figures import panels
from nucleate.optimizers import ADAM, GD

pytestmark = pytest.mark.slow

TINY = {
    "target-direction": {"width": 4, "seeds": 1, "gammas": (0.5, 1.0)},
    "plateau-end": {
        "width": 4,
        "epsilons": (0.01, 0.005),
        "seeds": 1,
        "steps": 40,
        "evaluations": 10,
        "learning_rate": 0.1,
    },
    "condition": {"states": 2, "width": 2, "threshold": 0.9},
    "blow-up": {"states": 2, "width": 2, "trajectories": 1},
    "escape-law": {"width": 2, "seeds": 1},
    "low-rank": {"side": 4, "known": 0.7, "steps": 1000, "seeds": 1},
    "multiplicity": {"optimizer": GD, "width": 4, "seeds": 1, "plans": (Plan(0.1, (0.01, 0.01), 10),) * 3},
    "multiplicity-adam": {"optimizer": ADAM, "width": 4, "seeds": 1, "plans": (Plan(0.1, (0.01, 0.01), 10),) * 3},
    "phase-diagram": {
        "gammas_2": (0.0,),
        "gammas_3": (1.0, 2.0),
        "widths": (4, 8),
        "seeds": 1,
        "steps": 10,
        "dtype": "float64",
    },
    "generalization": {"width": 4, "seeds": 2, "steps": 20, "learning_rate": 0.05},
    "dropout": {"width": 4, "seeds": 1, "steps": 20, "learning_rate": 0.1, "dropout": 0.5},
    "weight-decay": {
        "width": 4,
        "gains": (0.1, 1.0),
        "decays": (0.0, 0.1),
        "seeds": 1,
        "steps": 20,
        "learning_rate": 0.05,
    },
    "staircase": {"width": 6, "epsilons": (0.1,), "seeds": 1, "rows": 40, "learning_rate": 0.2},
    "two-stages": {"units": 3, "hidden": 4, "epsilons": (0.3,), "seeds": 1, "rows": 60, "learning_rate": 0.1},
    "norm-eps": {
        "layers": 1,
        "width": 2,
        "rates": (0.5, 1.5),
        "epsilons": (1e-12, 0.01),
        "seeds": 2,
        "characters": 600,
        "steps": 8,
        "batch": 4,
        "learning_rate": 0.01,
    },
    "kernels": {"kernels": 3, "gain": 0.01, "seeds": 1, "rows": 20, "steps": 20, "learning_rate": 0.5},
    "units-in-use": {"units": 4, "epsilon": 0.05, "seeds": 1, "rows": 40, "learning_rate": 0.2},
    "anchors": {"gammas": (0.3, 0.7), "decays": (0.3,), "seeds": 1, "rows": 150, "steps": 20},
}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_each_says_what_it_claims_after_whom_and_how(experiment):
    assert get_experiment(experiment.name) is experiment
    assert re.search(r"arXiv \d{4}\.\d{5}", experiment.source)
    assert experiment.claim.endswith(".")
    assert experiment.criteria
    assert "{" not in experiment.describe(quick=True)
    assert experiment.describe(quick=True) != experiment.describe(quick=False)


def test_at_full_size_a_start_is_no_larger_for_its_width_than_at_the_quick_one():
    """The claims are of the limit of small parameters: a wider network reaches it later."""
    law, plateau = get_experiment("escape-law"), get_experiment("plateau-end")
    for depth in (2, 3, 4):
        quick, full = (np.multiply(size.scales(depth), size.width**0.5) for size in (law.quick, law.full))
        np.testing.assert_allclose(quick, full)
    assert max(plateau.full.epsilons) * plateau.full.width <= max(plateau.quick.epsilons) * plateau.quick.width
    turn = get_experiment("target-direction")
    quick, full = (size.width ** -max(size.gammas) for size in (turn.quick, turn.full))
    assert full <= quick


def test_an_activation_of_an_experiment_is_passed_and_not_registered():
    used = {activation.name for activation in ACTIVATIONS.values()}
    assert used - set(activation_names()) == {"x2tanh"}


def test_names_are_distinct_and_each_is_measured_below():
    assert {*TINY} == {experiment.name for experiment in EXPERIMENTS}
    assert len({experiment.name for experiment in EXPERIMENTS}) == len(EXPERIMENTS)


@pytest.mark.parametrize("name", TINY)
def test_a_measurement_has_a_number_for_each_criterion_and_comes_out_the_same_again(name):
    experiment = get_experiment(name)
    size, shares = type(experiment.quick)(**TINY[name]), []
    first, again = (experiment.measure(size, shares.append) for _ in range(2))
    assert len(first.numbers) == len(experiment.criteria)
    assert not any(math.isinf(number) for number in first.numbers)
    assert repr(first.numbers) == repr(again.numbers)
    assert all(isinstance(number, float) for number in first.numbers)
    assert shares[len(shares) // 2 - 1] == 1.0
    assert first.figure.axes
    drawn = names(first.figure)
    assert cut_off(first.figure, drawn) == []
    assert drawn_over(drawn) == []


def names(figure):
    """Titles and labels of the panels, drawn, with their boxes."""
    FigureCanvasAgg(figure).draw()
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
    return [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]


def cut_off(figure, drawn):
    """Names of which the figure shows a part only."""
    page = figure.bbox.padded(1)
    return [name for name, box in drawn if not (page.contains(*box.min) and page.contains(*box.max))]


def drawn_over(drawn):
    """Pairs of names that lie upon each other."""
    return [(one, other) for (one, box), (other, its) in combinations(drawn, 2) if box.overlaps(its)]


def test_a_figure_whose_names_do_not_fit_is_found_out():
    figure, (left, right) = panels(2)
    left.set(ylabel="a label that is longer than the panel is high, by far")
    assert cut_off(figure, names(figure)) == [left.get_ylabel()]
    left.set(ylabel="", title="a title that reaches far into the next panel's title")
    right.set(title="another title that is as long as the first of them is")
    assert drawn_over(names(figure)) == [(left.get_title(), right.get_title())]


def test_the_phases_under_weight_decay_are_read_off_half_way():
    steps, ones = np.arange(5) * 10, np.ones(5)
    loss, amplitude, neurons = ones.copy(), np.array([1.0, 4.0, 3.9, 1.9, 1.0]), np.array([100, 90, 80, 50, 1.0])
    loss[1:] = 0.05, 0.2, 0.3, 0.4
    assert phases(steps, loss, amplitude, neurons) == (10, 30, 40)
    # Before its amplitudes were largest, nothing was compressed.
    assert phases(steps, loss, amplitude[::-1], neurons).compressed == 40


def test_neurons_are_not_said_to_have_turned_at_a_drop_that_never_came():
    turned = np.ones((1, 3))
    assert Turn(True, np.zeros(1), turned, turned[0]).share == 1.0
    assert math.isnan(Turn(False, np.zeros(1), turned, turned[0]).share)


@pytest.mark.parametrize(("energy", "slowest"), [(1.0, 1.0), (1.1, 1.1 ** (-1 / 3))])
def test_an_energy_beyond_its_bound_falls_too_slowly(energy, slowest):
    left = np.geomspace(1, 1e-4, 60)
    grown = energy * left**-3.0
    # A state that begins below zero is not judged there.
    way = Way(left, np.where(left > 0.9, -1.0, grown), left)
    assert way.fall() == pytest.approx(slowest)
    bound = get_experiment("blow-up").criteria[1]
    assert bound.met_by(float(way.fall().min())) is (energy == 1.0)


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        ([[[0.3, -1.1], [0.5, 0.6]]], 0.3),
        ([[[0.01, -2.0]]], 0.01),
        ([[[-0.5, -0.6]]], 0.0),
        ([[[math.nan, 1.0]]], 0.0),
    ],
)
def test_layers_are_in_different_regimes_only_as_far_as_both_are_in_theirs(slopes, expected):
    assert apart(np.array(slopes)) == expected


def test_the_sentences_of_the_language_model_are_true():
    told = story(np.random.default_rng(0), 2000)
    sums = re.findall(r"had (\d+), (got|won|lost|ate) (\d+): (\d+)\.", told)
    assert len(sums) > 60
    assert all(
        int(had) + (1 if verb in ("got", "won") else -1) * int(more) == int(has) for had, verb, more, has in sums
    )
    assert len(told) == 2000
    assert story(np.random.default_rng(0), 2000) == told


def test_of_a_window_the_loss_is_the_mean_cross_entropy_of_its_characters():
    rng = np.random.default_rng(0)
    logits, true = rng.standard_normal((3, 24, 5)), rng.integers(5, size=(3, 24))
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    expected = -np.log(np.take_along_axis(shares, true[:, :, None], 2)).mean()
    found = NEXT_CHARACTER(logits.reshape(3, -1), np.eye(5)[true].reshape(3, -1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_an_anchor_function_as_amounts_is_learned_by_averages_and_then_by_one_direction_of_keys():
    data = anchors(300)
    x, y = data.tokens, data.problem.train.y
    # Tokens and positions are told apart: each token's vector has the length of two orthonormal ones.
    np.testing.assert_allclose(np.linalg.norm(x, axis=2), 2**0.5)
    np.testing.assert_allclose(data.moment[0], (y[:, :1] * x.mean(axis=1)).mean(axis=0))
    sigma = np.linalg.svd(data.keys_turn, compute_uv=False)
    assert sigma[1] < 0.5 * sigma[0]
