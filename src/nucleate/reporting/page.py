"""One self-contained page about a study, for someone who will not read code."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from nucleate._files import check_file
from nucleate._wording import say_share
from nucleate.doctor import Diagnosis, diagnose
from nucleate.errors import NucleateError, StudyError
from nucleate.problems import CROSS_ENTROPY, SQUARED
from nucleate.reduction import FOLDER, Reduction
from nucleate.reduction.of_study import kept_reduction
from nucleate.reporting import sentences, words
from nucleate.reporting.diagnosed import say_diagnosis
from nucleate.reporting.expected import say_gap, say_outlook, say_stairs
from nucleate.reporting.payload import payload, runs_shown
from nucleate.reporting.phase_map import phase_maps
from nucleate.reporting.templates import write_page
from nucleate.reporting.words import Texts, load_texts
from nucleate.studies import Findings, Study, StudySpec, study_findings, tables
from nucleate.sweeping import Outlook, outlooks
from nucleate.training import TRAINED

_TOLD_ELSEWHERE = ("fine", "linear_is_enough", "nothing_to_learn")


def report(study: Study | str | Path, lang: str = "en", out: str | Path = "report.html") -> Path:
    """Write the page of a study: what was asked, the answer, where it condenses, what happened, what to do.

    The page holds all it needs, opens from disk and asks no network for anything. Of an unfinished study it shows what
    is there.

    Parameters
    ----------
    study : Study or path
    lang : {"en", "ja"}
    out : path
        The HTML file; it appears whole or not at all.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    StudyError
        If the folder is not a study or is damaged, or its model has no measured layers.
    NucleateError
        For an unknown language, or if the page cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from nucleate import sweep
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grid = {"gains": [1, 0.01], "seeds": 2, "hidden": [6, 6], "steps": 20}
    ...     study = sweep("sine-5d", **grid, out=f"{folder}/study", progress=False)
    ...     page = report(study, out=f"{folder}/report.html").read_text("utf-8")
    >>> page.startswith("<!doctype html>"), "http://" in page.split("<script")[0]
    (True, False)
    """
    (page,) = report_in_languages(study, {lang: out}).values()
    return page


def report_in_languages(study: Study | str | Path, pages: Mapping[str, str | Path]) -> dict[str, Path]:
    """The page of a study as an HTML file in several languages, for which everything is computed once; see `report`."""
    texts = {lang: load_texts(lang) for lang in pages}
    if not isinstance(study, Study):
        study = Study.load(study)
    files = {lang: Path(out) for lang, out in pages.items()}
    for out in files.values():
        check_file(out)
    held_back = cache(partial(_held_back, study))
    for lang, t in texts.items():
        write_page(
            files[lang],
            "page",
            t,
            lang=lang,
            t=t,
            title=t["page"]["title"].format(data=sentences.data_name(study)),
            lead=t["page"]["lead"],
            study=study,
            spec=study.spec,
            settings=_settings(study),
            words=words,
            say_rows=sentences.say_rows,
            say_share=say_share,
            **_contents(study, lang, t, held_back),
        )
    return files


def _settings(study: Study) -> dict[str, str]:
    """What the spec says, and the loss where it leaves that to the target."""
    spec, labels = study.spec, study.preprocessing is not None and study.preprocessing.labels
    settings = spec.model_dump() | {"loss": (spec.loss or (CROSS_ENTROPY if labels else SQUARED)).name}
    # Of those that come with a default that changes nothing, what is given.
    fields = StudySpec.model_fields
    rare = ("weight_decays", "schedule", "warmup", "dropout")
    left_out = {name for name in rare if getattr(spec, name) == fields[name].default}
    left_out |= {name for name in settings if name != "loss" and getattr(spec, name) in (None, ())}
    return {name: words.say_setting(value) for name, value in settings.items() if name not in left_out}


def _contents(study: Study, lang: str, texts: Texts, held_back: Callable[[], "_Held"]) -> dict[str, Any]:
    findings = study_findings(study)
    if findings is None:
        return {"findings": None, "data": None}
    judged = findings.judgement
    if judged is not None and judged.lacks_narrow == "untrained" and not study.missing:
        warnings.warn(
            f"The page does without a narrow network: what {study.path} kept of its comparisons is not there or is of "
            "other results; the same sweep makes it again.",
            stacklevel=2,
        )
    contents: dict[str, Any] = {
        "findings": findings,
        "about": sentences.about(study, texts),
        "terms": sentences.terms(findings, texts),
        "network": sentences.describe_model(study, texts),
        "maps": phase_maps(findings, texts),
        "marks": {
            "on_plateau": any(cell.on_plateau for cell in findings.cells),
            "some": any(cell.learned_in_part for cell in findings.cells),
        },
        "runs": _runs(findings),
        "shown": max(map(len, runs_shown(findings))),
        "seeds": max(len(cell.runs) for cell in findings.cells),
        "trained": TRAINED,
        **_say_held_back(study, held_back(), lang),
        "gap": say_gap(study, texts),
        "stairs": say_stairs(findings, texts),
        "data": payload(findings, texts),
        "metric": words.name_metric(findings.metric, texts),
        "say_metric": partial(words.say_metric, findings.metric),
        "statuses": words.say_statuses(study.results, texts),
        "judgement": judged,
        "recommended": None,
        "network_said": sentences.name_network(findings, texts),
        "say_comparison": partial(sentences.say_comparison, metric=findings.metric, texts=texts),
    }
    reduction, unreadable = _reduction(study)
    contents |= {"reduction": reduction, "unreadable": unreadable}
    if reduction is not None:
        contents |= {"beside_reduced": sentences.beside_reduced(reduction, texts)}
        contents |= {"certificate": sentences.say_certificate(reduction.certificate, texts)}
    if findings.judgement is not None and findings.judgement.run is not None:
        contents |= {"recommended": study.results.row(by_predicate=pl.col("run") == findings.judgement.run, named=True)}
    if findings.trained:
        contents |= {
            "answer": sentences.answer(findings, reduction, texts),
            "recommendation": sentences.recommendation(findings, texts),
            "limits": sentences.limits(findings, texts),
        }
    return contents


class _Held(NamedTuple):
    """What is forecast of the runs that stayed on their plateau, and what holds the recommended run back, if known."""

    stuck: tuple[Outlook, ...]
    diagnosis: Diagnosis | None


def _held_back(study: Study) -> _Held:
    stuck, diagnosis = outlooks(study), None
    # A definition of one's own, or data that moved, cannot be measured anew.
    with suppress(NucleateError):
        diagnosis = diagnose(study, trials=False)
    return _Held(stuck, diagnosis)


def _say_held_back(study: Study, held: _Held, lang: str) -> dict[str, list[str]]:
    stuck, diagnosis = held
    diagnosed: list[str] = []
    if diagnosis is not None:
        # The plateau is told with its forecast, and the linear model with the other baselines.
        told = {*_TOLD_ELSEWHERE, *(("initial_plateau", "only_the_mean") if stuck else ())}
        findings = tuple(one for one in diagnosis.findings if one.verdict not in told)
        if diagnosis.holds_back and findings:
            diagnosed = say_diagnosis(replace(diagnosis, findings=findings), lang)
            run = load_texts(lang)["doctor"]["of_run"].format(run=diagnosis.run)
            diagnosed = [run, *diagnosed] if study.planned > 1 else diagnosed
            diagnosed.append(load_texts(lang)["doctor"]["not_tried"])
    return {"stuck": [say_outlook(outlook, lang) for outlook in stuck], "diagnosed": diagnosed}


def _reduction(study: Study) -> tuple[Reduction | None, bool]:
    """What `nucleate.reduce` kept with the study, and whether something is there that cannot be used."""
    folder = study.path / FOLDER
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None, False
    try:
        reduction = kept_reduction(study)
    except StudyError as error:
        warnings.warn(f"The page does without a reduction: {error}", stacklevel=2)
        # One that was interrupted before its end is none yet.
        return None, (folder / "reduction.json").exists()
    usable = reduction.data_hash == study.data_hash and reduction.run in study.results["run"]
    if not usable:
        warnings.warn(
            f"The page does without a reduction: that in {folder} is of other data or of no run here; reduce again.",
            stacklevel=2,
        )
    return (reduction, False) if usable else (None, True)


def _runs(findings: Findings) -> list[list[dict[str, Any]]]:
    """The rows of the results table by cell, of the runs shown, with what was forecast."""
    study = findings.study
    rows = study.results
    if not study.forecasts.is_empty():
        rows = rows.join(study.forecasts.select("run", forecast_end="drop_1_percent"), on="run", how="left")
    rows = rows.with_columns(neurons=pl.concat_list(tables.effective_neurons(layer) for layer in findings.layers))
    shown = runs_shown(findings)
    rows = rows.filter(pl.col("run").is_in([run for runs in shown for run in runs]))
    by_run = {row["run"]: row for row in rows.iter_rows(named=True)}
    return [[by_run[run] for run in runs] for runs in shown]
