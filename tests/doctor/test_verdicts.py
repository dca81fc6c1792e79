"""Each verdict holds on one side of its threshold, and not on the other."""

from dataclasses import replace

import numpy as np
import pytest

from nucleate.doctor import BY_NAME, CAUSES, Evidence, LayerEvidence, Remedy
from nucleate.doctor import verdicts as thresholds
from nucleate.doctor.diagnosis import judge

STEPS = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 400, 500, 600, 700, 800, 900, 1000])
LEARNS = 0.5 * (0.05 + 0.95 * np.exp(-STEPS / 60))
FLAT = np.full(len(STEPS), 0.5)
LAYER = LayerEvidence("1", 50, effective=20.0, effective_at_start=45.0)
HEALTHY = Evidence(
    "finished",
    STEPS,
    LEARNS,
    LEARNS,
    constant_loss=0.5,
    constant_validation=0.5,
    linear_validation=0.4,
    budget=1000,
    gains=(1.0, 1.0),
    layers=(LAYER,),
    beside_linear="better",
    columns=("a", "b", "c"),
    column_sizes=np.ones(3),
    column_is_binary=np.zeros(3, bool),
    sharpness=20.0,
)
STUCK = replace(HEALTHY, train_loss=FLAT, validation_loss=FLAT, beside_constant="alike", beside_linear="worse")


def layers(*shares, **fields):
    return tuple(replace(LAYER, name=str(n), **fields, **share) for n, share in enumerate(shares, 1))


def sized(*sizes):
    return {"column_sizes": np.array(sizes)}


def curve(of=LEARNS, *, last=None, highest=None):
    changed = of.copy()
    if last is not None:
        changed[-1] = last
    if highest is not None:
        changed[2] = highest
    return changed


DEEP = layers({"gradient": 0.9e-2}, {}, {"gradient": 1.0})
SHALLOW = layers({"gradient": 1.1e-2}, {}, {"gradient": 1.0})
NOISY = LEARNS + 0.2 * (-1.0) ** np.arange(len(STEPS)) * 0.1

FORGETS = {"validation_loss": curve(last=0.4), "final_beside_best": "worse"}
NOTHING = {"validation_loss": FLAT, "beside_constant": "alike", "linear_validation": 0.5}

RISES = 0.5 * np.where(STEPS < 300, np.exp(-STEPS / 60), 1 - np.exp(-(STEPS - 300) / 300))
FORGOT = {"train_loss": RISES, "validation_loss": RISES}

BATCHES = {"batch_losses": (0.4, 0.2)}
RECORDS = {"records": 10, "eval_parts": ("BatchNorm1d",)}

