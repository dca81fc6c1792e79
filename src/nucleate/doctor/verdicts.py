"""The verdicts: for each the criterion, its thresholds and the settings that are tried against it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleate.doctor.evidence import HELD_BACK, LEAST, Evidence, LayerEvidence, explained
from nucleate.doctor.remedies import Change
from nucleate.observe.curve import AHEAD, FLAT, noise

OUTSIDE = 0.05
"""Of targets that the outputs cannot reach, one in twenty is more than outliers."""
LOST, DAMPED = 0.5, 0.5
"""Rounding, or the optimizer's epsilon, holds a run back where it takes the steps of most parameters."""
TOO_LARGE, TOO_SMALL = 10.0, 0.1
"""Inputs and targets are to be of order 1: a root mean square ten times off is out of scale."""
TOP_SHARE, TOP_ROWS = 0.5, 100
"""One row in a hundred that has half of the squares swamps the others, where there are a hundred."""
DECAYED = 0.1
"""Rate times decay times steps that takes a tenth off weights which nothing else moves."""
WIPED = 1.0
"""Rate times decay times steps at which a decay leaves a third of what a weight had, if nothing else moves it."""
USUAL_DECAY = 0.05
"""A decay up to which a rate that takes all of the weights off with it is the larger fault."""
SORTED = 0.5
"""Rows are sorted where most of what the targets vary by, beyond what chance draws, is from one batch to another."""
DROPPED = 0.5
"""A dropout of a half is usual; beyond it a step has less than half of the units."""
ADDED_UP = 5.0
"""Gradients that are five times one step's are of several steps."""
ELSEWHERE = 0.5
"""A loop whose last losses are below half of the least that a batch of these rows has learns others."""
FEW_IN_BATCH = 8
"""Means and variances of fewer rows are mostly chance."""
DISAGREE = 2.0
"""By how many times a loss with the norms' running statistics exceeds that with those of a batch."""
EXPLODED = 100.0
"""The loss at the start, in units of the constant's, of outputs that are ten times as large as the targets."""
WORSE = 2.0
"""A loss that rises to twice the larger of its start and the constant's was driven there by its steps."""
TURNS = 0.1
"""A full-batch curve whose noise is a tenth of the loss jumps back and forth."""
EDGE = 2.0
"""Rate times sharpness at which gradient descent overshoots (Cohen et al. 2021, arXiv:2103.00065)."""
DEEP, VANISHED = 3, 1e-2
"""From so many hidden layers on, the first one's gradient at the start is held against the last one's."""
AT_BOUND = 0.5
"""A layer is saturated where most pairs of unit and row are at a bound."""
DEAD = 0.5
"""Half of the units of a layer dead: fewer are usual among ReLUs that learn."""
SMALL_START = 0.5
"""A gain below it is a small start: one of 1 keeps a signal's size."""
SLOW = 0.1
"""Rate times sharpness of gradient descent that could take steps twenty times as long."""
CUT = 0.25
"""A schedule that leaves less of the rate in the mean has cut it: a cosine leaves a half, a line to zero too."""
SHORT = 3.0
"""Rate times steps, which is as far as an optimizer of fixed steps moves a parameter."""
USUAL = 1e-3
"""A rate at which optimizers of fixed steps are used; of one that is not below it the steps are too few, not short."""
USUAL_OF_GD = 0.05
"""A rate at which gradient descent is used on inputs and targets of order 1."""
HANDFUL = 4
"""Of so few units none can be spared: where one of them is dead, the layer has too few."""
NARROW = 16
"""Hidden layers of at most so many units may be too few."""
CONDENSED_SHARE, CONDENSED_COUNT, CHANCE = 0.1, 2.0, 0.5
"""Few neurons do a layer's work, see `nucleate.studies`; and less than half of what chance gives at the start."""
AS_ONE = 1.01
"""Effective neurons at the start of a layer whose units are copies, as chance does not draw them."""
SAME_AS_MEAN = 0.05
"""Predictions that vary by a twentieth of what the targets do know their mean alone."""
OVERFIT = 0.1
"""By how much the explained share on validation has fallen again at the end."""
CHANCE_ROWS = 3.0
"""On n rows the best of many evaluations is by chance better than the constant by a share of about this over n."""
ENOUGH_ROWS = 6
"""Of fewer validation rows not even a win on every one is beyond chance: a sign test of 5 has 6 %."""
GAP = 0.5
"""The share of the constant's loss that is explained in training and not on validation."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One thing that may be wrong with a run.

    Parameters
    ----------
    name : str
        Stable.
    criterion : callable
        From evidence to its numbers where the verdict may hold; None where it does not.
    changes : callable
        From evidence to the settings that are tried against it, as pairs of a setting and its value.
    by_trial : bool
        Whether it holds only where one of these helps.
    always : bool
        Whether it is said of a run that nothing holds back, too.
    """

    name: str
    criterion: Callable[[Evidence], Found | None]
    changes: Callable[[Evidence], list[Change]] = lambda evidence: []
    by_trial: bool = False
    always: bool = False


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _rates(*factors: float) -> Callable[[Evidence], list[Change]]:
    return lambda evidence: [
        ("lr", _rounded(evidence.learning_rate * factor)) for factor in factors if evidence.learning_rate > 0
    ]


