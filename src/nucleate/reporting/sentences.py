"""The page's sentences with their numbers: the answer, the recommendation and its limits."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from nucleate._wording import rounded_up, say_share
from nucleate.baselines import Baseline, Comparison
from nucleate.errors import StudyError
from nucleate.problems import LOG_LOSS, Metric
from nucleate.reporting.words import (
    Texts,
    load_texts,
    name_baseline,
    name_metric,
    say,
    say_and_rate,
    say_difference,
    say_further,
    say_metric,
    say_milliseconds,
    say_neurons,
    say_rate,
    say_setting,
    say_statuses,
    say_times,
    say_widths,
)
from nucleate.studies import FAILED, Cell, Findings, Judgement, Study, load_judgement, study_findings

if TYPE_CHECKING:
    from nucleate.reduction import Certificate, Reduction

_MOST_TARGETS = 5
"""So many targets are told one by one."""
_LOWER = 0.9
"""A log loss below this share of the constant's speaks for a network that no accuracy speaks for."""


def answer(findings: Findings, reduction: "Reduction | None", texts: Texts) -> list[str]:
    """The three sentences: does it condense and where; what that saves; what it costs or brings in error."""
    return [_where(findings, texts), _size(findings, reduction, texts), _error(findings, texts)]


def _where(findings: Findings, texts: Texts) -> str:
    spec, judged = findings.study.spec, findings.judged
    waiting = [cell for cell in findings.trained if cell.on_plateau]
    stuck = [cell for cell in waiting if cell.fewest_few]
    in_some = [cell for cell in judged if cell.condensed_runs]
    if findings.condensed:
        key, cells = "condenses" if len(spec.scales) > 1 else "condenses_alone", list(findings.condensed)
    elif in_some:
        key, cells = "condenses_in_some", in_some
    elif stuck:
        key, cells = "does_not_yet", stuck
    else:
        nothing = len(waiting) == len(findings.trained)
        key, cells = "nothing_yet" if nothing else "does_not_so_far" if waiting else "does_not", list(judged)
    cell = min(cells, key=lambda cell: findings.size(cell.fewest))
    fields = _fields(findings, cell, texts) | {
        "neurons": say_neurons(cell.fewest),
        "steps": f"{spec.steps:,}",
        "condensed": str(cell.condensed_runs),
        "learned": str(cell.learned),
        "waiting": str(len(waiting)),
        "conditions": str(len(findings.cells)),
        "largest_neurons": say_neurons(findings.largest_scale.fewest),
    }
    fields |= {"boundary": f"{findings.boundary.scale:g}"} if findings.condensed else {}
    sentences = [texts["answer"][key].format(**fields)]
    if cell.condensed and cell.condensed_runs < cell.learned:
        sentences.append(texts["answer"]["mostly"].format(**fields))
    return "".join(sentences + _of_runs(findings, cell, texts, texts["answer"]))


def _of_runs(findings: Findings, cell: Cell, texts: Texts, sentences: Mapping[str, str]) -> list[str]:
    """How many of a cell's runs left their plateau, where some did and others did not."""
    if not cell.learned_in_part:
        return []
    failed = findings.study.results.filter(pl.col("run").is_in(cell.runs) & FAILED)
    others = [texts["answer"]["stuck"].format(count=cell.stuck)] * bool(cell.stuck)
    others += [say_statuses(failed, texts)] * bool(cell.failed)
    key = "of_runs_one" if cell.learned == 1 else "of_runs"
    return [sentences[key].format(learned=cell.learned, runs=len(cell.runs), others=", ".join(others))]


def _size(findings: Findings, reduction: "Reduction | None", texts: Texts) -> str:
    if reduction is None and not findings.has_learned:
        return texts["answer"]["not_learned"]
    if reduction is None:
        cell = findings.recommended
        key = "not_reduced" if findings.study.spec.model is None else "as_trained"
        return texts["answer"][key].format(**_fields(findings, cell, texts), neurons=say_neurons(cell.final))
    origin = next(cell for cell in findings.cells if reduction.run in cell.runs)
    fields = _fields(findings, origin, texts) | {
        "after": say_widths(reduction.hidden.after),
        "tolerance": say_share(reduction.tolerance),
        "metric": name_metric(findings.metric, texts),
        "test_before": say_metric(findings.metric, reduction.test.before),
        "test_after": say_metric(findings.metric, reduction.test.after),
        "parameters_before": f"{reduction.parameters.before:,}",
        "parameters_after": f"{reduction.parameters.after:,}",
        "share": say_share(reduction.share_kept),
    }
    if reduction.hidden.after == reduction.hidden.before:
        return texts["answer"]["reduced_not"].format(**fields)
    if reduction.inference is None:
        return texts["answer"]["reduced"].format(**fields)
    time = reduction.inference
    fields |= {"time_before": say_milliseconds(time.before), "time_after": say_milliseconds(time.after)}
    key = "reduced_faster" if reduction.is_faster else "reduced_not_faster"
    return texts["answer"][key].format(**fields, times=say_times(time.before / time.after))