SIDES = {
    "stands_still": ({"still_since": 0}, {"still_since": None}),
    "gradients_add_up": ({"added_steps": 99, "added_up": 5.1}, {"added_steps": 99, "added_up": 4.9}),
    "other_rows": ({"loop_loss": 0.09, **BATCHES}, {"loop_loss": 0.11, **BATCHES}),
    "paired_rows": ({"paired": (32, 1)}, {"paired": None}),
    "eval_mode": ({"in_eval": 6, **RECORDS}, {"in_eval": 5, **RECORDS}),
    "mismatched_shapes": ({"broadcast": ((80, 1), (80,))}, {"broadcast": None}),
    "constant_target": ({"constant_target": True}, {"constant_target": False}),
    "constant_inputs": ({"constant_inputs": True}, {"constant_inputs": False}),
    "softmax_twice": ({"squashed": "softmax"}, {"squashed": None}),
    "out_of_reach": (
        {"bound": ("relu", "[0, ∞)"), "out_of_reach": 0.051},
        {"bound": ("relu", "[0, ∞)"), "out_of_reach": 0.049},
    ),
    "leak": ({"leaks": ("a",)}, {"leaks": ()}),
    "repeated_rows": ({"rows_read": 800, "rows_distinct": 20}, {"rows_read": 0, "rows_distinct": 0}),
    "sorted_rows": ({"between_batches": 0.51}, {"between_batches": 0.5}),
    "kept_from_training": ({"untrained": 0.1, "untrained_parts": ("0",)}, {"untrained_parts": ()}),
    "no_gradient": ({"unreached": 0.1, "unreached_parts": ("0",)}, {"unreached_parts": ()}),
    "underflow": ({"lost": 0.51, "gains": (0.1,)}, {"lost": 0.49, "gains": (0.1,)}),
    "adam_epsilon": ({"damped": 0.51, "epsilon": 1e-8}, {"damped": 0.49, "epsilon": 1e-8}),
    "unscaled_input": (sized(1, 10.1, 1), sized(1, 9.9, 1)),
    "unscaled_target": ({"target_size": 10.1}, {"target_size": 9.9}),
    "exploding_gradient": ({"train_loss": 101 * FLAT}, {"train_loss": 99 * FLAT}),
    "decay_too_large": ({"weight_decay": 0.0021}, {"weight_decay": 0.0019}),
    "dropout_too_large": ({"dropout": 0.51}, {"dropout": 0.5}),
    "norm_over_batch": ({"norm_rows": 7}, {"norm_rows": 8, "loss_of_batches": 1.0}),
    "summed_loss": ({"summed_rows": 160, "status": "diverged"}, {"summed_rows": None, "status": "diverged"}),
    "rate_too_large": ({"train_loss": curve(highest=1.01)}, {"train_loss": curve(highest=0.99)}),
    "vanishing_gradient": ({"layers": DEEP}, {"layers": SHALLOW}),
    "saturated": ({"layers": layers({}, {"saturated": 0.51})}, {"layers": layers({}, {"saturated": 0.49})}),
    "dead_layer": ({"layers": layers({"dead": 1.0})}, {"layers": layers({"dead": 0.98})}),
    "dead_units": ({"layers": layers({"dead": 0.5})}, {"layers": layers({"dead": 0.48})}),
    "parts_without_gradient": (
        {"without_gradient": 0.1, "without_gradient_parts": ("0",), "without_gradient_since": 1},
        {"without_gradient_parts": ()},
    ),
    "initial_plateau": ({"train_loss": curve(FLAT, last=0.4951)}, {"train_loss": curve(FLAT, last=0.4949)}),
    "rate_too_small": ({"sharpness": 1.9}, {"sharpness": 2.1}),
    "stopped_too_early": (
        {"train_loss": np.exp(-STEPS / 8000), "plateau_loss": 5.0},
        {"train_loss": LEARNS, "plateau_loss": 5.0},
    ),
    "too_few_units": ({"layers": layers({"width": 16})}, {"layers": layers({"width": 17})}),
    "secondary_plateau": ({"train_loss": LEARNS}, {"train_loss": 0.5 * np.exp(-STEPS / 500)}),
    "collapsed": ({"layers": layers({"effective": 4.9})}, {"layers": layers({"effective": 5.1})}),
    "constant_output": ({"constant_since": 10}, {"constant_since": None}),
    "only_the_mean": ({"output_spread": 0.049}, {"output_spread": 0.051}),
    "overfitting": (
        {"validation_loss": curve(last=LEARNS.min() + 0.051), "final_beside_best": "worse"},
        {"validation_loss": curve(last=LEARNS.min() + 0.049), "final_beside_best": "worse"},
    ),
    "linear_is_enough": ({"beside_linear": "alike"}, {"beside_linear": "better"}),
    "nothing_to_learn": (
        {"validation_loss": FLAT, "beside_constant": "alike", "linear_validation": 0.476},
        {"validation_loss": FLAT, "beside_constant": "alike", "linear_validation": 0.474},
    ),
    "too_few_rows": ({"validation_rows": 5}, {"validation_rows": 6}),
    "fine": ({"beside_constant": "alike"}, {"beside_constant": "worse"}),
}
SLOW = {"follows_gradient": False, "learning_rate": 0.9e-3}
ALIKE = layers({"effective": 1.0, "effective_at_start": 1.0})
ON_PLATEAU = ("underflow", "adam_epsilon")


@pytest.mark.parametrize("name", [verdict.name for verdict in CAUSES])
def test_the_criterion_holds_on_one_side_of_its_threshold(name):
    holds, fails = (replace(STUCK if name in ON_PLATEAU else HEALTHY, **fields) for fields in SIDES[name])
    assert BY_NAME[name].criterion(holds) is not None
    assert BY_NAME[name].criterion(fails) is None


