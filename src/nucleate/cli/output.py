"""What commands print: tables or one JSON object on standard output, everything else on standard error."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from statistics import median_low
from typing import TYPE_CHECKING, Any

from nucleate._wording import UNSAFE, for_whom, in_digits, listed, plain
from nucleate.cli.usage import as_flag
from nucleate.init_scale import PerLayer

if TYPE_CHECKING:
    import polars as pl

    from nucleate.baselines import Baseline, Comparison
    from nucleate.conversion import ScaleConversion
    from nucleate.doctor import Diagnosis
    from nucleate.experiments import Experiment, Verdict
    from nucleate.forecasting import Forecast, Outcome
    from nucleate.problems import Problem
    from nucleate.studies import Study, StudySpec
    from nucleate.sweeping import Outlook, Recommendation

_MOST_ROWS, _OF_A_RUN = 40, 16
_MOST_COMPONENTS = 6
_WIDE = 10_000


def say(text: object, *, aside: bool = False) -> None:
    """Lines on standard output, or aside on standard error, in which nothing steers the terminal."""
    print(*map(plain, str(text).split("\n")), sep="\n", file=sys.stderr if aside else sys.stdout, flush=aside)


def json_line(content: Mapping[str, Any]) -> str:
    """One JSON object on a line; NaN and infinity, which JSON lacks, become null.

    >>> json_line({"loss": float("nan"), "name": "\\x9b2J"})
    '{"loss": null, "name": "\\\\u009b2J"}\\n'
    """
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False)
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def print_json(content: Mapping[str, Any]) -> None:
    """The answer of a command under ``--json``."""
    sys.stdout.write(json_line(content))


def answer(as_json: bool, content: Mapping[str, Any], lines: Iterable[object]) -> None:
    """The answer of a command, as JSON or in lines."""
    if as_json:
        print_json(content)
        return
    for line in lines:
        say(line)


def say_notes(notes: Iterable[str]) -> None:
    """What was decided or left out when data were read, on standard error."""
    for note in notes:
        say(for_whom(f"Note: {note}"), aside=True)


def working(what: str) -> AbstractContextManager[Any]:
    """Say on standard error, where that is a terminal, what takes its time."""
    from rich.console import Console

    return Console(stderr=True).status(what)


def say_data(problem: "Problem") -> None:
    """What the columns of the data are, unless there are many, and notes, on standard error."""
    from nucleate.problems import describe_data

    for line in describe_data(problem):
        say(for_whom(line), aside=True)


def print_study(study: "Study", by_cell: bool = False) -> None:
    """A study's runs, or where they are many (or ``by_cell``) medians over those that left their plateau."""
    from nucleate.studies import summarize, tables

    results, metric = study.results, study.metric.name
    fewest = [tables.fewest_effective_neurons(layer) for layer in study.layers]
    aside = [tables.BEST_VALIDATION_LOSS, tables.PLATEAU_END, *fewest]
    if by_cell or len(results) > _MOST_ROWS:
        table = summarize(study)
        title = "medians over the runs that left their plateau, or where none did, over those stuck on it"
        aside += [tables.metric_on_test(metric)]
    else:
        table, title = results, "runs"
        aside += [tables.STAGE, tables.DESCENT_END, tables.BEST_STEP, tables.metric_on_validation(metric)]
        aside += [tables.drop(share) for share in tables.DROPS]
        aside += [tables.NOTES, tables.MACHINE]
    _print_frame(f"{study.spec.data}: {title}", table.drop(aside))
    # A column of sentences would make a table of one word a line.
    for (note,), noted in results.group_by(tables.NOTES, maintain_order=True):
        if note:
            runs = noted[tables.RUN].to_list()
            say(f"Note on {'run' if len(runs) == 1 else 'runs'} {', '.join(map(str, runs))}: {note}.")
    machines = results[tables.MACHINE].value_counts(sort=True)
    if len(machines) > 1:
        kinds = "; ".join(f"{count} runs by {kind}" for kind, count in machines.iter_rows())
        say(f"Note: the runs were made by machines of {len(machines)} kinds, so their last bits may differ: {kinds}.")
    print_judgement(study)
    say(study.path)


