"""Real runs: the first finding names the cause, and its remedy, which was tried, makes it learn."""

from dataclasses import replace

import numpy as np
import pytest

from nucleate import (
    ConvNetwork,
    InitScale,
    Network,
    Problem,
    SpecError,
    StudyError,
    Transformer,
    diagnose,
    sweep,
    train,
)
from nucleate.doctor import Diagnosis, Finding, Remedy
from nucleate.doctor.evidence import gather, is_better
from nucleate.problems import Split
from nucleate.reporting import say_diagnosis
from tests.doctor.test_verdicts import HEALTHY
from tests.reporting.planted import Planted

X = np.random.default_rng(0).standard_normal((150, 3))
Y = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]
PROBLEM = Problem.from_arrays(X, Y)


def run_of(problem=PROBLEM, gain=1.0, hidden=(8, 8), steps=300, rate=0.1, activation="tanh", seed=0, **settings):
    inputs, outputs = problem.inputs, problem.outputs
    scale = InitScale("gain", gain)
    network = Network.create(inputs, hidden, outputs, scale=scale, bias=True, activation=activation, seed=seed)
    return train(network, problem, learning_rate=rate, steps=steps, evaluations=20, **settings)


def test_a_run_that_learns_is_fine():
    run = run_of()
    found = diagnose(run, PROBLEM)
    assert found.first.verdict == "fine"
    assert not found.holds_back
    assert found.evidence.explained == pytest.approx(found.first.evidence["explained"])


def test_printed_it_names_its_verdicts_with_their_numbers():
    tried = Remedy("lr", 0.5, "tried", None, 0.8123, 300, True)
    stuck = Finding("initial_plateau", {"steps": 300, "loss": 0.98765}, (tried, Remedy("gain", 1.0)))
    found = Diagnosis((stuck, Finding("leak", {"columns": ("a", "b")})), HEALTHY)
    assert repr(found) == "Diagnosis(initial_plateau: steps 300, loss 0.988; leak: columns a, b)"
    assert str(found).splitlines() == [
        "initial_plateau: steps 300, loss 0.988",
        "    lr 0.5: tried, helped, explained 0.812",
        "    gain 1.0: to try",
        "leak: columns a, b",
    ]


def test_a_plateau_is_named_with_its_forecast_and_the_start_that_ends_it():
    found = diagnose(run_of(gain=0.001), PROBLEM)
    assert found.first.verdict == "initial_plateau"
    assert found.first.helped == found.first.remedies[0]
    assert (found.first.helped.setting, found.first.helped.value) == ("gain", 1.0)
    assert found.first.helped.explained > 0.5
    assert "linear_is_enough" not in found.verdicts


@pytest.mark.parametrize(
    ("verdict", "setting", "how"),
    [("rate_too_large", "lr", {"rate": 100.0, "activation": "relu"}), ("rate_too_small", "lr", {"rate": 1e-4})],
)
def test_a_rate_is_named_and_a_better_one_tried(verdict, setting, how):
    found = diagnose(run_of(**how), PROBLEM)
    assert found.first.verdict == verdict
    assert found.first.helped.setting == setting


def test_a_column_that_swamps_the_others_is_named():
    raw = Problem.from_arrays(X * [1, 1, 1000], Y, standardize=False)
    found = diagnose(run_of(raw), raw)
    assert found.first.verdict == "unscaled_input"
    assert found.first.evidence["column"] == raw.preprocessing.encoded_inputs[2]
    assert found.first.helped == found.first.remedies[0]


def test_noise_has_nothing_to_be_learnt():
    noise = Problem.from_arrays(X, np.random.default_rng(1).standard_normal(150))
    assert diagnose(run_of(noise, steps=100), noise).first.verdict == "nothing_to_learn"


def test_one_row_far_off_among_those_that_judge_is_what_is_named():
    x = np.random.default_rng(0).standard_normal((200, 3))
    problem = Problem.from_arrays(x, np.sin(2 * x[:, 0]) + 0.5 * x[:, 1])
    far_off = problem.validation.y.copy()
    far_off[0] = 1e6
    problem = replace(problem, validation=replace(problem.validation, y=far_off))
    found = diagnose(run_of(problem), problem)
    assert found.first.verdict == "unscaled_target"
    assert not {"nothing_to_learn", "overfitting", "fine"} & set(found.verdicts)
    assert "1 % of the rows have 99 % of them" in say_diagnosis(found)[0]