@pytest.mark.parametrize(
    ("name", "holds", "fails"),
    [
        ("unscaled_input", sized(0.09, 0.09, 0.09), sized(0.09, 0.09, 0.11)),
        ("unscaled_target", {"target_size": 0.09}, {"target_size": 0.11}),
        ("unscaled_target", {"target_offset": 10.1}, {"target_offset": 9.9}),
        ("unscaled_target", {"target_top": 0.51}, {"target_top": 0.51, "rows": 99}),
        (
            "decay_too_large",
            {"weight_decay": 1e-5, "follows_gradient": False},
            {"weight_decay": 1e-5, "follows_gradient": False, "decays_beside": True},
        ),
        ("rate_too_large", {"status": "nan"}, {"status": "finished"}),
        ("rate_too_large", FORGOT, FORGOT | {"status": "early_stopped", "train_loss": LEARNS}),
        ("summed_loss", {"summed_rows": 160, "status": "nan"}, {"summed_rows": 160}),
        (
            "summed_loss",
            {"summed_rows": 160, "status": "nan"},
            {"summed_rows": 160, "status": "nan", "follows_gradient": False},
        ),
        ("rate_too_large", {"sharpness": 40.1}, {"sharpness": 39.9}),
        ("rate_too_large", {"sharpness": 40.1}, {"sharpness": 40.1, "follows_gradient": False}),
        ("exploding_gradient", {"train_loss": 101 * FLAT}, {"train_loss": 101 * FLAT, "target_offset": 5.0}),
        ("rate_too_large", {"train_loss": 3 * NOISY - 2 * LEARNS}, {"train_loss": LEARNS}),
        ("rate_too_small", SLOW | {"budget": 3300}, SLOW | {"budget": 3400}),
        ("rate_too_small", SLOW, SLOW | {"learning_rate": 1.1e-3}),
        (
            "underflow",
            {"lost": 0.6, "gains": (0.1,), "train_loss": FLAT, "scheduled_rate": 0.4},
            {"lost": 0.6, "gains": (0.1,), "train_loss": FLAT, "scheduled_rate": 0.6},
        ),
        (
            "nothing_to_learn",
            NOTHING | {"of_copies": True, "constant_since": 1},
            NOTHING | {"of_copies": True, "constant_since": 0},
        ),
        ("rate_too_small", {"sharpness": 1.0}, {"sharpness": 1.0, "layers": ALIKE}),
        (
            "too_few_units",
            {"layers": layers({"width": 8})},
            {"layers": layers({"width": 8, "saturated_at_start": 0.6})},
        ),
        ("vanishing_gradient", {"layers": DEEP, "gains": (0.51,)}, {"layers": DEEP, "gains": (0.49,)}),
        ("vanishing_gradient", {"layers": DEEP}, {"layers": DEEP[1:]}),
        (
            "dead_units",
            {"layers": layers({"dead": 0.6, "dead_at_start": 0.6}), "train_loss": FLAT},
            {"layers": layers({"dead": 0.6, "dead_at_start": 0.6}), "train_loss": FLAT, "gains": (0.49,)},
        ),
        ("dead_layer", {"status": "dead"}, {"status": "finished"}),
        ("stopped_too_early", {"status": "early_stopped"}, {"status": "finished"}),
        ("stopped_too_early", {"status": "early_stopped"}, {"status": "early_stopped", "is_over": False}),
        ("rate_too_small", {"sharpness": 20.0, "scheduled_rate": 0.21}, {"sharpness": 20.0, "scheduled_rate": 0.19}),
        ("fine", {"validation_rows": 6}, {"validation_rows": 5}),
        ("fine", {}, FORGOT),
        (
            "nothing_to_learn",
            NOTHING | {"validation_loss": 0.455 + 0 * FLAT, "validation_rows": 30},
            NOTHING | {"validation_loss": 0.455 + 0 * FLAT, "validation_rows": 40},
        ),
        ("fine", {"target_top": 0.49}, {"target_top": 0.51}),
        ("overfitting", FORGETS | {"target_top": 0.49}, FORGETS | {"target_top": 0.51}),
        ("nothing_to_learn", NOTHING | {"target_top": 0.49}, NOTHING | {"target_top": 0.51}),
        (
            "linear_is_enough",
            {"beside_linear": "alike", "target_top": 0.49},
            {"beside_linear": "alike", "target_top": 0.51},
        ),
        (
            "linear_is_enough",
            {"beside_linear": "alike", "validation_rows": 6},
            {"beside_linear": "alike", "validation_rows": 5},
        ),
        (
            "collapsed",
            {"layers": layers({"effective": 4.0, "effective_at_start": 8.1})},
            {"layers": layers({"effective": 4.0, "effective_at_start": 7.9})},
        ),
        (
            "overfitting",
            {"validation_loss": curve(last=0.4), "final_beside_best": "worse"},
            {"validation_loss": curve(last=0.4)},
        ),
        ("overfitting", {"validation_loss": 0.3 + 0.4 * LEARNS}, {"validation_loss": 0.2 + 0.6 * LEARNS}),
    ],
)
def test_a_criterion_of_several_parts_asks_for_each(name, holds, fails):
    assert BY_NAME[name].criterion(replace(HEALTHY, **holds)) is not None
    assert BY_NAME[name].criterion(replace(HEALTHY, **fails)) is None