def _start(evidence: Evidence, factor: float = 10.0) -> list[Change]:
    """A start of gain 1; of a model whose gains are not known, parameters so many times as large."""
    return [("gain", 1.0) if evidence.gains else ("scale", factor)]


def _is_small(evidence: Evidence) -> bool:
    return not evidence.gains or min(evidence.gains) < SMALL_START


def _on_plateau(evidence: Evidence) -> bool:
    return evidence.stage == "initial plateau"


def _is_shut(evidence: Evidence) -> bool:
    """Whether a layer starts at its bounds, which lets so little pass that its gradients are no one else's fault."""
    return any(layer.saturated_at_start > AT_BOUND for layer in evidence.layers)


def _worst(evidence: Evidence, share: Callable[[LayerEvidence], float]) -> tuple[LayerEvidence | None, float]:
    layer = max(evidence.layers, key=share, default=None)
    return (None, 0.0) if layer is None else (layer, share(layer))


def stands_still(evidence: Evidence) -> Found | None:
    """No weight of the model that is watched moves, so the losses are none of its learning."""
    since = evidence.still_since
    return None if since is None else {"since": since, "gradients": evidence.has_gradients}


def paired_rows(evidence: Evidence) -> Found | None:
    """A loop whose loss pairs every row with every other, as of outputs and targets of different shapes."""
    if evidence.paired is None:
        return None
    rows, *rest = evidence.paired
    return {"shape": str(evidence.paired), "together": str((rows, rows)), "other": str((rows,) if rest else (rows, 1))}


def mismatched_shapes(evidence: Evidence) -> Found | None:
    """Outputs and targets of as many numbers, in shapes that NumPy's rules pair every row with every other."""
    if evidence.broadcast is None:
        return None
    outputs, targets = evidence.broadcast
    return {"outputs": str(outputs), "targets": str(targets)}


def _against_mismatch(evidence: Evidence) -> list[Change]:
    return [] if evidence.broadcast is None else [("reshape", (-1, *evidence.broadcast[0][1:]))]


def constant_target(evidence: Evidence) -> Found | None:
    """The targets are the same on all rows."""
    return {"rows": evidence.rows} if evidence.constant_target else None


def constant_inputs(evidence: Evidence) -> Found | None:
    """The inputs are the same on all rows."""
    return {"rows": evidence.rows} if evidence.constant_inputs else None


def softmax_twice(evidence: Evidence) -> Found | None:
    """The outputs are probabilities, and the loss takes them for logits."""
    return None if evidence.squashed is None else {"function": evidence.squashed}


def _against_bound(evidence: Evidence) -> list[Change]:
    return [] if evidence.bound is None else [("unbound", evidence.bound[0])]


def leak(evidence: Evidence) -> Found | None:
    """Inputs that tell the target alone, as `nucleate.problems` finds them."""
    return {"columns": list(evidence.leaks), "column": evidence.leaks[0]} if evidence.leaks else None


def gradients_add_up(evidence: Evidence) -> Found | None:
    """Gradients of a person's own loop that are never set to zero."""
    if not evidence.added_steps or evidence.added_up <= ADDED_UP:
        return None
    return {"steps": evidence.added_steps, "times": evidence.added_up}