def print_judgement(study: "Study") -> None:
    """The recommended run beside simpler models, and the page's advice."""
    from nucleate.reporting import advise
    from nucleate.studies import load_judgement, tables

    judgement, metric = load_judgement(study), study.metric.name
    if judgement is None:
        return
    further = list(judgement.further or judgement.baselines[0].further)
    columns = ["model", "widths", "parameters", f"validation {metric}", f"test {metric}"]
    columns += [f"test {name}" for name in further]
    columns += ["against the network, on the test rows"] * any(one.comparison for one in judgement.baselines)
    rows = [_baseline_row(baseline, further) for baseline in judgement.baselines]
    if judgement.run is not None:
        run = study.results.row(study.results["run"].index_of(judgement.run), named=True)
        metrics = [run[tables.metric_on_validation(metric)], run[tables.metric_on_test(metric)]]
        metrics += [judgement.further[name] for name in further] if judgement.further else []
        widths = ",".join(map(str, study.widths))
        rows.insert(0, [f"run {judgement.run}", widths or "—", study.parameters, *metrics, ""])
    title = "beside simpler models, the best validated seed of each"
    _print_table(title, columns, [row[: len(columns)] for row in rows])
    for sentence in advise(study):
        say(sentence)


def _baseline_row(baseline: "Baseline", further: Sequence[str]) -> list[Any]:
    metrics = [baseline.validation, baseline.test, *(baseline.further[name] for name in further)]
    widths = ",".join(map(str, baseline.widths)) or "—"
    return [baseline.name, widths, baseline.parameters, *metrics, baseline.comparison or ""]