def _error(findings: Findings, texts: Texts) -> str:
    largest, chosen, metric = findings.largest_scale, findings.recommended, findings.metric
    named, runs = name_metric(metric, texts), len(chosen.told)
    fields = _fields(findings, chosen, texts) | {
        "metric": named if runs == 1 else texts["answer"]["median"].format(metric=named, runs=runs),
        "test": say_metric(metric, chosen.test),
        "validation": say_metric(metric, chosen.validation),
        "largest_test": say_metric(metric, largest.test),
        "largest_validation": say_metric(metric, largest.validation),
    }
    if not findings.has_learned:
        key = "error_nothing"
    elif not math.isfinite(chosen.validation):
        key = "error_undefined"
        fields |= {"metric": named, "rows": f"{findings.study.rows['validation']:,}"}
    elif _one_start(findings):
        key = "error_alone"
    elif findings.judgement is None:
        key = "error_uncompared"
    elif chosen is largest:
        key = "error_stuck" if findings.no_other_learned else "error_largest"
    else:
        key = "error_better" if findings.is_better(chosen) else "error_same"
        fields |= {"metric": named} | _compared_with_largest(findings, chosen, texts)
    said = texts["answer"][key].format(**fields)
    return said + _nearest(findings, texts) if key == "error_largest" else said


def _one_start(findings: Findings) -> bool:
    """Whether nothing but learning rates was varied."""
    spec = findings.study.spec
    return len(spec.scales) == len(spec.weight_decays) == 1


def _nearest(findings: Findings, texts: Texts) -> str:
    """The best validated of the smaller starts that cannot be told apart from the largest, with its noise."""
    smaller = [cell for cell in findings.good if findings.is_another_start(cell)]
    alike = [cell for cell in smaller if findings.standing(cell).largest.verdict == "alike"]
    if not alike:
        return ""
    cell = min(alike, key=lambda cell: findings.standing(cell).largest.lower + findings.standing(cell).largest.upper)
    fields = _fields(findings, cell, texts) | _compared_with_largest(findings, cell, texts)
    return texts["answer"]["error_nearest"].format(**fields)


def _compared_with_largest(findings: Findings, chosen: Cell, texts: Texts) -> dict[str, str]:
    """How a cell compares with the largest scale on validation, and what the test rows say of it."""
    standing, metric = findings.standing(chosen), findings.metric
    on_test = _of_comparison(standing.largest_on_test, metric, texts)
    largest_seeds, seeds = standing.largest.seeds
    noise = "noise_of_rows" if seeds == largest_seeds == 1 else "noise_of_seeds"
    return _of_comparison(standing.largest, metric, texts) | {
        "noise": texts["answer"][noise].format(seeds=seeds, largest_seeds=largest_seeds),
        "on_test": texts["answer"][f"test_{standing.largest_on_test.verdict}"].format(**on_test),
    }


def _of_comparison(comparison: Comparison, metric: Metric, texts: Texts) -> dict[str, str]:
    """The numbers of a comparison: of the other one, and of what it is held against."""
    low, high = comparison.interval
    # Where both ends are on one side, the unit is said once.
    bare = metric.is_share and comparison.verdict != "alike"
    return {
        "rows": say_rows(comparison, texts),
        "other": say_metric(metric, comparison.other),
        "against": say_metric(metric, comparison.network),
        "difference": say_difference(metric, comparison.difference, texts),
        "low": f"{100 * low:.1f}" if bare else say_difference(metric, low, texts),
        "high": say_difference(metric, high, texts),
    }


def say_rows(of: "Comparison | Certificate", texts: Texts) -> str:
    """On how many rows models were compared, or one certified, and how many differ, where some are copies of others."""
    rows = f"{of.rows:,}"
    if of.distinct is None:
        return rows
    return texts["baseline"]["rows_distinct"].format(rows=rows, distinct=f"{of.distinct:,}")