def other_rows(evidence: Evidence) -> Found | None:
    """A loop whose losses are far below those that its model has on batches of the rows that are given."""
    mean, least = evidence.batch_losses
    # One that has learned nothing shows nothing.
    if not evidence.loop_loss < min(ELSEWHERE * least, evidence.constant_loss / 2):
        return None
    return {"loss": evidence.loop_loss, "mean": mean, "least": least}


def eval_mode(evidence: Evidence) -> Found | None:
    """A loop that trains a model in eval mode, of which some parts do something else in training."""
    if not evidence.eval_parts or 2 * evidence.in_eval <= evidence.records:
        return None
    return {"records": evidence.in_eval, "of": evidence.records, "parts": _named(evidence.eval_parts)}


def sorted_rows(evidence: Evidence) -> Found | None:
    """Batches that each have targets of their own, as where rows are sorted by these and not shuffled."""
    return {"share": evidence.between_batches} if evidence.between_batches > SORTED else None


def repeated_rows(evidence: Evidence) -> Found | None:
    """Rows that are the same ones again and again."""
    return {"rows": evidence.rows_read, "distinct": evidence.rows_distinct} if evidence.rows_distinct else None


def kept_from_training(evidence: Evidence) -> Found | None:
    """Parameters that the optimizer is not given, or that require no gradient."""
    parts = evidence.untrained_parts
    return {"share": evidence.untrained, "parts": _named(parts)} if parts else None


def _named(parts: Sequence[str]) -> str:
    return ", ".join(parts[:3]) + ", ..." * (len(parts) > 3)


def no_gradient(evidence: Evidence) -> Found | None:
    """Parameters on which the outputs depend, and which no gradient reaches."""
    parts = evidence.unreached_parts
    return {"share": evidence.unreached, "parts": _named(parts)} if parts else None


def parts_without_gradient(evidence: Evidence) -> Found | None:
    """Parameters that have had no gradient at any record of a watch, of which it is not known whether they are used."""
    parts, since = evidence.without_gradient_parts, evidence.without_gradient_since
    return {"since": since, "share": evidence.without_gradient, "parts": _named(parts)} if parts else None


def out_of_reach(evidence: Evidence) -> Found | None:
    """Targets that the activation of the outputs does not let them reach."""
    if evidence.bound is None or evidence.out_of_reach <= OUTSIDE:
        return None
    function, interval = evidence.bound
    return {"function": function, "interval": interval, "share": evidence.out_of_reach}


def underflow(evidence: Evidence) -> Found | None:
    """Rounding takes the steps of most parameters while nothing has been learned."""
    if _is_shut(evidence) or evidence.learning_rate <= TOO_SMALL * evidence.scheduled_rate:
        return None
    if evidence.underflowed or (_on_plateau(evidence) and _is_small(evidence) and evidence.lost > LOST):
        return {"lost": evidence.lost, "loss": float(evidence.train_loss[-1])}
    return None


def adam_epsilon(evidence: Evidence) -> Found | None:
    """The optimizer's epsilon exceeds most gradients while nothing has been learned."""
    if evidence.epsilon > 0 and evidence.damped > DAMPED and _on_plateau(evidence) and not _is_shut(evidence):
        return {"damped": evidence.damped, "epsilon": evidence.epsilon}
    return None


def unscaled_input(evidence: Evidence) -> Found | None:
    """An input, or all of them, far from order 1; columns of zeros and ones are of it."""
    sizes = np.where(evidence.column_is_binary, np.nan, evidence.column_sizes)
    if np.isnan(sizes).all():
        return None
    place = int(np.nanargmax(sizes))
    if TOO_SMALL <= sizes[place] <= TOO_LARGE:
        return None
    names = evidence.columns
    others = np.delete(sizes, place)
    return {
        "column": names[place] if place < len(names) else str(place + 1),
        "size": float(sizes[place]),
        "others": float(np.nanmedian(others)) if not np.isnan(others).all() else None,
    }


def _against_scale(evidence: Evidence) -> list[Change]:
    """Standardized inputs, and with them a rate that is as far below the edge as the one that the inputs asked for."""
    found = unscaled_input(evidence)
    size = 1.0 if found is None else found["size"]
    known = (size**2, USUAL_OF_GD) if evidence.follows_gradient else (size, USUAL)
    rate = min(evidence.learning_rate * known[0], known[1])
    more: list[Change] = [("rescaled", _rounded(rate))] if rate > evidence.learning_rate else []
    return [("standardize", "inputs"), *more]


