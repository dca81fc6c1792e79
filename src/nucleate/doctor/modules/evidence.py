"""What is measured of a PyTorch module and its rows: before, while and after a copy of it is trained."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nucleate.doctor.evidence import (
    LEAST,
    NO_SLOPE,
    Evidence,
    LayerEvidence,
    constant_since,
    explained,
    offset_of,
    parts_of,
    top_share,
)
from nucleate.doctor.modules.copies import (
    STEPS,
    Rows,
    compare_rows,
    constant_outputs,
    loss_of,
    losses_of_rows,
    run_copy,
    take_step,
)
from nucleate.doctor.modules.setting import Setting, are_shares, dropouts_in, gains_in, undisturbed
from nucleate.errors import SpecError
from nucleate.observe.curve import LEFT
from nucleate.pytorch.exchange import evaluating, hooked, import_torch, same_attributes, size_of
from nucleate.pytorch.layers import kind_of, norm_of
from nucleate.pytorch.of_loss import making_of

_POWER_STEPS = 12
_LOOKED_AT, _PAIRED = 64, 8
_BATCHES = 4
"""Of fewer batches it is not known how low the loss of one may be."""
_LAST = 8
_MANY_STEPS = 50
_FLAT = 1e-6
_ROUNDING = 1e-5
"""A loss below zero by less than this share of its start is zero but for rounding."""


def gather_module(setting: Setting, steps: int = STEPS) -> Evidence:
    """All that is measured of a module as it is set up, of copies that are trained for some steps.

    A linear model is not fitted; the network counts as better than it.
    """
    torch = import_torch()
    with undisturbed(torch):
        made = setting.copied()
        before = _signals(torch, made)
        slopes = _gradients(made)
        course = run_copy(made, steps)
        if not course.steps:
            raise SpecError("The loss is NaN or infinite before the first step; look at the data, or at the start.")
        after = _signals(torch, made)
        outputs = made.outputs(made.train)
        group, *_ = groups = made.optimizer.param_groups
        # Often biases are in a group without a decay.
        decaying = max(groups, key=lambda one: float(one.get("weight_decay") or 0.0))
        constant = constant_outputs(torch, setting)
        constants = [loss_of(setting, constant, part) for part in (setting.train, setting.validation)]
        if not all(map(math.isfinite, constants)):
            # A loss without a best constant is held against its start.
            constant, constants = None, [course.train[0], course.validation[0]]
        of_constant, least = min(constants), min(*course.train, *course.validation)
        bound = -_ROUNDING * abs(course.train[0])
        if of_constant < bound or least < bound:
            below = (
                f"of the best constant output is {of_constant:.4g}" if of_constant < bound else f"falls to {least:.4g}"
            )
            raise SpecError(
                f"The loss {below}, and verdicts rest on the share of the constant's that is taken off, of a loss that "
                "is zero where the outputs are right; give such a loss, as 1 - cosine in the place of -cosine, or the "
                "loss less its least value."
            )
        constants = [max(one, 0.0) for one in constants]
        lost, damped = _last_step(torch, made, float(group.get("eps", 0.0)))
        follows = isinstance(setting.optimizer, torch.optim.SGD)
        sharpness = _sharpness(torch, made) if follows and not course.blown_up else math.nan
        unreached = _unreached(torch, setting)
        best = course.losses_of_rows(at_the_end=False)
        kept = course.losses_of_rows(at_the_end=course.forgets(*constants))
        added_steps, added_up = _added_up(torch, setting)
        normed = any(norm_of(part) == "batch" for part in made.module.modules())
        by_batch = float(np.mean(_losses_of_batches(torch, made))) if normed else math.nan
        beside_constant = _beside_constant(setting, best, constant, explained(min(course.validation), constants[1]))
        batch = min(setting.batch_size, setting.train.stop)
        summed = batch if _is_summed(torch, setting) else None
        if summed:
            # Steps are by the sum over a batch.
            sharpness *= batch / setting.train.stop
    untrained = [
        (name, one.numel())
        for name, one in setting.module.named_parameters()
        if one.is_floating_point() and not setting.trains(one)
    ]
    count = sum(one.numel() for one in setting.module.parameters())
    numbers, spread = _spread(outputs, made)
    return Evidence(
        status=course.status,
        steps=np.array(course.steps),
        train_loss=np.array(course.train),
        validation_loss=np.array(course.validation),
        constant_loss=constants[0],
        constant_validation=constants[1],
        linear_validation=math.nan,
        plateau_loss=constants[0],
        budget=steps,
        learning_rate=float(group["lr"]),
        scheduled_rate=_scheduled_rate(setting.optimizer),
        follows_gradient=follows,
        weight_decay=float(decaying.get("weight_decay") or 0.0),
        decays_beside=isinstance(setting.optimizer, torch.optim.AdamW) or bool(decaying.get("decoupled_weight_decay")),
        gains=tuple(gain for _, gain in gains_in(setting.module)),
        epsilon=float(group.get("eps", 0.0)),
        dropout=max((value for _, _, value in dropouts_in(setting.module)), default=0.0),
        layers=tuple(
            _layer(name, signal, after.get(name, signal), slopes.get(name, math.nan)) for name, signal in before.items()
        ),
        rows=setting.train.stop,
        validation_rows=len(setting.y[setting.validation]),
        parameters=count,
        beside_constant=beside_constant,
        losses_of_rows=kept,
        summed_rows=summed,
        beside_linear="better",
        output_spread=spread,
        constant_since=constant_since(np.array(course.steps), np.array(course.train)) if numbers else None,
        **_scales(torch, setting),
        lost=lost,
        damped=damped,
        sharpness=sharpness,
        broadcast=_broadcast(torch, setting, outputs),
        squashed=_squashed(torch, made, outputs),
        constant_target=bool((setting.y[setting.train] == setting.y[:1]).all()),
        constant_inputs=bool((setting.x[setting.train] == setting.x[:1]).all()),
        untrained=sum(size for _, size in untrained) / count,
        untrained_parts=parts_of(name for name, _ in untrained),
        unreached=sum(unreached.values()) / count,
        unreached_parts=parts_of(unreached),
        between_batches=setting.between if setting.in_order else 0.0,
        rows_read=setting.read,
        rows_distinct=len(setting.y) if setting.read else 0,
        added_steps=added_steps,
        added_up=added_up,
        norm_rows=batch if normed else None,
        loss_of_batches=by_batch,
        of_copies=True,
        **_bound(torch, before, setting),
    )


def beside_loop(evidence: Evidence, setting: Setting, watched: Any) -> Evidence:
    """The same evidence with what a watch has seen of the person's own loop."""
    torch, own = import_torch(), watched.evidence
    losses = [watched.losses[step] for step in sorted(watched.losses)]
    with undisturbed(torch):
        # In the lower of its modes: a person's own loop may have been in either, or some parts of the module.
        of_batches = min((_losses_of_batches(torch, setting.copied(), mode) for mode in (True, False)), key=np.mean)
    fields: dict[str, Any] = {"in_eval": own.in_eval, "records": own.records, "eval_parts": own.eval_parts}
    if own.paired and evidence.broadcast is None and not _pairs_rows(torch, setting):
        fields["paired"] = own.paired
    if own.added_steps:
        fields |= {"added_steps": own.added_steps, "added_up": own.added_up}
    tells = len(of_batches) >= _BATCHES and not (own.blown_up or setting.in_order)
    if tells and max(losses[:_BATCHES]) > evidence.constant_loss / 2:
        # Nothing is told of a loss that is another's, as one that is divided by something, nor where rows come sorted.
        batch_losses = float(np.mean(of_batches)), min(of_batches)
        fields |= {"loop_loss": float(np.median(losses[-_LAST:])), "batch_losses": batch_losses}
    return replace(evidence, **fields)


