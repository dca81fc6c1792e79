"""What commands print: tables or one JSON object on standard output, everything else on standard error."""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

    from nucleate.experiments import Experiment, Verdict
    from nucleate.forecasting import Forecast
    from nucleate.problems import Problem
    from nucleate.studies import Study, StudySpec
    from nucleate.sweeping import Recommendation

_MOST_ROWS = 40
_MOST_COMPONENTS = 6


def print_json(content: Mapping[str, Any]) -> None:
    """One JSON object; NaN and infinity, which JSON lacks, become null."""
    print(json.dumps(_finite(content), ensure_ascii=False, allow_nan=False))


def say_notes(notes: Iterable[str]) -> None:
    """What was decided or left out when data were read, on standard error."""
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)


def say_data(problem: "Problem") -> None:
    """What the columns of the data are, unless there are many, and notes, on standard error."""
    from nucleate.problems import describe_data

    for line in describe_data(problem):
        print(line, file=sys.stderr)


def print_problems(rows: Iterable[Mapping[str, Any]]) -> None:
    """The table of bundled problems."""
    rows = list(rows)
    _print_table("", list(rows[0]), [[_say(value) for value in row.values()] for row in rows])


def print_study(study: "Study", by_cell: bool = False) -> None:
    """A study's runs, or where they are many (or ``by_cell``) medians over those that left their plateau."""
    from nucleate.studies import summarize, tables

    results, metric = study.results, study.metric.name
    fewest = [tables.fewest_effective_neurons(layer) for layer in study.layers]
    aside = [tables.BEST_VALIDATION_LOSS, tables.PLATEAU_END, *fewest]
    if by_cell or len(results) > _MOST_ROWS:
        table, title = (
            summarize(study),
            "medians over the runs that left their plateau, or where none did, over those stuck on it",
        )
        aside += [tables.metric_on_test(metric)]
    else:
        table, title = results, "runs"
        aside += [tables.STAGE, tables.DESCENT_END, tables.BEST_STEP, tables.metric_on_validation(metric)]
        aside += [tables.drop(share) for share in tables.DROPS]
        aside += [tables.NOTES]
    _print_frame(f"{study.spec.data}: {title}", table.drop(aside))
    # A column of sentences would make a table of one word a line.
    for (note,), noted in results.group_by(tables.NOTES, maintain_order=True):
        if note:
            runs = noted[tables.RUN].to_list()
            print(f"Note on {'run' if len(runs) == 1 else 'runs'} {', '.join(map(str, runs))}: {note}.")
    print(study.path)


def print_trajectory(study: "Study", rows: int = 16) -> None:
    """The time course of a study's only run."""
    from nucleate.studies import tables

    spec, trajectory, result = study.spec, study.trajectories, study.results.row(0, named=True)
    chosen = sorted({round(index * (len(trajectory) - 1) / (rows - 1)) for index in range(rows)})
    shown = ("effective_neurons", "directions", "condensed_pairs", "stable_rank", *(one.name for one in spec.measures))
    columns = [tables.measured(measure, layer) for measure in shown for layer in study.layers]
    table = trajectory.select(tables.STEP, tables.TRAIN_LOSS, tables.VALIDATION_LOSS, *columns)[chosen]
    _print_frame(f"{spec.data}: {spec.convention} {spec.scales[0]:g}, lr {spec.lrs[0]:g}", table)
    print(
        f"{result[tables.STATUS]} after {result[tables.STEPS]} steps, in the {result[tables.STAGE]}; initial plateau "
        f"until step {_say(result[tables.PLATEAU_END])}, descent until {_say(result[tables.DESCENT_END])}."
    )
    on_test = tables.metric_on_test(study.metric.name)
    print(f"{on_test} {_say(result[on_test])} at the best validated step {result[tables.BEST_STEP]}.")
    if result[tables.NOTES]:
        print(f"Note: {result[tables.NOTES]}.")
    print(study.path)


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

    title = f"{spec.data}: forecast for {spec.optimizer.name}, training loss down by 1, 10 and 30 % at step"
    aside = [tables.RUN, tables.GAP, *([] if forecasts[0].gap else [tables.AXIS_COSINE])]
    _print_frame(title, table.drop(aside))
    if any(table[tables.drop(share)].null_count() for share in tables.DROPS):
        print(f"—: not within {horizon} steps, not in the first descent, or not before the leading part diverges.")
    strongest = sorted(directions[0].items(), key=lambda component: -abs(component[1]))
    named = ", ".join(f"{weight:+.2f} {name}" for name, weight in strongest[:_MOST_COMPONENTS])
    several = f"one of {len(directions)} target directions, the strongest"
    which = "the target direction or its opposite," if len(directions) == 1 else several
    rest = f" and {len(strongest) - _MOST_COMPONENTS} more" if len(strongest) > _MOST_COMPONENTS else ""
    if _all_turn_to_target(forecasts):
        print(f"Neurons of the first layer turn to {which} {named}{rest}.")
    else:
        print(f"The target direction is {named}{rest}, but not every start turns to it.")
    _print_gap(forecasts)
    outside = len(table) - table[tables.IN_REGIME].sum()
    if outside:
        print(f"{outside} of {len(table)} runs are outside the theory's regime: their steps are orders of magnitude.")
    _print_recommendation(spec, recommendation, budget)


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
        print(f"{near}: a clear gap.")
        return
    if not cosines:
        print(f"{near}, so the neurons need not turn to the target direction.")
        return
    spread = f"|cos| to the target direction {min(cosines):.2f} to {max(cosines):.2f}"
    if candidates > 1:
        print(
            f"{near}: each start turns to an axis of its own in the space of {candidates} candidate directions "
            f"({spread}). Condensed shares count the neurons on that axis."
        )
    else:
        print(f"{near}: the starts' own axes have {spread}. Condensed shares count neurons on the target direction.")