def test_where_a_few_rows_have_the_squares_no_share_of_the_loss_is_the_last_word():
    """Neither of a run that seems to explain all of them, nor of one that seems to explain nothing."""
    for run in (HEALTHY, replace(HEALTHY, **NOTHING), replace(HEALTHY, **FORGETS)):
        found = judge(replace(run, target_top=0.9))
        assert found[0].verdict == "unscaled_target"
        assert not {one.verdict for one in found} & {"fine", "nothing_to_learn", "overfitting", "linear_is_enough"}


def test_a_run_that_explains_two_thirds_is_held_back_by_nothing():
    for dead in (0.0, 0.9):
        (first, *_) = judge(replace(HEALTHY, layers=layers({"dead": dead})))
        assert first.verdict == "fine"
    found = judge(replace(STUCK, layers=layers({"dead": 0.9})))
    assert found[0].verdict == "dead_units"


@pytest.mark.parametrize(("last", "forgot"), [(0.32, False), (0.345, True)])
def test_a_run_has_forgotten_where_less_than_two_thirds_of_what_it_explained_is_left(last, forgot):
    # It explained 0.95 at best, and loses this share of that again.
    ends = 0.5 * (1 - 0.95 * (1 - last))
    run = replace(HEALTHY, train_loss=curve(last=ends), validation_loss=curve(last=ends))
    assert run.has_forgotten == forgot
    assert run.kept == pytest.approx(0.95 * (1 - last) if forgot else 0.95, abs=1e-3)
    assert judge(run)[0].verdict == ("rate_too_large" if forgot else "fine")


def test_a_rise_within_the_noise_of_single_batches_is_none():
    ends = curve(last=0.5)
    run = replace(HEALTHY, train_loss=ends, validation_loss=ends)
    assert run.stage == "rise"
    assert run.has_forgotten
    run = replace(run, may_rise=False)
    assert run.stage == "secondary plateau"
    assert not run.has_forgotten
    assert judge(run)[0].verdict == "fine"


def test_what_is_worse_on_validation_alone_is_not_forgotten():
    run = replace(HEALTHY, validation_loss=curve(last=0.4), final_beside_best="worse")
    assert not run.has_forgotten
    assert judge(run)[0].verdict == "overfitting"


@pytest.mark.parametrize(
    ("decay", "first"), [(0.06, "decay_too_large"), (0.01, "rate_too_large"), (0.0, "rate_too_large")]
)
def test_without_trials_a_decay_is_named_that_is_reason_enough_to_forget(decay, first):
    # Times the rate of 0.05 and the steps it is 3, 0.5 and 0.
    assert judge(replace(HEALTHY, **FORGOT, weight_decay=decay))[0].verdict == first


def test_of_weights_that_stand_still_nothing_else_is_said():
    assert [one.verdict for one in judge(replace(HEALTHY, still_since=0, layers=layers({"dead": 0.9})))] == [
        "stands_still"
    ]


@pytest.mark.parametrize(("status", "expected"), [("finished", "vanishing_gradient"), ("diverged", "rate_too_large")])
def test_a_rate_that_curvature_alone_speaks_against_is_no_cause_of_a_gradient_that_vanishes(status, expected):
    run = replace(STUCK, layers=DEEP, sharpness=41.0, status=status)
    verdicts = [one.verdict for one in judge(run)]
    assert {"vanishing_gradient", "rate_too_large"} <= {*verdicts}
    assert verdicts[0] == expected


def test_a_leak_comes_before_all_else_even_where_the_run_learns():
    assert [one.verdict for one in judge(replace(HEALTHY, leaks=("a",)))] == ["leak", "fine"]


def test_without_trials_nothing_is_said_that_rests_on_one():
    found = judge(replace(HEALTHY, validation_loss=0.5 + 0 * LEARNS, sharpness=1.0, beside_linear="alike"))
    assert not {one.verdict for one in found} & {verdict.name for verdict in CAUSES if verdict.by_trial}