def unscaled_target(evidence: Evidence) -> Found | None:
    """Targets far from order 1, far from zero, or of which a few rows have most of the squares."""
    off, swamped = _is_off(evidence), _is_swamped(evidence)
    if not (off or swamped):
        return None
    sizes = {"size": evidence.target_size, "offset": evidence.target_offset, "top": evidence.target_top}
    return {**sizes, "off": off, "swamped": swamped}


def _is_off(evidence: Evidence) -> bool:
    return not TOO_SMALL <= evidence.target_size <= TOO_LARGE or evidence.target_offset > TOO_LARGE


def _is_swamped(evidence: Evidence) -> bool:
    """Whether a few rows have most of the squares, so that shares of the loss tell of these alone."""
    return evidence.rows >= TOP_ROWS and evidence.target_top > TOP_SHARE


def _against_target(evidence: Evidence) -> list[Change]:
    changes: list[Change] = [("standardize", "target")] if _is_off(evidence) else []
    return [*changes, ("loss", "huber:1")] if _is_swamped(evidence) else changes


def exploding_gradient(evidence: Evidence) -> Found | None:
    """At the start outputs are far larger than the targets, and no bounded activation is the reason."""
    if _is_shut(evidence):
        return None
    start = float(evidence.train_loss[0] / max(evidence.constant_loss, 1e-300))
    grown = evidence.layers[-1].signal / max(evidence.layers[0].signal, 1e-300) if evidence.layers else 1.0
    # What the mean of the targets adds to the loss is not the outputs'.
    large = start > EXPLODED * (1 + evidence.target_offset**2)
    if large or (len(evidence.layers) >= DEEP and grown > EXPLODED):
        return {"start": start, "grown": grown}
    return None


def vanishing_gradient(evidence: Evidence) -> Found | None:
    """The first layer's gradient is a small part of the last one's, and not because the start is small."""
    if len(evidence.layers) < DEEP or (evidence.gains and min(evidence.gains) < SMALL_START):
        return None
    if any(max(layer.dead, layer.dead_at_start) >= 1 for layer in evidence.layers):
        return None
    share = evidence.layers[0].gradient / max(evidence.layers[-1].gradient, 1e-300)
    return {"share": share, "layers": len(evidence.layers)} if share < VANISHED else None


def _steeper(evidence: Evidence) -> list[Change]:
    """Activations whose slope does not shrink a gradient, but the network's own."""
    return [("activation", name) for name in ("relu", "tanh") if name != evidence.activation]


def decay_too_large(evidence: Evidence) -> Found | None:
    """A weight decay that counts in so many steps; through steps of fixed size any may, as it decides their sign."""
    decay = evidence.weight_decay
    reach = evidence.learning_rate * evidence.rate_share * decay * evidence.budget
    return {"decay": decay, "reach": reach} if decay > 0 and (reach > DECAYED or not _shrinks(evidence)) else None


def _shrinks(evidence: Evidence) -> bool:
    """Whether each step takes the rate times the decay off the weights."""
    return evidence.decays_beside or evidence.follows_gradient


def has_wiped_out(evidence: Evidence) -> bool:
    """Whether a step's decay takes all of the weights, or more; of a usual decay that is the rate's doing."""
    return _undoes(evidence, evidence.learning_rate * evidence.weight_decay)


def has_decayed(evidence: Evidence) -> bool:
    """Whether what was learned is gone again, and the decay of all steps is reason enough."""
    reach = evidence.learning_rate * evidence.rate_share * evidence.weight_decay * evidence.budget
    return evidence.has_forgotten and _undoes(evidence, reach)


def _undoes(evidence: Evidence, reach: float) -> bool:
    return _shrinks(evidence) and reach >= WIPED and evidence.weight_decay > USUAL_DECAY


def dropout_too_large(evidence: Evidence) -> Found | None:
    """Each step is of few of the units."""
    return {"dropout": evidence.dropout} if evidence.dropout > DROPPED else None