def recommendation(findings: Findings, texts: Texts) -> list[str]:
    """What to do and why."""
    chosen, spec = findings.recommended, findings.study.spec
    fields = _fields(findings, chosen, texts) | {"neurons": say_neurons(chosen.final), "steps": f"{spec.steps:,}"}
    if not findings.has_learned:
        return [texts["recommendation"]["nothing"].format(**fields)]
    if not math.isfinite(chosen.validation):
        fields |= {"metric": name_metric(findings.metric, texts)}
        return [texts["recommendation"]["undefined"].format(**fields)]
    if _one_start(findings):
        key = "alone"
    elif findings.judgement is None:
        key = "uncompared"
    elif chosen is findings.largest_scale and findings.no_other_learned:
        key = "largest_stuck"
    elif chosen is findings.largest_scale:
        smaller = [cell for cell in findings.good if findings.is_another_start(cell)]
        key = "same" if smaller else "largest" if all(findings.others_learned.values()) else "largest_of_some"
        fewest = min(smaller or [chosen], key=lambda cell: findings.size(cell.final))
        fields |= {"fewest": say_neurons(fewest.final), "fewest_scale": _say_start(findings, fewest, texts)}
    elif findings.is_better(chosen):
        key = "better_condensed" if chosen.ends_condensed else "better"
    else:
        key = "same_condensed"
        fields |= {"end": f"{chosen.plateau_end:,.0f}", "largest_end": f"{findings.largest_scale.plateau_end:,.0f}"}
    waiting = [texts["recommendation"]["largest_waiting"]] * (key == "largest_stuck" and findings.stuck > 0)
    return [
        "".join([texts["recommendation"][key].format(**fields), *waiting]),
        *_of_runs(findings, chosen, texts, texts["recommendation"]),
        *beside_recommended(findings.study, findings.judgement, texts),
    ]


def advise(study: Study, lang: str = "en") -> list[str]:
    """What the page says of a study's error and of what to do, as sentences.

    Parameters
    ----------
    study : Study
    lang : {"en", "ja"}

    Returns
    -------
    list of str
        Of a single run that learned, or of a model without measured layers, those on its baselines alone.

    Raises
    ------
    NucleateError
        For an unknown language.
    """
    texts = load_texts(lang)
    findings = study_findings(study) if study.layers else None
    told = findings is not None and bool(findings.trained)
    # Of a single run that stayed on its plateau there is nothing to compare.
    if findings is not None and told and (study.planned > 1 or not findings.has_learned):
        return [_error(findings, texts), *recommendation(findings, texts)]
    return beside_recommended(study, load_judgement(study), texts) if study.planned == 1 or not study.layers else []


def beside_recommended(study: Study, judgement: Judgement | None, texts: Texts) -> list[str]:
    """Each baseline held against the recommended network of a study, and what follows."""
    if judgement is None:
        return [texts["recommendation"]["no_baselines"]]
    lacks = [texts["baseline"][f"lacks_{judgement.lacks_narrow}"]] if judgement.lacks_narrow else []
    network = texts["baseline"]["recommended" if study.planned > 1 else "trained"]
    further = judgement.further or {}
    return [*_beside(judgement.baselines, study.metric, network, study.parameters, further, texts), *lacks]


def beside_reduced(reduction: "Reduction", texts: Texts) -> list[str]:
    """Each baseline held against the reduced network, and what follows."""
    network = texts["baseline"]["reduced"]
    further = reduction.further.after
    return _beside(reduction.baselines, reduction.metric, network, reduction.parameters.after, further, texts)


def _beside(
    baselines: Sequence[Baseline],
    metric: Metric,
    network: str,
    parameters: int,
    further: Mapping[str, float],
    texts: Texts,
) -> list[str]:
    compared = [(baseline, baseline.comparison) for baseline in baselines if baseline.comparison]
    said = [_compared(baseline, comparison, metric, network, texts) for baseline, comparison in compared]
    return [*said, *_what_follows(compared, parameters, further, texts)] if compared else []