def _pairs_rows(torch: Any, setting: Setting) -> bool:
    """Whether the loss takes each row with every other of these data too, and so on purpose."""
    module = setting.copied().module
    with undisturbed(torch), torch.enable_grad():
        return making_of(setting.loss(module(setting.x[:_PAIRED]), setting.y[:_PAIRED])).paired is not None


def _losses_of_batches(torch: Any, setting: Setting, mode: bool = True) -> list[float]:
    """Of batches of the training rows at a module as it is, in a mode; what it changes of itself is set back."""
    module, state = setting.module, copy.deepcopy(setting.module.state_dict())
    places = torch.arange(setting.train.stop, device=setting.y.device)
    # The rows of a setting are in an order of chance, but for those that came sorted.
    if setting.in_order:
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(0)).to(places.device)]
    batches = [one for one in places.split(setting.batch_size) if len(one) == min(setting.batch_size, len(places))]
    with torch.no_grad(), same_attributes(module):
        module.train(mode)
        found = [float(setting.loss(module(setting.x[one]), setting.y[one])) for one in batches[:_LOOKED_AT]]
    module.load_state_dict(state)
    return found


def _added_up(torch: Any, setting: Setting) -> tuple[int, float]:
    """How often the gradients that a loop has left were added to, and how much larger they are than those of a batch.

    Those that zero_grad takes away or sets to zero are of one step, and no larger.
    """
    known = setting.module.named_parameters()
    # What an optimizer is not given it does not set to zero either.
    left = {name: one.grad for name, one in known if one.grad is not None and setting.trains(one)}
    states = setting.optimizer.state.values()
    steps = [float(one["step"]) for one in states if "step" in one]
    written = 1 + max((one._version for one in left.values()), default=-1)
    size = size_of(left.values())
    # What sets them to zero in each step, or clips them, writes to them too.
    more_often = bool(steps) and written > 1.5 * max(steps)
    if written < max(steps, default=_MANY_STEPS) or written < 2 or more_often or not math.isfinite(size):
        return 0, 0.0
    made, largest = setting.copied(), 0.0
    made.module.train()
    for batch in torch.arange(setting.train.stop, device=setting.y.device).split(setting.batch_size)[:_LOOKED_AT]:
        made.module.zero_grad()
        setting.loss(made.module(setting.x[batch]), setting.y[batch]).backward()
        slopes = (one.grad for name, one in made.module.named_parameters() if name in left)
        largest = max(largest, size_of(one for one in slopes if one is not None))
    return (written, size / largest) if largest > 0 else (0, 0.0)


