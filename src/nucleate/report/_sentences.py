"""The page's sentences with their numbers: the answer, the recommendation and its limits."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from nucleate.reduce import Reduction
from nucleate.report._findings import AS_GOOD, Cell, Findings
from nucleate.sweep import Study

Texts = Mapping[str, Mapping[str, str]]


def say(value: float) -> str:
    """A number in four digits, for people: no exponent, thousands apart."""
    if not math.isfinite(value):
        return "—"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"


def say_neurons(counts: Sequence[float]) -> str:
    """Numbers of neurons, a layer each: ``3.3 + 1.0``."""
    return " + ".join(f"{count:.1f}" for count in counts)


def say_widths(widths: Sequence[int]) -> str:
    """Widths, a layer each: ``100 + 100``."""
    return " + ".join(f"{width:,}" for width in widths)


def say_share(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.2g} %"


def say_metric(metric: str, value: float) -> str:
    """An error as it is, an accuracy as a percentage."""
    if not math.isfinite(value):
        return "—"
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:#.4g}".rstrip(".")


def answer(findings: Findings, reduction: Reduction | None, texts: Texts) -> list[str]:
    """The three sentences: does it condense and where; what that saves; what it costs or brings in error."""
    return [
        _where(findings, texts["answer"]),
        _size(findings, reduction, texts["answer"]),
        _error(findings, texts),
    ]


def _where(findings: Findings, texts: Mapping[str, str]) -> str:
    spec = findings.study.spec
    cell = (findings.condensed or sorted(findings.trained, key=lambda cell: findings.size(cell.fewest)))[0]
    fields = _fields(findings, cell) | {"neurons": say_neurons(cell.fewest)}
    if not findings.condensed:
        return texts["does_not"].format(**fields)
    if len(spec.scales) == 1:
        return texts["condenses_alone"].format(**fields)
    fields |= {"usual_neurons": say_neurons(findings.usual.fewest), "boundary": f"{findings.boundary.scale:g}"}
    return texts["condenses"].format(**fields)


def _size(findings: Findings, reduction: Reduction | None, texts: Mapping[str, str]) -> str:
    if reduction is None:
        cell = findings.recommended
        return texts["not_reduced"].format(**_fields(findings, cell), neurons=say_neurons(cell.final))
    origin = next((cell for cell in findings.cells if reduction.run in cell.runs), findings.recommended)
    fields = _fields(findings, origin) | {
        "after": say_widths(reduction.hidden.after),
        "parameters_before": f"{reduction.parameters.before:,}",
        "parameters_after": f"{reduction.parameters.after:,}",
        "share": say_share(reduction.share_kept),
    }
    if reduction.inference is None:
        return texts["reduced"].format(**fields)
    times = reduction.inference.before / reduction.inference.after
    return texts["reduced_faster"].format(**fields, times=f"{times:.2g}")


def _error(findings: Findings, texts: Texts) -> str:
    usual, chosen, metric = findings.usual, findings.recommended, findings.metric
    fields = _fields(findings, chosen) | {
        "metric": texts["metric"][metric],
        "test": say_metric(metric, chosen.test),
        "validation": say_metric(metric, chosen.validation),
        "usual_test": say_metric(metric, usual.test),
        "usual_validation": say_metric(metric, usual.validation),
    }
    if len(findings.study.spec.scales) == 1:
        key = "error_alone"
    elif chosen is usual or chosen.scale == usual.scale:
        key = "error_usual"
    else:
        key = "error_better" if findings.is_worse(usual, chosen) else "error_same"
    return texts["answer"][key].format(**fields)


def recommendation(findings: Findings, reduction: Reduction | None, texts: Texts) -> list[str]:
    """What to do and why."""
    chosen = findings.recommended
    fields = _fields(findings, chosen) | {
        "neurons": say_neurons(chosen.final),
        "usual_lr": f"{findings.usual.lr:g}",
    }
    if len(findings.study.spec.scales) == 1:
        key = "alone"
    elif chosen.scale == findings.usual.scale:
        key = "same" if _some_smaller_as_good(findings) else "usual"
    elif findings.is_worse(findings.usual, chosen):
        key = "better_condensed" if chosen.condensed else "better"
    else:
        key = "same_condensed" if chosen.condensed else "same"
    return [texts["recommendation"][key].format(**fields), *_peers(reduction, texts)]


def _some_smaller_as_good(findings: Findings) -> bool:
    usual = findings.usual
    return any(cell.scale != usual.scale and not findings.is_worse(cell, usual) for cell in findings.trained)


def _peers(reduction: Reduction | None, texts: Texts) -> list[str]:
    if reduction is None or not reduction.peers:
        return []
    sign = 1 if reduction.metric_name == "rmse" else -1
    ours = sign * reduction.validation.after
    as_good = [peer for peer in reduction.peers if sign * peer.validation <= ours + AS_GOOD * abs(ours)]
    if not as_good:
        return [texts["recommendation"]["peers_worse"]]
    smallest = min(as_good, key=lambda peer: peer.parameters)
    if smallest.parameters >= reduction.parameters.after:
        return []
    return [
        texts["recommendation"]["peer_good"].format(
            peer=texts["peer"].get(smallest.name.replace(" ", "_"), smallest.name),
            parameters=f"{smallest.parameters:,}",
            metric=texts["metric"][reduction.metric_name],
            validation=say_metric(reduction.metric_name, smallest.validation),
        )
    ]


def limits(findings: Findings, texts: Texts) -> list[str]:
    """What the recommendation does not know."""
    study, chosen = findings.study, findings.recommended
    spec, sentences = study.spec, texts["recommendation"]
    ended = study.results.filter(~pl.col("status").is_in(["finished", "early_stopped"]))
    fields = {
        "seeds": len(spec.seeds),
        "steps": f"{spec.steps:,}",
        "stuck": findings.stuck,
        "failed": findings.failed,
        "statuses": say_statuses(ended, texts),
        "missing": study.missing,
    }
    smallest = max(map(findings.smallness, findings.cells))
    several = len(spec.scales) > 1
    apply = {
        "limit_missing": study.missing > 0,
        "limit_seeds": len(spec.seeds) > 1,
        "limit_seed": len(spec.seeds) == 1,
        "limit_choice": len(findings.cells) > 1,
        "limit_stuck": findings.stuck > 0,
        "limit_failed": findings.failed > 0,
        "limit_smallest": several and findings.smallness(chosen) == smallest,
        "limit_rate": len(spec.lrs) > 1 and chosen.lr in (min(spec.lrs), max(spec.lrs)),
        "limit_split": bool(findings.condensed),
    }
    return [sentences[key].format(**fields) for key, applies in apply.items() if applies]


def say_statuses(runs: pl.DataFrame, texts: Texts) -> str:
    """How runs ended, and how many so."""
    counts = runs["status"].value_counts(sort=True).iter_rows()
    return ", ".join(f"{texts['status'][status]} {count}" for status, count in counts)


def data_name(study: Study) -> str:
    """The bundled set's name, or the file's without its folder."""
    return Path(study.spec.data).name


def about(study: Study, names: Sequence[str], inputs: int, texts: Texts) -> list[str]:
    """What was asked, of what data and on which grid."""
    spec, asked = study.spec, texts["asked"]
    fields = {
        "data": data_name(study),
        "target": ", ".join(names),
        "inputs": inputs,
        "widths": say_widths(spec.hidden),
        "activation": spec.activation,
        "convention": spec.convention,
        "scales": len(spec.scales),
        "scale_list": ", ".join(f"{scale:g}" for scale in spec.scales),
        "rates": len(spec.lrs),
        "rate_list": ", ".join(f"{rate:g}" for rate in spec.lrs),
        "seeds": len(spec.seeds),
        "planned": study.planned,
        "steps": f"{spec.steps:,}",
        **study.rows,
    }
    keys = ["question", "grid", *(["rows"] if study.rows else [])]
    return [asked[key].format(**fields) for key in keys]


def _fields(findings: Findings, cell: Cell) -> dict[str, str]:
    spec = findings.study.spec
    return {
        "convention": spec.convention,
        "scale": f"{cell.scale:g}",
        "lr": f"{cell.lr:g}",
        "widths": say_widths(spec.hidden),
        "usual_scale": f"{findings.usual.scale:g}",
    }