def _compared(baseline: Baseline, comparison: Comparison, metric: Metric, network: str, texts: Texts) -> str:
    """On the test rows, and where the best validated seed alone says otherwise, for that too."""
    seeds, others = comparison.seeds
    parameters = texts["baseline"]["parameter" if baseline.parameters == 1 else "parameters"].format(
        count=f"{baseline.parameters:,}"
    )
    if others > 1:
        parameters = texts["baseline"]["of_seeds"].format(parameters=parameters, seeds=others)
    said = texts["recommendation"][f"baseline_{comparison.verdict}"].format(
        **_of_comparison(comparison, metric, texts),
        network=texts["baseline"]["mean"].format(network=network, seeds=seeds) if seeds > 1 else network,
        baseline=texts["baseline"]["constant_said"] if baseline.name == "constant" else name_baseline(baseline, texts),
        parameters=parameters,
        metric=name_metric(metric, texts),
    )
    sentences, best = [said[0].upper() + said[1:]], baseline.of_best
    if best and best.verdict not in ("alike", "undefined", comparison.verdict):
        of_best = texts["recommendation"][f"of_best_{best.verdict}"]
        sentences.append(of_best.format(**_of_comparison(best, metric, texts), among=best.among))
    return " ".join(sentences)


def say_comparison(comparison: Comparison | None, metric: Metric, texts: Texts) -> str:
    """A comparison in a field of a table."""
    if comparison is None:
        return "—"
    return texts["baseline"][comparison.verdict].format(**_of_comparison(comparison, metric, texts))


def _what_follows(
    compared: Sequence[tuple[Baseline, Comparison]], parameters: int, further: Mapping[str, float], texts: Texts
) -> list[str]:
    """The weightiest conclusion from the baselines beside a network of so many parameters, one at most."""
    sentences = texts["recommendation"]
    verdicts = {baseline.name: _verdict(baseline, comparison) for baseline, comparison in compared}
    best_is_better = all(baseline.of_best and baseline.of_best.verdict == "worse" for baseline, _ in compared)
    if set(verdicts.values()) == {"undefined"}:
        return []
    for name, key in (("linear model", "linear_is_better"), ("narrow network", "narrow_is_better")):
        if verdicts.get(name) == "better":
            return [sentences[key]]
    if verdicts.get("constant", "worse") in ("alike", "better"):
        constant = next(baseline for baseline, _ in compared if baseline.name == "constant")
        return [_nothing_shown(constant, further, texts)]
    if "alike" not in verdicts.values() and "undefined" in verdicts.values():
        return []
    if set(verdicts.values()) == {"worse"}:
        return [sentences["baselines_worse"]]
    if best_is_better:
        return [sentences["best_seed_is_better"]]
    alike = [baseline for baseline, _ in compared if verdicts[baseline.name] == "alike"]
    smallest = min(alike, key=lambda baseline: baseline.parameters, default=None)
    if smallest is None or smallest.parameters > parameters:
        return []
    key = "same_size_is_alike" if smallest.parameters == parameters else "smaller_is_alike"
    return [sentences[key].format(baseline=name_baseline(smallest, texts))]


def _nothing_shown(constant: Baseline, further: Mapping[str, float], texts: Texts) -> str:
    """A constant is as good as the network; of classes their probabilities may say otherwise, as where one is rare."""
    ours, theirs = (one.get(LOG_LOSS.name, math.nan) for one in (further, constant.further))
    if not ours < _LOWER * theirs:
        return texts["recommendation"]["nothing_shown"]
    said = {"log_loss": say_further(LOG_LOSS.name, ours), "constant_log_loss": say_further(LOG_LOSS.name, theirs)}
    return texts["recommendation"]["nothing_shown_but"].format(**said)


def _verdict(baseline: Baseline, comparison: Comparison) -> str:
    """Of the comparison; one of seeds that differ by much does not say what the best validated of them is worth."""
    best = baseline.of_best
    return (
        "worse than the best"
        if comparison.verdict == "alike" and best and best.verdict == "worse"
        else comparison.verdict
    )


def name_network(findings: Findings, texts: Texts) -> str:
    """The words for the network that baselines stand beside: of one run, or where none learned, none is recommended."""
    return texts["baseline"]["recommended" if findings.study.planned > 1 and findings.has_learned else "trained"]