def norm_over_batch(evidence: Evidence) -> Found | None:
    """Norms over batches of few rows, or whose statistics of a batch and of evaluation are not the same."""
    if evidence.norm_rows is None or not evidence.trained:
        return None
    last, by_batch = float(evidence.train_loss[-1]), evidence.loss_of_batches
    if evidence.norm_rows >= FEW_IN_BATCH and not last > DISAGREE * by_batch:
        return None
    return {"rows": evidence.norm_rows, "training": by_batch, "evaluation": last}


def rate_too_large(evidence: Evidence) -> Found | None:
    """The loss blew up, rose again, was driven far above its start, or jumps back and forth."""
    half = evidence.train_loss[len(evidence.train_loss) // 2 :]
    jumps = noise(half) / max(float(np.median(half)), 1e-300)
    edge = evidence.learning_rate * evidence.sharpness
    seen = {
        "bounds": evidence.blown_up,
        "driven": evidence.worst > WORSE or jumps > TURNS,
        "rise": evidence.stage == "rise" or evidence.has_forgotten,
        "edge": evidence.follows_gradient and edge > EDGE,
    }
    by = next((name for name, holds in seen.items() if holds), None)
    found = {"worst": evidence.worst, "jumps": jumps, "edge": edge, "status": evidence.status, "by": by}
    return None if by is None else found | _of_watch(evidence)


def _of_watch(evidence: Evidence) -> Found:
    return {} if evidence.is_over else {"watched": True}


def summed_loss(evidence: Evidence) -> Found | None:
    """Steps that are too long by a loss that is summed over the rows."""
    is_so = evidence.summed_rows is not None and evidence.follows_gradient and rate_too_large(evidence) is not None
    return {"rows": evidence.summed_rows, "rate": evidence.learning_rate} if is_so else None


def saturated(evidence: Evidence) -> Found | None:
    """Most pairs of unit and row of a layer are at a bound of its activation."""
    layer, share = _worst(evidence, lambda one: one.saturated)
    if layer is None or share < AT_BOUND:
        return None
    return {"layer": layer.name, "share": share, "at_start": layer.saturated_at_start}


def _against_bounds(evidence: Evidence) -> list[Change]:
    layer, _ = _worst(evidence, lambda one: one.saturated)
    at_start = layer is not None and layer.saturated_at_start > AT_BOUND
    changes = [*_start(evidence, 0.1), *_rates(0.1)(evidence)]
    return changes if at_start else changes[::-1]


def dead_layer(evidence: Evidence) -> Found | None:
    """A layer without a live unit."""
    layer, share = _worst(evidence, lambda one: one.dead)
    if layer is None or (share < 1 and not evidence.died):
        return None
    return {"layer": layer.name, "units": layer.width, "at_start": layer.dead_at_start}


def _against_death(evidence: Evidence) -> list[Change]:
    layer, _ = _worst(evidence, lambda one: one.dead)
    born = layer is not None and layer.dead_at_start >= DEAD
    rates = [] if born else _rates(0.1, 0.01)(evidence)
    return [*rates, ("activation", "leaky_relu"), ("activation", "tanh")]


def dead_units(evidence: Evidence) -> Found | None:
    """Half or more of a layer's units give the same on all rows."""
    layer, share = _worst(evidence, lambda one: one.dead)
    if layer is None or layer.width <= HANDFUL or not DEAD <= share < 1:
        return None
    # Of a small start with biases, half the ReLUs behind the first layer are off until the plateau ends.
    if _on_plateau(evidence) and _is_small(evidence) and share <= layer.dead_at_start:
        return None
    return {"layer": layer.name, "share": share, "units": layer.width, "at_start": layer.dead_at_start}


def initial_plateau(evidence: Evidence) -> Found | None:
    """The loss has not fallen by 1 % of its plateau's, see `nucleate.observe.stages`."""
    if evidence.blown_up or not _on_plateau(evidence):
        return None
    found: Found = {"steps": int(evidence.steps[-1]), "loss": float(evidence.train_loss[-1])}
    return found | ({"gain": min(evidence.gains)} if evidence.gains else {})


def _against_plateau(evidence: Evidence) -> list[Change]:
    return [*_start(evidence), *_rates(10, 100)(evidence)] if _is_small(evidence) else []


def rate_too_small(evidence: Evidence) -> Found | None:
    """Steps that could be far longer, and a loss that never rose."""
    if evidence.blown_up or evidence.worst > WORSE or _starts_alike(evidence):
        return None
    rate = evidence.learning_rate * evidence.rate_share
    edge, reach = rate * evidence.sharpness, rate * evidence.budget
    slow = edge < SLOW if evidence.follows_gradient else reach < SHORT and rate < USUAL
    found: Found = {"edge": edge, "reach": reach}
    if _is_cut_by_scheduler(evidence):
        return found | {"rate": evidence.learning_rate, "scheduled": evidence.scheduled_rate}
    return found if slow else None


def _is_cut_by_scheduler(evidence: Evidence) -> bool:
    return evidence.learning_rate < CUT * evidence.scheduled_rate


def has_not_moved(evidence: Evidence) -> bool:
    """Whether all steps together are too short for the steepest direction of the loss, and no small start flattens it.

    Along a direction of curvature k gradient flow leaves e^-kt of the way; the time t is the rate times the steps.
    """
    time = evidence.learning_rate * evidence.rate_share * evidence.budget
    return evidence.follows_gradient and time * evidence.sharpness < 1 and not _is_small(evidence)


def _faster(evidence: Evidence) -> list[Change]:
    """Longer steps, and as long as the criterion asks for."""
    known = evidence.follows_gradient and evidence.sharpness > 0
    asked = 1 / evidence.sharpness if known else 3 * SHORT / evidence.budget
    changes = _rates(10, 100)(evidence)
    if evidence.rate_share < CUT:
        changes = [("schedule", "constant"), *changes]
    if _is_cut_by_scheduler(evidence):
        changes = [("lr", evidence.scheduled_rate), *changes]
    return [*changes, ("lr", _rounded(asked))] if asked > 100 * evidence.learning_rate else changes


def _starts_alike(evidence: Evidence) -> bool:
    """Whether all units of a layer start as one, as constant weights make them."""
    return any(layer.width > HANDFUL and 0 < layer.effective_at_start <= AS_ONE for layer in evidence.layers)


def stopped_too_early(evidence: Evidence) -> Found | None:
    """The run ended while its loss was falling, before it fell, or by early stopping."""
    if not (evidence.trained and evidence.is_over) or _starts_alike(evidence):
        return None
    last = int(evidence.steps[-1])
    before = float(np.interp(last / AHEAD, evidence.steps, evidence.train_loss))
    falling = 1 - float(evidence.train_loss[-1]) / max(before, 1e-300)
    if evidence.stopped_early or falling >= FLAT or evidence.stage in ("initial plateau", "descent"):
        best = int(evidence.steps[int(np.argmin(evidence.validation_loss))])
        return {"best": best, "steps": last, "falling": falling, "stage": evidence.stage}
    return None


def _longer(evidence: Evidence) -> list[Change]:
    last = max(evidence.budget, int(evidence.steps[-1]))
    return [("steps", 4 * last), *([("steps", 16 * last)] if _on_plateau(evidence) else [])]


def secondary_plateau(evidence: Evidence) -> Found | None:
    """The loss has fallen, and become flat."""
    if evidence.stage != "secondary plateau" or _starts_alike(evidence):
        return None
    share = evidence.explained_in_training
    return {"loss": float(evidence.train_loss[-1]), "explained": share, "steps": int(evidence.steps[-1])}


def _against_secondary(evidence: Evidence) -> list[Change]:
    small = _start(evidence) if _is_small(evidence) else []
    return [*small, *_rates(10)(evidence), ("steps", 4 * evidence.budget), ("steps", 16 * evidence.budget)]


def too_few_units(evidence: Evidence) -> Found | None:
    """A narrow layer whose units were of use from the start, in a run that left its plateau."""
    widths = [layer.width for layer in evidence.layers]
    useless = _starts_alike(evidence) or _is_shut(evidence)
    unfit = not evidence.trained or _on_plateau(evidence) or useless
    if not widths or min(widths) > NARROW or unfit:
        return None
    return {"units": min(widths), "loss": float(evidence.train_loss.min())}


def _wider(evidence: Evidence) -> list[Change]:
    widths = [layer.width for layer in evidence.layers]
    return [("hidden", tuple(max(4 * width, NARROW) for width in widths))]


def collapsed(evidence: Evidence) -> Found | None:
    """A layer works as few neurons, and fewer than chance had it at the start; or all its units started alike."""
    for layer in evidence.layers if evidence.trained else ():
        few = max(CONDENSED_SHARE * layer.width, min(CONDENSED_COUNT, layer.width / 2))
        alike = layer.width > HANDFUL and layer.effective_at_start <= AS_ONE
        if 0 < layer.effective <= few and (alike or layer.effective < CHANCE * layer.effective_at_start):
            return {
                "layer": layer.name,
                "effective": layer.effective,
                "units": layer.width,
                "by_chance": layer.effective_at_start,
            }
    return None


def constant_output(evidence: Evidence) -> Found | None:
    """The outputs are the same on all rows at the end."""
    if evidence.constant_since is None:
        return None
    dead, share = _worst(evidence, lambda one: max(one.dead, one.saturated))
    layer = None if dead is None or share < 1 else dead.name
    found: Found = {"since": evidence.constant_since, "layer": layer}
    # Of a network it is the start; a module may do anything.
    is_module_s = evidence.of_copies and evidence.constant_since == 0 and layer is None
    return found | ({"always": True} if is_module_s else {})


def only_the_mean(evidence: Evidence) -> Found | None:
    """The predictions hardly vary over the rows."""
    return {"spread": evidence.output_spread} if evidence.output_spread < SAME_AS_MEAN else None


def overfitting(evidence: Evidence) -> Found | None:
    """Validation has become worse beyond its noise, or hardly has any of what was learned in training."""
    if not evidence.trained or evidence.has_forgotten or _is_swamped(evidence):
        return None
    best = int(np.argmin(evidence.validation_loss))
    lost = evidence.explained - explained(float(evidence.validation_loss[-1]), evidence.constant_validation)
    gap = evidence.explained_in_training - evidence.explained
    if (lost > OVERFIT and evidence.final_beside_best == "worse") or gap > GAP:
        found = {"step": int(evidence.steps[best]), "explained": evidence.explained, "forgotten": lost, "gap": gap}
        return found | _of_decay(evidence)
    return None


def _of_decay(evidence: Evidence) -> Found:
    """What a weight decay of its own has taken off weights that nothing else moves."""
    if not (evidence.weight_decay > 0 and _shrinks(evidence)):
        return {}
    reach = evidence.learning_rate * evidence.rate_share * evidence.weight_decay * float(evidence.steps[-1])
    return {"decay": evidence.weight_decay, "decayed": 1 - float(np.exp(-reach))}


def linear_is_enough(evidence: Evidence) -> Found | None:
    """On validation the network is not better than a linear model that has learned something."""
    share = explained(evidence.linear_validation, evidence.constant_validation)
    if evidence.beside_linear == "better" or not share >= LEAST or _are_few(evidence) or _is_swamped(evidence):
        return None
    return {"linear": share, "network": evidence.explained}


def nothing_to_learn(evidence: Evidence) -> Found | None:
    """On validation neither the network nor a linear model, where one was fitted, is better than a constant."""
    share = explained(evidence.linear_validation, evidence.constant_validation)
    by_chance = max(LEAST, CHANCE_ROWS / evidence.validation_rows) if evidence.beside_constant == "alike" else LEAST
    learned = evidence.beside_constant == "better" or share >= LEAST or evidence.explained >= by_chance
    # Outputs of a module that never varied have not asked the inputs.
    never_varied = evidence.of_copies and evidence.constant_since == 0
    if learned or _are_few(evidence) or _is_swamped(evidence) or never_varied:
        return None
    return {"linear": None if np.isnan(share) else share, "network": evidence.explained}


def _are_few(evidence: Evidence) -> bool:
    return evidence.validation_rows < ENOUGH_ROWS


def too_few_rows(evidence: Evidence) -> Found | None:
    """So few validation rows that they cannot tell what was learned from chance."""
    return {"rows": evidence.validation_rows, "explained": evidence.explained} if _are_few(evidence) else None


def fine(evidence: Evidence) -> Found | None:
    """Nothing holds it back that a change of one setting would mend."""
    unfit = evidence.beside_constant == "worse" or _on_plateau(evidence) or _are_few(evidence)
    if not evidence.trained or evidence.has_forgotten or unfit or _is_swamped(evidence):
        return None
    return of_fine(evidence)


def of_fine(evidence: Evidence) -> Found:
    """The numbers of a run that nothing holds back."""
    found: Found = {"explained": evidence.explained, "beside_constant": evidence.beside_constant}
    return found | ({"steps": evidence.budget} if evidence.of_copies else _of_watch(evidence))


def is_held_back(evidence: Evidence) -> bool:
    """Whether a change of settings could let a run explain so much more that it counts; see `HELD_BACK`."""
    return not evidence.trained or evidence.kept < HELD_BACK or _is_swamped(evidence)


CAUSES: tuple[Verdict, ...] = (
    Verdict("stands_still", stands_still, always=True),
    Verdict("gradients_add_up", gradients_add_up, lambda evidence: [("zero_grad", True)], always=True),
    Verdict("other_rows", other_rows, always=True),
    Verdict("paired_rows", paired_rows, always=True),
    Verdict("eval_mode", eval_mode, always=True),
    Verdict("mismatched_shapes", mismatched_shapes, _against_mismatch),
    Verdict("constant_target", constant_target, always=True),
    Verdict("constant_inputs", constant_inputs, always=True),
    Verdict("softmax_twice", softmax_twice, lambda evidence: [("unsquash", evidence.squashed)]),
    Verdict("out_of_reach", out_of_reach, _against_bound, always=True),
    Verdict("leak", leak, lambda evidence: [("without", column) for column in evidence.leaks], always=True),
    Verdict("repeated_rows", repeated_rows, always=True),
    Verdict("sorted_rows", sorted_rows, lambda evidence: [("shuffle", True)], by_trial=True),
    Verdict("kept_from_training", kept_from_training, lambda evidence: [("train", "all")], by_trial=True),
    Verdict("no_gradient", no_gradient, always=True),
    Verdict("underflow", underflow, lambda evidence: [("dtype", "float64"), *_start(evidence)]),
    Verdict("adam_epsilon", adam_epsilon, lambda evidence: [("eps", evidence.epsilon * 1e-8), *_start(evidence)]),
    Verdict("unscaled_input", unscaled_input, _against_scale),
    Verdict("unscaled_target", unscaled_target, _against_target),
    Verdict("exploding_gradient", exploding_gradient, lambda evidence: [*_start(evidence, 0.1), ("clip", 1.0)]),
    Verdict("decay_too_large", decay_too_large, lambda evidence: [("weight_decay", 0.0)], by_trial=True),
    Verdict("dropout_too_large", dropout_too_large, lambda evidence: [("dropout", 0.0)], by_trial=True),
    Verdict("norm_over_batch", norm_over_batch, lambda evidence: [("norm", "row"), ("batch_size", 32)], by_trial=True),
    Verdict("summed_loss", summed_loss, lambda evidence: [("reduction", "mean")]),
    Verdict("rate_too_large", rate_too_large, _rates(0.1, 0.01, 0.001)),
    Verdict("vanishing_gradient", vanishing_gradient, _steeper),
    Verdict("saturated", saturated, _against_bounds),
    Verdict("dead_layer", dead_layer, _against_death),
    Verdict("dead_units", dead_units, _against_death, always=True),
    Verdict("parts_without_gradient", parts_without_gradient, always=True),
    Verdict("initial_plateau", initial_plateau, _against_plateau),
    Verdict("rate_too_small", rate_too_small, _faster, by_trial=True),
    Verdict("stopped_too_early", stopped_too_early, _longer, by_trial=True),
    Verdict("too_few_units", too_few_units, _wider, by_trial=True),
    Verdict("secondary_plateau", secondary_plateau, _against_secondary, by_trial=True),
    Verdict("collapsed", collapsed, _start, always=True),
    Verdict("constant_output", constant_output, lambda evidence: [("seed", 1)]),
    Verdict("only_the_mean", only_the_mean),
    Verdict("overfitting", overfitting, lambda evidence: [("early_stopping", True)], always=True),
    Verdict("linear_is_enough", linear_is_enough, always=True),
    Verdict("nothing_to_learn", nothing_to_learn),
    Verdict("too_few_rows", too_few_rows, always=True),
    Verdict("fine", fine, always=True),
)
"""In the order in which one is the cause of another: data, numbers, steps, signals, saddles, size."""

BY_NAME: Mapping[str, Verdict] = {verdict.name: verdict for verdict in CAUSES}