def print_plateaus(spec: "StudySpec", plateaus: "pl.DataFrame", recommendation: "Recommendation | None") -> None:
    """When plateaus are forecast to end, a row an init scale, and the scale recommended."""
    headings = [spec.convention, *(f"lr {rate}" for rate in plateaus.columns[1:])]
    rows = [[_say(value) for value in row] for row in plateaus.iter_rows()]
    # A title would wrap at the width of so narrow a table.
    print(f"{spec.data}: step at which the initial plateau is forecast to end, median over {len(spec.seeds)} seed(s)")
    _print_table("", headings, rows)
    print("—: too large a start for the theory; there is hardly a plateau.")
    _print_recommendation(spec, recommendation, spec.steps)


def _print_recommendation(spec: "StudySpec", recommendation: "Recommendation | None", budget: int) -> None:
    if recommendation is None:
        print(f"At none of these scales is the plateau certain to end within {budget} steps.")
    else:
        print(
            f"The smallest scale that {budget} steps are enough for: {spec.convention} {recommendation.scale:g} "
            f"with learning rate {recommendation.lr:g}. Its plateau ends by step {recommendation.latest_step}, and "
            f"after {budget} steps the loss of its leading part is {recommendation.loss:.3g}; the lowest of all is "
            f"{recommendation.lowest_loss:.3g}."
        )


def print_experiments(experiments: Iterable["Experiment[Any]"]) -> None:
    """What can be reproduced."""
    for one in experiments:
        print(f"{one.name}\n    {one.claim}\n    [{one.source}]")


def print_verdicts(verdicts: Iterable["Verdict"], files: Sequence[Path]) -> None:
    """Each claim, its verdict and the numbers behind it."""
    for verdict in verdicts:
        print(f"{verdict.name}: {'holds' if verdict.holds else 'does not hold'}\n    {verdict.claim}")
        for finding in verdict.findings:
            print(f"    {finding}")
    for file in files:
        print(file)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on standard error, where that is a terminal, what takes its time; Ctrl-C ends it with a word."""
    try:
        with Console(stderr=True).status(what):
            yield
    except KeyboardInterrupt:
        print(f"nucleate: interrupted while {what}; nothing is kept.", file=sys.stderr)
        raise typer.Exit(130) from None


def say_interrupted(out: Path) -> int:
    """How to go on after Ctrl-C; returns the exit code."""
    begun = out.is_dir() and any(out.iterdir())
    kept = f"what is done is kept in {out}. The same command goes on from there." if begun else "nothing is kept."
    print(f"nucleate: interrupted; {kept}", file=sys.stderr)
    return 130


def _print_frame(title: str, frame: "pl.DataFrame") -> None:
    _print_table(title, frame.columns, [[_say(value) for value in row] for row in frame.iter_rows()])


def _print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # A pipe has no width; a terminal's own is kept.
    console = Console(width=None if sys.stdout.isatty() else 220)
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _say(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