def limits(findings: Findings, texts: Texts) -> list[str]:
    """What the recommendation does not know."""
    study, chosen = findings.study, findings.recommended
    spec, sentences = study.spec, texts["recommendation"]
    ended = study.results.filter(FAILED)
    fields = {
        "seeds": len(spec.seeds),
        "steps": f"{spec.steps:,}",
        "stuck": findings.stuck,
        "failed": findings.failed,
        "statuses": say_statuses(ended, texts),
        "missing": study.missing,
        "seen": f"{findings.judgement.seen:,}" if findings.judgement else "0",
        "test_rows": f"{study.rows.get('test', 0):,}",
    }
    rows, share, judgement = study.rows.get("validation", 0), chosen.validation, findings.judgement
    units = rows if study.division.groups is None else study.division.groups[1]
    if findings.is_compared:
        units = findings.standing(chosen).best.distinct or units
    has_noise = findings.metric.is_share and 0 <= share <= 1 and units > 0
    if has_noise:
        fields |= {
            "rows": f"{rows:,}",
            "metric": name_metric(findings.metric, texts),
            "validation": say_metric(findings.metric, share),
            "noise": say_difference(findings.metric, _noise_of_share(share, units), texts),
        }
    smallest = max(map(findings.smallness, findings.cells))
    several = len(spec.scales) > 1
    apply = {
        "limit_missing": study.missing > 0,
        "limit_unconfirmed": not findings.is_confirmed and chosen in findings.judged and findings.is_better(chosen),
        "limit_seeds": len(spec.seeds) > 1,
        "limit_seed": len(spec.seeds) == 1,
        "limit_rows": has_noise and study.weighted_by is None and len(findings.cells) > 1,
        "limit_rows_weighted": has_noise and study.weighted_by is not None and len(findings.cells) > 1,
        "limit_choice": len(findings.cells) > 1 and findings.has_learned,
        "limit_seen": judgement is not None and judgement.seen > 0,
        "limit_stuck": findings.stuck > 0,
        "limit_failed": findings.failed > 0,
        "limit_smallest": several and findings.has_learned and findings.smallness(chosen) == smallest,
        "limit_rate": len(spec.lrs) > 1 and findings.has_learned and chosen.lr in (min(spec.lrs), max(spec.lrs)),
        "limit_decay": findings.has_learned
        and len(spec.weight_decays) > 1
        and chosen.weight_decay == max(spec.weight_decays),
        "limit_split": bool(findings.condensed),
    }
    return [sentences[key].format(**fields) for key, applies in apply.items() if applies]


def _noise_of_share(share: float, units: int) -> float:
    """The standard error of a share of rows, or of whole groups of them; of none and of all by the rule of three.

    >>> round(_noise_of_share(0.75, 60), 4), round(_noise_of_share(1.0, 60), 4)
    (0.0559, 0.0289)
    """
    return math.sqrt(share * (1 - share) / units or 3 / units**2)


def say_certificate(certificate: "Certificate", texts: Texts) -> str:
    """What is certified of a reduction, and what that assumes."""
    sentences = texts["reduction"]
    of_classes = certificate.labels_changed is not None
    kind = "certificate_classes" if of_classes else "certificate_targets" if certificate.spreads else "certificate"
    unseen = [str(entry.label) for entry in certificate.classes if not entry.held_out]
    of_more = " …" if len(certificate.spreads) > _MOST_TARGETS else ""
    chance = "classes" if certificate.classes and certificate.dealt == "random" else "rows"
    chosen = {
        kind: True,
        f"certificate_chance_{chance if certificate.groups is None else 'groups'}": True,
        f"certificate_{certificate.dealt}": certificate.dealt != "random",
        "certificate_weighted": certificate.weighted,
        "certificate_repeated": certificate.repeated > 0,
        "certificate_among": certificate.among > 1,
        "certificate_choice": True,
        "certificate_unseen": bool(unseen),
    }
    fields = {
        "rows": say_rows(certificate, texts),
        "groups": certificate.groups,
        "largest": say(certificate.largest_deviation),
        "rms": say(certificate.rms_deviation),
        "each": "; ".join(map(say, certificate.by_target[:_MOST_TARGETS])) + of_more,
        "changed": certificate.labels_changed,
        "probability": say_share(rounded_up(certificate.probability)),
        "count": certificate.among,
        "repeated": f"{certificate.repeated:,}",
        "classes": ", ".join(unseen),
    }
    return " ".join(sentences[key].format(**fields) for key, applies in chosen.items() if applies)