def _beside_constant(setting: Setting, best: Rows | None, constant: Callable[[slice], Any] | None, share: float) -> str:
    """As of a run; where the loss is none of single rows by the share alone."""
    of_constant = None if constant is None else losses_of_rows(setting, constant(setting.validation))
    if best is None or of_constant is None:
        return "better" if share > LEAST else "alike"
    beside = compare_rows(best, of_constant)
    # Another constant may be better on these rows.
    return "alike" if beside == "better" and share < LEFT else beside


def _scheduled_rate(optimizer: Any) -> float:
    """The largest rate that is known of: a schedule's, or that of which the optimizer was made.

    Of a scheduler that reduces the rate on a plateau the optimizer tells nothing else. Groups of parameters may have
    rates of their own.
    """
    group, *others = optimizer.param_groups
    known = [group.get("initial_lr"), group.get("max_lr"), None if others else optimizer.defaults.get("lr")]
    return max(float(rate or 0.0) for rate in known)


def _is_summed(torch: Any, setting: Setting) -> bool:
    """Whether the loss of rows given twice is twice theirs."""
    y = setting.y[setting.train][:_LOOKED_AT]
    try:
        outputs = setting.outputs(slice(len(y)))
        once, twice = (float(setting.loss(torch.cat([outputs] * times), torch.cat([y] * times))) for times in (1, 2))
    except Exception:
        # A loss of one's own may know how many rows there are.
        return False
    return once > 0 and math.isclose(twice, 2 * once, rel_tol=1e-3)


def _unreached(torch: Any, setting: Setting) -> dict[str, int]:
    """How large those parameters are that are to be trained and change the outputs, but that no gradient reaches."""
    made, rows = setting.copied(), slice(0, _LOOKED_AT)
    trained = {name for name, one in setting.module.named_parameters() if setting.trains(one)}
    own = {name: one for name, one in made.module.named_parameters() if name in trained}
    for mode in (True, False):
        value = setting.loss(made.module.train(mode)(setting.x[rows]), setting.y[rows])
        if not value.requires_grad:
            continue
        slopes = torch.autograd.grad(value, list(own.values()), allow_unused=True) if own else ()
        own = {name: one for (name, one), slope in zip(own.items(), slopes, strict=True) if slope is None}
    if not own:
        return {}

    def outputs() -> Any:
        # Of the same random numbers each time: a module may draw in eval mode too.
        with undisturbed(torch), torch.no_grad():
            return made.module(setting.x[rows])

    whole = outputs()
    if not torch.equal(outputs(), whole):
        # It draws from elsewhere, or remembers, so that nothing is told by a difference.
        return {}
    found = {}
    for name, one in own.items():
        before = one.detach().clone()
        with torch.no_grad():
            one.mul_(2).add_(1)
            if not torch.equal(outputs(), whole):
                found[name] = one.numel()
            one.copy_(before)
    return found