@pytest.mark.parametrize(
    ("rate", "gains", "first"),
    [(4e-5, (1.0,), "rate_too_small"), (6e-5, (1.0,), "initial_plateau"), (4e-5, (0.4,), "initial_plateau")],
)
def test_without_trials_steps_that_can_have_moved_nothing_are_named_before_the_plateau(rate, gains, first):
    # 1000 steps at a curvature of 20.
    assert judge(replace(STUCK, learning_rate=rate, gains=gains))[0].verdict == first


@pytest.mark.parametrize(("decay", "first"), [(21.0, "decay_too_large"), (19.0, "initial_plateau")])
def test_without_trials_a_decay_that_takes_all_weights_at_each_step_is_named_first(decay, first):
    # At a rate of 0.05.
    assert judge(replace(STUCK, weight_decay=decay))[0].verdict == first


def test_without_trials_a_loss_that_still_falls_gets_no_last_word():
    slow = 0.5 * np.exp(-STEPS / 4000)
    falling = replace(HEALTHY, train_loss=slow, validation_loss=slow, beside_linear="alike")
    assert [one.verdict for one in judge(falling)] == ["stopped_too_early"]
    barely = 0.4 * np.exp(-STEPS / 9000)
    assert judge(replace(falling, train_loss=barely, validation_loss=barely))[0].verdict == "linear_is_enough"


def test_few_rows_are_said_in_the_place_of_all_that_they_cannot_tell():
    assert [one.verdict for one in judge(replace(HEALTHY, validation_rows=3))] == ["too_few_rows"]
    settled = np.maximum(LEARNS, 0.4)
    alike = replace(HEALTHY, train_loss=settled, validation_loss=FLAT, beside_linear="alike", validation_rows=3)
    assert judge(alike)[0].verdict == "too_few_rows"


def test_where_a_linear_model_comes_as_far_that_is_what_to_know_first():
    alike = replace(HEALTHY, beside_linear="alike")
    assert judge(replace(alike, linear_validation=0.024))[0].verdict == "linear_is_enough"
    assert judge(replace(alike, linear_validation=0.026))[0].verdict == "fine"


class Trials:
    """Of which those settings help that are given."""

    def __init__(self, *helping, explained=()):
        self.helping, self.explained = helping, dict(explained)

    def first_that_helps(self, changes):
        tried = [
            Remedy(*change, "tried", None, self.explained.get(change[0], 0.9), 10, change[0] in self.helping)
            for change in changes
        ]
        return sorted(tried, key=lambda one: not one.helped)

    def forecasts(self):
        return None, []

    def stuck_share(self, hidden):
        return 0.5


NOISE = replace(STUCK, linear_validation=0.5)
OVERFITS = replace(HEALTHY, validation_loss=0.4 + 0 * LEARNS, status="early_stopped", beside_constant="alike")


@pytest.mark.parametrize(
    ("evidence", "helping", "first", "setting"),
    [
        (NOISE, (), "nothing_to_learn", None),
        (NOISE, ("recipe",), "initial_plateau", "recipe"),
        (replace(NOISE, layers=layers({"dead": 1.0})), (), "nothing_to_learn", None),
        (replace(NOISE, layers=layers({"dead": 1.0})), ("activation",), "dead_layer", "activation"),
        (OVERFITS, ("recipe",), "overfitting", "recipe"),
        (OVERFITS, ("steps",), "stopped_too_early", "steps"),
    ],
)
def test_what_helped_says_what_is_first_and_what_a_trial_refuted_is_not_blamed(evidence, helping, first, setting):
    found = judge(evidence, Trials(*helping))
    assert found[0].verdict == first
    assert (found[0].helped and found[0].helped.setting) == setting
    if helping:
        assert "nothing_to_learn" not in [one.verdict for one in found]


@pytest.mark.parametrize(("by_rate", "first"), [(0.59, "decay_too_large"), (0.61, "rate_too_large")])
def test_a_decay_is_the_fault_where_a_rate_that_helps_learns_half_as_much_again_without_it(by_rate, first):
    run = replace(STUCK, learning_rate=1.0, weight_decay=1.0, status="diverged")
    found = judge(run, Trials("lr", "undecayed", explained={"lr": by_rate}))
    assert found[0].verdict == first
    assert "rate_too_large" in [one.verdict for one in found]


def test_a_decay_that_takes_all_weights_is_blamed_where_a_usual_setting_alone_helps():
    run = replace(STUCK, learning_rate=1.0, weight_decay=1.0, status="diverged")
    assert judge(run, Trials("recipe"))[0].verdict == "decay_too_large"
    assert judge(replace(run, weight_decay=0.5), Trials("recipe"))[0].verdict == "rate_too_large"