def test_targets_far_from_zero_are_no_outputs_that_explode():
    problem = Problem.from_arrays(X, Y + 1e3, standardize=False)
    found = diagnose(run_of(problem, steps=5, rate=1e-6), problem, trials=False)
    assert "unscaled_target" in found.verdicts
    assert "exploding_gradient" not in found.verdicts


def test_of_a_study_the_recommended_run_is_diagnosed_or_one_that_is_named(tmp_path):
    study = sweep(
        PROBLEM, gains=[1, 0.001], hidden=[8, 8], lrs=[0.1], bias="all", steps=300, evaluations=20,
        out=tmp_path / "study", progress=False,
    )  # fmt: skip
    assert diagnose(study, trials=False).run == 0
    assert diagnose(tmp_path / "study", run=1, trials=False).first.verdict == "initial_plateau"
    with pytest.raises(StudyError, match=r"There is no finished run 7 in .*; the runs are 0 to 1"):
        diagnose(study, run=7)


@pytest.mark.parametrize(
    "model",
    [
        Transformer.create((4, 3), 1, scale=InitScale("gain", 1.0), mlp=6),
        ConvNetwork.create((4, 3), [5], 1, scale=InitScale("gain", 1.0), kernel=2),
    ],
    ids=["transformer", "conv"],
)
def test_runs_of_other_models_are_diagnosed(model):
    x = np.random.default_rng(0).standard_normal((60, 12))
    problem = Problem.from_arrays(x, np.sin(x[:, 0]))
    run = train(model, problem, learning_rate=1e-4, steps=4, evaluations=4, measures=())
    found = diagnose(run, problem, trials=False)
    assert found.evidence.layers
    assert found.evidence.sharpness > 0
    assert "fine" not in found.verdicts


def test_a_run_needs_its_problem_and_the_way_it_was_trained():
    run = run_of(steps=4)
    with pytest.raises(SpecError, match="give the problem that it was trained on"):
        diagnose(run)
    with pytest.raises(SpecError, match="The number of a run is for a study"):
        diagnose(run, PROBLEM, run=0)
    object.__setattr__(run, "settings", None)
    with pytest.raises(SpecError, match="does not say how it was trained"):
        diagnose(run, PROBLEM)


def test_the_sharpness_is_the_largest_eigenvalue_of_the_second_derivative():
    scale = InitScale("epsilon", 1.0)
    frozen = Network.create(3, [1], 1, scale=scale, activation="linear")
    weights = (frozen.weights[0], np.zeros_like(frozen.weights[1]))
    at_zero = Network(weights, frozen.biases, frozen.activation)
    evidence = gather(train(at_zero, PROBLEM, learning_rate=1e-9, steps=4), PROBLEM)
    x, y, w = PROBLEM.train.x, PROBLEM.train.y, frozen.weights[0].astype(np.float64)
    # With a = 0 and the residual y, the block of (w, a) is [[0, -c], [-c^T, |Xw|^2 / n]] with c = X^T y / n.
    cross = (x.T @ y / len(x))[:, 0]
    second = np.zeros((4, 4))
    second[:3, 3] = second[3, :3] = -cross
    second[3, 3] = np.mean((x @ w[0]) ** 2)
    assert evidence.sharpness == pytest.approx(np.abs(np.linalg.eigvalsh(second)).max(), rel=1e-2)


def test_findings_are_written_with_stable_names_and_numbers():
    said = diagnose(run_of(gain=0.001), PROBLEM, trials=False).to_json()
    first = said["findings"][0]
    assert set(first) == {"verdict", "layer", "evidence", "remedies", "tried"}
    assert first["evidence"]["steps"] == 300
    assert first["tried"] is None
    assert first["remedies"][0] == Remedy("gain", 1.0).to_json()


@pytest.mark.parametrize("how", ["rows", "groups", "copies"])
def test_rows_of_a_group_and_copies_have_one_vote(how):
    """Three of four patients are better, with 75 of 100 visits: rows of their own would be beyond chance."""
    number, patient = np.arange(100.0)[:, None], np.repeat(np.arange(4), 25)
    problem = Problem.from_arrays(number, np.random.default_rng(0).standard_normal(100))
    part = Split(patient[:, None] if how == "copies" else number, number * 0, patient if how == "groups" else None)
    # By the error that one patient has, the metric has no say.
    errors = np.array([[9.0, 1.0, 1.0, 1.0], [0.0, 1.2, 1.2, 1.2]], np.float32)
    models = (Planted((one if how == "copies" else one[patient])[:, None]) for one in errors)
    assert is_better(replace(problem, validation=part), *models) == (how == "rows")