def _bound(torch: Any, signals: Mapping[str, "_Signal"], setting: Setting) -> Mapping[str, Any]:
    """The activation that the outputs have passed, its interval, and the share of the targets outside of it."""
    y, outputs = setting.y[setting.train], setting.copied().outputs(setting.train)
    if not torch.is_floating_point(y) or y.numel() != outputs.numel():
        return {}
    given = outputs.detach().float().cpu().numpy().ravel()
    last = next((one for one in signals.values() if np.array_equal(one.leaving.T.ravel(), given)), None)
    if last is None or last.kind not in _INTERVALS:
        return {}
    low, high, interval = _INTERVALS[last.kind]
    return {"bound": (last.kind, interval), "out_of_reach": float(((y < low) | (y > high)).float().mean())}


_INTERVALS = {
    "relu": (0.0, math.inf, "[0, ∞)"),
    "softplus": (0.0, math.inf, "(0, ∞)"),
    "sigmoid": (0.0, 1.0, "(0, 1)"),
    "tanh": (-1.0, 1.0, "(-1, 1)"),
}


class _Signal:
    """What enters and leaves an activation, as (units, rows)."""

    def __init__(self, kind: str, entering: Any, leaving: Any, of_channels: bool) -> None:
        self.kind, self.entering, self.leaving = kind, *(_units(one, of_channels) for one in (entering, leaving))


def _units(signal: Any, of_channels: bool) -> np.ndarray:
    """Channels of pictures, and of what a convolution gave, are in front of their places; features are last."""
    if signal.ndim >= 4 or (of_channels and signal.ndim == 3):
        signal = signal.movedim(1, -1)
    return signal.detach().float().reshape(-1, signal.shape[-1]).cpu().numpy().T