def test_half_of_what_was_forgotten_is_enough_for_a_trial():
    assert replace(HEALTHY, **FORGOT).to_beat == pytest.approx(replace(HEALTHY, **FORGOT).kept / thresholds.HELD_BACK)
    middling = curve(last=0.22)
    run = replace(HEALTHY, train_loss=middling, validation_loss=middling)
    assert run.to_beat == pytest.approx((run.kept + run.explained) / 2)
    assert run.to_beat < run.kept / thresholds.HELD_BACK
    assert HEALTHY.to_beat == pytest.approx(HEALTHY.explained / thresholds.HELD_BACK)


def test_what_was_not_tried_since_something_helped_stands_behind_it():
    stuck = replace(STUCK, squashed="softmax", bound=("relu", "[0, ∞)"), out_of_reach=0.5)
    assert judge(stuck, Trials("unsquash"))[0].verdict == "softmax_twice"


@pytest.mark.parametrize(
    ("rate", "decay", "first"), [(100.0, 0.01, "rate_too_large"), (0.01, 100.0, "decay_too_large")]
)
def test_of_a_usual_decay_that_takes_all_weights_the_rate_is_the_fault(rate, decay, first):
    run = replace(STUCK, learning_rate=rate, weight_decay=decay, decays_beside=True, status="diverged")
    assert judge(run)[0].verdict == first


@pytest.mark.parametrize(("rate", "cut"), [(0.95, False), (0.2, True)])
def test_a_scheduler_is_named_where_it_has_cut_most_of_the_rate(rate, cut):
    run = replace(HEALTHY, learning_rate=rate * 1e-6, scheduled_rate=1e-6, sharpness=1.0, follows_gradient=True)
    assert ("scheduled" in BY_NAME["rate_too_small"].criterion(run)) == cut


def test_a_target_out_of_scale_with_a_few_large_rows_has_both_remedies():
    run = replace(HEALTHY, target_size=1e5, target_top=0.9)
    verdict = BY_NAME["unscaled_target"]
    assert verdict.criterion(run)
    assert verdict.changes(run) == [("standardize", "target"), ("loss", "huber:1")]


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        ("constant_target", {"constant_target": True}),
        ("constant_inputs", {"constant_inputs": True}),
        ("stands_still", {"still_since": 7, "is_over": False}),
    ],
)
def test_where_nothing_can_be_learned_nothing_else_is_said(verdict, fields):
    for run in (STUCK, HEALTHY):
        assert [one.verdict for one in judge(replace(run, **fields))] == [verdict]


def test_of_a_watch_whose_loss_rose_again_the_best_is_not_kept():
    rises = replace(HEALTHY, train_loss=curve(last=0.45), validation_loss=curve(last=0.45), plateau_loss=0.5)
    found = judge(replace(rises, is_over=False, learning_rate=np.nan))
    assert found[0].verdict == "rate_too_large"
    assert "fine" not in [one.verdict for one in found]


def test_where_nothing_else_is_found_the_baselines_have_the_word():
    settled = np.maximum(LEARNS, 0.4)
    settled = replace(HEALTHY, train_loss=settled, validation_loss=settled, beside_linear="alike")
    assert judge(settled)[0].verdict == "linear_is_enough"
    nothing = replace(HEALTHY, validation_loss=FLAT, linear_validation=0.5, beside_constant="alike")
    assert judge(replace(nothing, beside_linear="alike"))[0].verdict == "nothing_to_learn"


def test_columns_of_zeros_and_ones_are_in_scale():
    rare = replace(HEALTHY, **sized(0.05, 1.0, 1.0), column_is_binary=np.array([True, False, False]))
    assert BY_NAME["unscaled_input"].criterion(rare) is None
    assert BY_NAME["unscaled_input"].criterion(replace(rare, column_is_binary=np.ones(3, bool))) is None


def test_the_worst_column_is_named():
    found = BY_NAME["unscaled_input"].criterion(replace(HEALTHY, **sized(1, 2, 500)))
    assert found == {"column": "c", "size": 500.0, "others": 1.5}


def test_every_verdict_has_a_threshold_on_both_sides_here():
    assert list(SIDES) == [verdict.name for verdict in CAUSES] == list(BY_NAME)
    assert thresholds.DEAD == 0.5