def _of_rows(study: Study, texts: Texts) -> list[str]:
    """How rows came into their parts, where not all did at random, and what they count for, where they differ."""
    division, asked, sentences = study.division, texts["asked"], []
    if len(division.own) == 2:
        sentences.append(asked["split_given" if division.column is None else "split_column"])
    elif division.own:
        sentences.append(asked[f"split_{division.own[0]}_given"])
    if division.by_time:
        sentences.append(asked["split_time"])
    if division.groups is not None:
        sentences.append(asked["split_groups"])
    if study.weighted_by is not None:
        sentences.append(asked["weighted"])
    fields = dict(zip(("train", "validation", "test"), division.groups or (), strict=False)) | {
        "column": division.column,
        "group_column": division.group_column,
        "weights": study.weighted_by,
    }
    return [sentence.format(**fields) for sentence in sentences]


def data_name(study: Study) -> str:
    """The bundled set's name, or the file's without its folder."""
    return Path(study.spec.data).name


def about(study: Study, texts: Texts) -> list[str]:
    """What was asked, of what data and on which grid."""
    spec, asked = study.spec, texts["asked"]
    inputs, targets = _columns(study)
    fields = {
        "data": data_name(study),
        "target": ", ".join(targets),
        "inputs": inputs,
        "widths": say_widths(study.widths),
        "made_of": say_architecture(study, texts),
        "convention": spec.convention,
        "scale_list": ", ".join(f"{scale:g}" for scale in spec.scales),
        "rate_list": ", ".join(f"{rate:g}" for rate in spec.lrs),
        "seeds": len(spec.seeds),
        "planned": study.planned,
        "steps": f"{spec.steps:,}",
        **study.rows,
    }
    keys = ["question", "grid"]
    if spec.decays:
        keys.append("grid_decays" if len(spec.weight_decays) > 1 else "grid_decay")
        fields |= {"decay_list": ", ".join(f"{decay:g}" for decay in spec.weight_decays)}
    if spec.dropout:
        keys.append("dropout")
        fields |= {"dropout": f"{spec.dropout:g}"}
    return [*(asked[key].format(**fields) for key in (*keys, "rows")), *_of_rows(study, texts)]


def say_architecture(study: Study, texts: Texts) -> str:
    """The networks' activation, or the name of another model."""
    key = "activation" if study.spec.model is None else "model"
    return texts["asked"][key].format(name=say_setting(study.spec.model_dump()[key]))


def describe_model(study: Study, texts: Texts) -> str:
    """The model's architecture and how many numbers it learns."""
    return texts["methods"]["parameters"].format(
        inputs=_columns(study)[0],
        widths=say_widths(study.widths),
        made_of=say_architecture(study, texts),
        count=f"{study.parameters:,}",
    )


def _columns(study: Study) -> tuple[int, list[str]]:
    """How many inputs the models read, and the names of the targets."""
    if study.preprocessing is None:
        raise StudyError(f"{study.path} does not say which columns its models read; sweep into a new folder.")
    return len(study.preprocessing.encoded_inputs), [column.name for column in study.preprocessing.targets]


def terms(findings: Findings, texts: Texts) -> list[str]:
    """The words that the page goes on to use."""
    asked, convention = texts["asked"], findings.study.spec.convention
    words = [asked["condensation"], asked["effective"], asked[convention]]
    if findings.study.spec.has_scales_by_layer:
        words.append(asked["by_layer"])
    if findings.study.spec.decays:
        words.append(asked["decay_decoupled" if findings.study.spec.optimizer.decoupled else "decay_coupled"])
    if findings.has_learned and not _one_start(findings):
        words.append(asked["largest"].format(**_fields(findings, findings.largest_scale, texts)))
    return words


def _say_start(findings: Findings, cell: Cell, texts: Texts) -> str:
    """An init scale, and where a study has several weight decays the one beside it."""
    several = len(findings.study.spec.weight_decays) > 1
    decay = texts["runs"]["and_decay"].format(decay=f"{cell.weight_decay:g}") if several else ""
    return f"{cell.scale:g}{decay}"


def _fields(findings: Findings, cell: Cell, texts: Texts) -> dict[str, str]:
    spec = findings.study.spec
    return {
        "convention": spec.convention,
        "scale": f"{cell.scale:g}",
        "lr": say_rate(spec, cell.lr, cell.weight_decay, texts),
        "and_rate": say_and_rate(cell.lr, cell.weight_decay if spec.decays else None, texts),
        "widths": say_widths(findings.study.widths),
        "largest_scale": _say_start(findings, findings.largest_scale, texts),
        "largest_lr": f"{findings.largest_scale.lr:g}",
        **{
            name: texts["runs"][f"{name}_or_decay" if len(spec.weight_decays) > 1 else name]
            for name in ("small_start", "smaller_start", "smaller_starts")
        },
    }