def _signals(torch: Any, setting: Setting) -> dict[str, _Signal]:
    """Of each application of an activation, by module or by function, named by what it is fed with."""
    functional = torch.nn.functional
    found: dict[str, _Signal] = {}
    fed: dict[int, tuple[Any, Any]] = {}
    kinds = {
        functional.relu: "relu", torch.relu: "relu", torch.Tensor.relu: "relu", functional.leaky_relu: "leaky_relu",
        torch.tanh: "tanh", torch.Tensor.tanh: "tanh", functional.tanh: "tanh", functional.gelu: "gelu",
        torch.sigmoid: "sigmoid", torch.Tensor.sigmoid: "sigmoid", functional.sigmoid: "sigmoid",
        functional.silu: "silu", functional.elu: "elu", functional.selu: "selu", functional.softplus: "softplus",
    }  # fmt: skip

    class Listening(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            before = args[0].detach().clone() if function in kinds and args else None
            result = function(*args, **(kwargs or {}))
            feeding = fed.get(id(args[0]), (None, None))[1] if args else None
            if feeding is not None and torch.is_tensor(result) and _hands_on(getattr(function, "__name__", "")):
                fed[id(result)] = (result, feeding)
            if before is not None and before.ndim >= 2:
                name = names.get(feeding, f"{kinds[function]} {len(found) + 1}")
                while name in found:
                    name += "'"
                of_channels = kind_of(feeding) == "kernel" or norm_of(feeding) in ("batch", "instance", "group")
                found[name] = _Signal(kinds[function], before, result, of_channels)
            return result

    names = {module: name for name, module in setting.module.named_modules()}

    def note(module: Any, given: Any, result: Any) -> None:
        if torch.is_tensor(result) and not (_hands_on(type(module).__name__) and not list(module.parameters())):
            # The tensor is kept, so that no other gets its number.
            fed[id(result)] = (result, module)

    leaves = [part for part in setting.module.modules() if not list(part.children())]
    with hooked(part.register_forward_hook(note) for part in leaves), Listening():
        setting.outputs(setting.train)
    return found


def _hands_on(name: str) -> bool:
    """Whether what is called so pools places or drops units, so that what comes is still of what was there before."""
    return any(part in name.lower() for part in ("pool", "dropout"))


def _layer(name: str, first: _Signal, last: _Signal, slope: float) -> LayerEvidence:
    width = len(first.leaving)
    return LayerEvidence(
        name,
        width,
        dead=_dead(last),
        dead_at_start=_dead(first),
        saturated=_saturated(last),
        effective=float(width),
        effective_at_start=float(width),
        gradient=slope,
        signal=float(first.entering.std(axis=1).mean()),
        saturated_at_start=_saturated(first),
    )


def _dead(signal: _Signal) -> float:
    """The share of units that give the same on all rows, be they off or at a bound, though what enters varies."""
    varies = np.ptp(signal.entering, axis=1) > 0
    same = np.ptp(signal.leaving, axis=1) <= _FLAT * np.abs(signal.entering).max(axis=1)
    return float(np.mean(varies & same))


def _saturated(signal: _Signal) -> float:
    if signal.kind == "tanh":
        return float(np.mean(1 - signal.leaving**2 < NO_SLOPE))
    if signal.kind == "sigmoid":
        return float(np.mean(4 * signal.leaving * (1 - signal.leaving) < NO_SLOPE))
    return 0.0


def _gradients(setting: Setting) -> dict[str, float]:
    """Of each part with a weight, the root mean square of the loss's gradient by it, at the start."""
    parts = {name: part for name, part in setting.module.named_modules() if getattr(part, "weight", None) is not None}
    with evaluating(setting.module):
        value = setting.loss(setting.module(setting.x[setting.train]), setting.y[setting.train])
        if value.requires_grad:
            value.backward()
    slopes = {
        name: float(part.weight.grad.float().pow(2).mean().sqrt())
        for name, part in parts.items()
        if part.weight.grad is not None
    }
    setting.module.zero_grad(set_to_none=True)
    return slopes


def _spread(outputs: Any, setting: Setting) -> tuple[bool, float]:
    torch = import_torch()
    rows = outputs.detach().float().reshape(len(outputs), -1)
    same = bool((rows.amax(0) - rows.amin(0) <= 1e-6 * rows.abs().max()).all())
    y = setting.y[setting.train]
    if torch.is_floating_point(y) and y.numel() == rows.numel():
        return same, float(rows.std(dim=0).max() / y.reshape(len(y), -1).std(dim=0).max().clamp_min(1e-30))
    shares = torch.softmax(outputs.float(), dim=-1) if outputs.shape[-1:] and outputs.shape[-1] > 1 else outputs.float()
    return same, float(shares.reshape(len(outputs), -1).std(dim=0).max() * 2)


def _last_step(torch: Any, setting: Setting, epsilon: float) -> tuple[float, float]:
    """The shares of the parameters that one more step leaves as they are, and whose gradient is below the epsilon."""
    parameters = [one for one in setting.module.parameters() if one.requires_grad]
    before = [one.detach().clone() for one in parameters]
    take_step(torch, setting, torch.arange(setting.train.stop, device=setting.y.device))
    slopes = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    moves = [old == new for old, new in zip(before, parameters, strict=True)]
    total = sum(one.numel() for one in parameters) or 1
    # A gradient of exactly zero is that of a dead unit, not of rounding.
    same = sum(int((still & (slope != 0)).sum()) for still, slope in zip(moves, slopes, strict=True))
    small = sum(int(((slope.abs() < epsilon) & (slope != 0)).sum()) for slope in slopes)
    return same / total, small / total if epsilon else 0.0


def _sharpness(torch: Any, setting: Setting) -> float:
    """The second derivative's eigenvalue of largest size, by power iteration."""
    parameters = [one for one in setting.module.parameters() if one.requires_grad]
    try:
        with evaluating(setting.module):
            value = setting.loss(setting.module(setting.x[setting.train]), setting.y[setting.train])
            slopes = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
        pairs = [(one, slope) for one, slope in zip(parameters, slopes, strict=True) if slope is not None]
        along = [torch.randn_like(one) for one, _ in pairs]
        size = math.nan
        for _ in range(_POWER_STEPS):
            norm = torch.sqrt(sum((one**2).sum() for one in along)).clamp_min(1e-30)
            product = sum((slope * (one / norm)).sum() for (_, slope), one in zip(pairs, along, strict=True))
            curved = torch.autograd.grad(
                product, [one for one, _ in pairs], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            along = list(curved)
            size = float(torch.sqrt(sum((one**2).sum() for one in along)))
        return size
    except RuntimeError:
        # Some of PyTorch's kernels have no second derivative.
        return math.nan


def _scales(torch: Any, setting: Setting) -> Mapping[str, Any]:
    x, y = setting.x[setting.train], setting.y[setting.train]
    known: dict[str, Any] = {"columns": (), "column_sizes": np.ones(1), "column_is_binary": np.zeros(1, bool)}
    if torch.is_floating_point(x):
        flat = x.detach().float().cpu().numpy()
        flat = flat.reshape(-1, flat.shape[-1]) if flat.ndim == 2 else flat.reshape(-1, 1)
        known["columns"] = tuple(f"x[:, {place}]" for place in range(flat.shape[1])) if x.ndim == 2 else ("x",)
        known["column_sizes"] = np.sqrt(np.mean(flat.astype(float) ** 2, axis=0))
        known["column_is_binary"] = np.all((flat == 0) | (flat == 1), axis=0)
    if torch.is_floating_point(y) and not are_shares(y):
        judged_by = setting.y.detach().float().cpu().numpy().reshape(len(setting.y), -1).astype(float)
        rows = judged_by[setting.train]
        known |= {"target_size": float(rows.std(axis=0).max()), "target_offset": offset_of(rows)}
        if _is_quadratic(setting):
            known["target_top"] = max(map(top_share, (rows, judged_by)))
    return known


def _is_quadratic(setting: Setting) -> bool:
    """Whether an error that is twice as large costs four times as much."""
    y = setting.y[setting.train]
    size = float(y.double().std())
    try:
        once, twice = (float(setting.loss(y + factor * size, y)) for factor in (1, 2))
    except Exception:
        # A loss of one's own may take outputs of another shape.
        return False
    return math.isclose(twice, 4 * once, rel_tol=0.01) and once > 0


def _broadcast(torch: Any, setting: Setting, outputs: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The shapes of outputs and targets where pairing them row by row takes every row with every other."""
    y = setting.y[setting.train]
    if not torch.is_floating_point(y) or outputs.numel() != y.numel() or outputs.shape == y.shape:
        return None
    try:
        together = torch.broadcast_shapes(outputs.shape, y.shape)
    except RuntimeError:
        return None
    return (tuple(outputs.shape), tuple(y.shape)) if math.prod(together) > y.numel() else None


def _squashed(torch: Any, setting: Setting, outputs: Any) -> str | None:
    """What outputs that are probabilities have passed, where the loss takes them for what goes into it."""
    y, shares = setting.y[setting.train], outputs.detach()
    if not torch.is_floating_point(shares) or not are_shares(shares):
        return None

    def loss(given: Any) -> float:
        return float(setting.loss(given, y))

    try:
        ways = {1: "softmax", shares.ndim - 1: "softmax", 0: "softmax (dim=0)"}
        summed = [axis for axis in ways if shares.shape[axis] > 1 and _sum_to_one(torch, shares, axis)]
        if summed:
            # A softmax does not see what is added to all classes.
            again = math.isclose(loss(shares), loss(shares + 3), rel_tol=1e-4)
            # Of the rows all shares are small.
            told = loss(shares), loss(3 * len(shares) * shares if summed[0] == 0 else 3 * shares)
            return ways[summed[0]] if again and not math.isclose(*told, rel_tol=1e-4) else None
        with evaluating(setting.module), torch.no_grad():
            bounded = all(are_shares(setting.module(factor * setting.x[setting.train])) for factor in (-1e3, 1e3))
        # Of probabilities there are none better than the labels themselves.
        labels = y.reshape(shares.shape).to(shares.dtype)
        return "sigmoid" if bounded and are_shares(y) and loss(20 * labels - 10) < loss(labels) else None
    except Exception:
        # The loss takes nothing but probabilities, or the module not such inputs.
        return None


def _sum_to_one(torch: Any, shares: Any, axis: int) -> bool:
    return bool(torch.allclose(shares.sum(axis), torch.ones_like(shares.sum(axis)), atol=1e-3))