def run_as_json(study: "Study", run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's row of the results, with its weight decay where the study has but one."""
    return {"weight_decay": study.spec.weight_decays[0], **run}


def judgement_as_json(study: "Study") -> dict[str, Any]:
    """The recommended run, None where none left its plateau; baselines, and how the cells compare; empty if unkept."""
    from nucleate.studies import load_judgement
    from nucleate.studies.findings import unjudged_findings

    judgement = load_judgement(study)
    if judgement is None:
        return {}
    findings = unjudged_findings(study)
    cells = [
        {
            study.spec.convention: cell.scale,
            "lr": cell.lr,
            "weight_decay": cell.weight_decay,
            **{name: getattr(cell, name) for name in ("learned", "stuck", "failed", "validation", "test")},
            # No cell is compared with itself.
            "with_best": comparison_as_json(standing.best if standing and cell is not findings.best else None),
            **{
                f"with_{name}": comparison_as_json(
                    getattr(standing, name) if standing and cell is not findings.largest_scale else None
                )
                for name in ("largest", "largest_on_test")
            },
        }
        for cell, standing in zip(findings.cells, judgement.standings, strict=True)
    ]
    return {
        "recommended_run": judgement.run if findings.has_learned else None,
        "further": judgement.further,
        "seen": judgement.seen,
        "baselines": [baseline_as_json(baseline) for baseline in judgement.baselines],
        "cells": cells,
    }


def baseline_as_json(baseline: "Baseline") -> dict[str, Any]:
    """A baseline with the verdicts of its comparisons."""
    told = {name: comparison_as_json(getattr(baseline, name)) for name in ("comparison", "of_best")}
    return asdict(baseline) | told


def comparison_as_json(comparison: "Comparison | None") -> dict[str, Any] | None:
    """A comparison with its verdict."""
    return None if comparison is None else asdict(comparison) | {"verdict": comparison.verdict}


def print_trajectory(study: "Study") -> None:
    """The time course of a study's only run."""
    from nucleate.studies import tables

    spec, trajectory, result = study.spec, study.trajectories, study.results.row(0, named=True)
    chosen = sorted({round(index * (len(trajectory) - 1) / (_OF_A_RUN - 1)) for index in range(_OF_A_RUN)})
    shown = ("effective_neurons", "directions", "condensed_pairs", "stable_rank", *(one.name for one in spec.measures))
    columns = [tables.measured(measure, layer) for measure in shown for layer in study.layers]
    table = trajectory.select(tables.STEP, tables.TRAIN_LOSS, tables.VALIDATION_LOSS, *columns)[chosen]
    decay = f", weight decay {spec.weight_decays[0]:g}" if spec.decays else ""
    _print_frame(f"{spec.data}: {spec.convention} {spec.scales[0]:g}, lr {spec.lrs[0]:g}{decay}", table)
    ends = {"initial plateau": result[tables.PLATEAU_END], "descent": result[tables.DESCENT_END]}
    until = [f"{stage} until step {end:,.0f}" for stage, end in ends.items() if end is not None]
    stages = "; ".join([f"in the {result[tables.STAGE]}", *([", ".join(until)] if until else [])])
    say(f"{result[tables.STATUS]} after {result[tables.STEPS]:,} steps, {stages}.")
    on_test = tables.metric_on_test(study.metric.name)
    say(f"{on_test} {_say(result[on_test])} at the best validated step {result[tables.BEST_STEP]}.")
    if result[tables.NOTES]:
        say(f"Note: {result[tables.NOTES]}.")
    print_judgement(study)
    say(study.path)


def print_outlooks(stuck: "Sequence[Outlook]") -> None:
    """What is forecast of runs that stayed on their plateau, a sentence or two an init scale and rate."""
    from nucleate.reporting import say_outlook

    if stuck:
        say("Runs that stayed on their plateau:")
    for outlook in stuck:
        say(" ".join([say_outlook(outlook), *([outlook.reason] if outlook.reason else [])]))


def print_diagnosis(study: "Study", diagnosis: "Diagnosis") -> None:
    """What holds a run back, a line a finding."""
    from nucleate.reporting import say_diagnosis

    of_many = f", run {diagnosis.run}" if study.planned > 1 else ""
    say(f"{study.spec.data}{of_many}: {diagnosis.first.verdict}")
    for place, sentence in enumerate(say_diagnosis(diagnosis), 1):
        say(f"{place}. {sentence}")


def print_forecast(
    spec: "StudySpec",
    table: "pl.DataFrame",
    forecasts: Sequence["Forecast"],
    directions: Sequence[Mapping[str, float]],
    recommendation: "Recommendation | None",
    budget: int,
    horizon: int,
) -> None:
    """The forecast of every run, where its neurons turn to, and the scale it recommends."""
    from nucleate.studies import tables

    decay = f", weight decay {spec.weight_decays[0]:g}" if spec.decays and len(spec.weight_decays) == 1 else ""
    title = f"{spec.data}: forecast for {spec.optimizer.name}{decay}, training loss down by 1, 10 and 30 % at step"
    aside = [tables.RUN, tables.GAP, *([] if forecasts[0].gap else [tables.AXIS_COSINE])]
    if not directions:
        # Of other models than networks nothing is said of a first layer.
        aside += [tables.CONDENSED_SHARE, tables.AXIS_COSINE, tables.MEASURED_CONDENSED_SHARE, tables.SAME_SIDES]
    _print_frame(title, table.drop(aside, strict=False))
    if any(table[tables.drop(share)].null_count() for share in tables.DROPS):
        say(f"—: not within {horizon} steps, not in the first descent, or not before the leading part diverges.")
    away = [row for row, one in zip(table.iter_rows(named=True), forecasts, strict=True) if one.decays_away]
    if away:
        cells = listed(dict.fromkeys(" ".join(f"{axis} {row[axis]:g}" for axis in spec.axes) for row in away))
        say(
            f"In {len(away)} of {len(table)} runs ({cells}) weight decay exceeds growth, so that the plateau never "
            "ends; a smaller decay ends it, or with two or more hidden layers a larger start."
        )
    if directions:
        _print_directions(forecasts, directions)
    else:
        print_matrices(forecasts)
    _say_outside(table.filter(~table[tables.IN_REGIME]).height, len(table), "runs")
    _print_recommendation(spec, recommendation, budget)


def print_stairs(
    spec: "StudySpec",
    table: "pl.DataFrame",
    stairs: Sequence[Sequence[Mapping[str, Any]]],
    asked: int,
    horizon: int,
) -> None:
    """The stairs of every run, which outputs each fits, and why there are no more."""
    from nucleate.studies import tables

    aside = ("end_lower", "end_upper", "gap", "output", "direction")
    cells = table.select(*spec.axes, tables.SEED).to_dicts()
    rows = [
        cell | {name: value for name, value in stair.items() if name not in aside}
        for cell, made in zip(cells, stairs, strict=True)
        for stair in made
    ]
    most = max(map(len, stairs))
    if rows:
        told = "stairs, which begin with a tenth of what they fit and end with nine tenths of it, at step"
        print_records(rows, f"{spec.data}: {told}")
        for stair in max(stairs, key=len):
            say(
                f"Stair {stair['stair']} fits {_components(stair['output'])} of the outputs; the first layer grows "
                f"along {_components(stair['direction'])}."
            )
        if any(row["begins"] is None or row["ends"] is None for row in rows):
            say(f"—: not within {horizon} steps, or not before the leading part diverges.")
        _say_outside(sum(not row[tables.IN_REGIME] for row in rows), len(rows), "stairs")
    if most < asked:
        say(
            f"Stairs of the linear part: {most}, each at least 1 % of the loss on the plateau. What a network learns "
            "behind them comes from the bend of its activation, and no step of it is forecast."
        )


def _say_outside(outside: int, of: int, what: str) -> None:
    if outside:
        say(f"{outside} of {of} {what} are outside the theory's regime: their steps are orders of magnitude.")


def _components(direction: Mapping[str, float]) -> str:
    strongest = sorted(direction.items(), key=lambda component: -abs(component[1]))
    named = ", ".join(f"{weight:+.2f} {name}" for name, weight in strongest[:_MOST_COMPONENTS])
    more = len(strongest) - _MOST_COMPONENTS
    return f"{named} and {more} more" if more > 0 else named


def _print_directions(forecasts: Sequence["Forecast"], directions: Sequence[Mapping[str, float]]) -> None:
    """Where the neurons of a network's first layer turn to."""
    named = _components(directions[0])
    several = f"one of {len(directions)} target directions, the strongest"
    which = "the target direction or its opposite," if len(directions) == 1 else several
    if _all_turn_to_target(forecasts):
        say(f"Neurons of the first layer turn to {which} {named}.")
    else:
        say(f"The target direction is {named}, but not every start turns to it.")
    _print_gap(forecasts)


def print_matrices(forecasts: Sequence["Forecast"]) -> None:
    """In which order the matrices of a model that is no network condense, and when keys and queries grow."""
    known = [{one.name: one.condenses for one in forecast.matrices} for forecast in forecasts if forecast.matrices]
    medians: dict[str, int] = {}
    for name in known[0] if known else ():
        steps = [step for run in known if (step := run[name]) is not None]
        if 2 * len(steps) > len(known):
            medians[name] = median_low(steps)
    if medians:
        first = sorted(medians.items(), key=lambda one: one[1])
        order = ", ".join(f"{name} by step {step}" for name, step in first)
        say(f"Matrices that condense onto one direction up to the 10 % drop, first ones first (median): {order}.")
    elif known:
        say("No matrix has condensed onto one direction by the time of the 10 % drop.")
    for place, one in enumerate(forecasts[0].keys):
        runs = [forecast.keys[place] for forecast in forecasts]
        doubled = [run for run in runs if run.doubled is not None]
        outside = sum(not run.in_regime for run in doubled)
        said = f"As far as they were followed, keys and queries of block {one.block} double in {len(doubled)} of "
        said += f"{len(runs)} runs"
        said += f", at step {_first_of([run.doubled for run in doubled])}" if doubled else ""
        trusted = f"; {outside} of these are outside the regime, and orders of magnitude" if outside else ""
        say(f"{said}{trusted}.")


def print_measured_matrices(outcomes: Sequence["Outcome"]) -> None:
    """How near training has come to the directions that were forecast of a model's matrices."""
    cosines: dict[str, list[float]] = {}
    for outcome in outcomes:
        for name, cosine in outcome.matrices.items():
            cosines.setdefault(name, []).append(cosine)
    if cosines:
        told = ", ".join(f"{name} {median_low(found):.3f}" for name, found in cosines.items())
        say(f"In training, |cos| of each matrix's leading direction to the one forecast (median): {told}.")
    doubled = [one.doubled for outcome in outcomes for one in outcome.keys if one.doubled is not None]
    if doubled:
        say(f"Keys and queries had doubled at step {_first_of(doubled)}.")


def _first_of(steps: Sequence[object]) -> str:
    return ", ".join(map(str, steps[:_MOST_COMPONENTS])) + " and more" * (len(steps) > _MOST_COMPONENTS)


def _all_turn_to_target(forecasts: Sequence["Forecast"]) -> bool:
    """Whether the theory says so: the singular values leave a clear gap, or all axes are near the target direction."""
    from nucleate.forecasting import CLEAR, CONDENSED

    gap, cosines = forecasts[0].gap, _cosines(forecasts)
    return gap is None or gap <= CLEAR or (len(cosines) > 0 and min(cosines) > CONDENSED)


def _cosines(forecasts: Sequence["Forecast"]) -> list[float]:
    return [one.axis_cosine for one in forecasts if one.axis_cosine is not None]


def _print_gap(forecasts: Sequence["Forecast"]) -> None:
    """How near the second singular value is to the first, and what follows for the directions."""
    from nucleate.forecasting import CLEAR

    gap, candidates, cosines = forecasts[0].gap, len(forecasts[0].candidates), _cosines(forecasts)
    if not gap:
        return
    near = f"The second singular value is {gap:.2f} of the first"
    if gap <= CLEAR:
        say(f"{near}: a clear gap.")
        return
    if not cosines:
        say(f"{near}, so the neurons need not turn to the target direction.")
        return
    spread = f"|cos| to the target direction {min(cosines):.2f} to {max(cosines):.2f}"
    if candidates > 1:
        say(
            f"{near}: each start turns to an axis of its own in the space of {candidates} candidate directions "
            f"({spread}). Condensed shares count the neurons on that axis."
        )
    else:
        say(f"{near}: the starts' own axes have {spread}. Condensed shares count neurons on the target direction.")


def print_plateaus(spec: "StudySpec", plateaus: "pl.DataFrame", recommendation: "Recommendation | None") -> None:
    """When plateaus are forecast to end, a row an init scale, and the scale recommended."""
    headings = [spec.convention, *(f"lr {rate}" for rate in plateaus.columns[1:])]
    # A title would wrap at the width of so narrow a table.
    say(f"{spec.data}: step at which the initial plateau is forecast to end, median over {len(spec.seeds)} seed(s)")
    _print_table("", headings, plateaus.rows())
    say("—: too large a start for the theory; there is hardly a plateau.")
    _print_recommendation(spec, recommendation, spec.steps)


def _print_recommendation(spec: "StudySpec", recommendation: "Recommendation | None", budget: int) -> None:
    if recommendation is None:
        say(f"At none of these scales is the plateau certain to end within {budget} steps.")
    else:
        decay = f" and weight decay {recommendation.weight_decay:g}" if spec.decays else ""
        say(
            f"The smallest scale that {budget} steps are enough for: {spec.convention} {recommendation.scale:g} "
            f"with learning rate {recommendation.lr:g}{decay}. Its plateau ends by step {recommendation.latest_step}, "
            f"and after {budget} steps the loss of its leading part is {recommendation.loss:.3g}; the lowest of all is "
            f"{recommendation.lowest_loss:.3g}."
        )


def print_conversion(conversion: "ScaleConversion") -> None:
    """A row a layer with its number in each convention, and the flag that makes the same start in each."""
    from nucleate.errors import ArchitectureError

    content = conversion.to_json()
    print_records(content["layers"])
    for convention, one in content["one_number"].items():
        flag = as_flag(convention)
        try:
            scale = conversion.to(convention)
        except ArchitectureError as error:
            say(f"{flag}: {error}")
            continue
        several = "" if one is not None else "  (no one number: the layers differ)"
        say(f"{flag} {scale.name}{several}")


def print_experiments(experiments: Iterable["Experiment[Any]"]) -> None:
    """What can be reproduced."""
    for one in experiments:
        say(f"{one.name}\n    {one.claim}\n    [{one.source}]")


def print_verdict(verdict: "Verdict") -> None:
    """A claim, its verdict and the numbers behind it, at once."""
    say(f"{verdict.name}: {verdict.said}\n    {verdict.claim}")
    for finding in verdict.findings:
        say(f"    {finding}")
    sys.stdout.flush()


def _print_frame(title: str, frame: "pl.DataFrame") -> None:
    _print_table(title, frame.columns, frame.rows())


def print_records(rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """A table of rows, whose columns they name."""
    _print_table(title, list(rows[0]), [list(row.values()) for row in rows])


def _print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[_say(value) for value in row] for row in rows]
    # Without COLUMNS a pipe has no width, and nothing is folded there.
    narrow = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    console = Console(width=None if narrow else _WIDE)
    table = Table(title=Text(plain(title)) if title else None, title_justify="left")
    for column in columns:
        table.add_column(Text(plain(column.replace("_", " "))), justify="right", overflow="fold")
    for row in cells:
        table.add_row(*(Text(plain(cell)) for cell in row))
    longest_words = console.measure(table, options=console.options.update(width=_WIDE)).minimum
    if longest_words <= console.width:
        console.print(table)
        return
    # Nothing is cut where a table does not fit: its rows become sentences.
    if title:
        say(title)
    for row in cells:
        say("; ".join(f"{column.replace('_', ' ')} {cell}" for column, cell in zip(columns, row, strict=True)))


def _say(value: Any) -> str:
    if value is None:
        return "—"
    return in_digits(value, 4) if isinstance(value, float) else str(value)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, PerLayer):
        return str(content)
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
