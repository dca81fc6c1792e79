"""How long it takes to open, summarize and report a study of 100,000 runs.

    make bench BENCHMARK=large_study

A small study is trained, and its runs are written again and again as those of a large one, with other seeds, by the
study's own keeper. Nothing of the large one is trained, so its folder is that of a finished study but for the networks:
only those of the first seeds are there, and its comparisons with simpler models are those of the small one.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import polars as pl

from nucleate import load_problem, report, sweep
from nucleate.studies import PlannedRun, Study, load_judgement, summarize, tables
from nucleate.studies.findings import unjudged_findings
from nucleate.studies.judgement import save_judgement
from nucleate.studies.keeper import ChunkResult, keep
from nucleate.studies.places import At, model_file, snapshots_file

GRID = {"gains": [1.0, 0.3, 0.1, 0.03], "hidden": [10, 10], "steps": 300, "evaluations": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    given = parser.parse_args()
    seeds = given.runs // len(GRID["gains"]) // 16 * 16
    with tempfile.TemporaryDirectory() as folder:
        small = sweep("sine-5d", out=Path(folder) / "small", seeds=4, progress=False, **GRID)
        print(f"Writing a study of {4 * seeds:,} runs, some 2 ms each.", file=sys.stderr)
        large = plant(small, Path(folder) / "large", seeds)
        files = sum(1 for _ in large.rglob("*.parquet"))
        print(f"{4 * seeds:,} runs, whose tables are {files:,} files:\n\n| | seconds |\n|---|---|")
        study = timed("open, and read the results", lambda: opened(large))
        timed("summarize", lambda: summarize(study))
        timed("findings", lambda: unjudged_findings(study))
        timed("read all trajectories", lambda: study.trajectories)
        timed("the page", lambda: report(study, out=Path(folder) / "page.html"))


def timed(what: str, do: Callable[[], Any]) -> Any:
    """Print how long it took."""
    begun = time.perf_counter()
    done = do()
    print(f"| {what} | {time.perf_counter() - begun:.1f} |", flush=True)
    return done


def opened(folder: Path) -> Study:
    """A study with its results read."""
    study = Study.load(folder)
    assert not study.missing
    return study


def plant(small: Study, folder: Path, seeds: int) -> Path:
    """A study of so many seeds, a multiple of 16, whose every run has the numbers of one that was trained."""
    spec = small.spec.changed(seeds=seeds)
    patterns = {scale: pattern(small, scale) for scale in spec.scales}
    with keep(folder, spec, load_problem("sine-5d")) as keeper:
        for chunk in keeper.study.plan.chunks:
            first = chunk.runs[0]
            moved = pl.col(tables.RUN) + first.number
            forecasts, results, trajectories = (table.with_columns(moved) for table in patterns[first.scale])
            seeded = pl.Series(tables.SEED, [run.seed for run in chunk.runs])
            files = networks(small, first) if first.seed == 0 else {}
            keeper.keep_forecasts(chunk, forecasts.with_columns(seeded))
            keeper.keep_result(chunk, ChunkResult(results.with_columns(seeded), trajectories, files))
        study, judgement = keeper.study, load_judgement(small)
        save_judgement(study, replace(judgement, run=unjudged_findings(study).recommended_run))
        return study.path


def networks(small: Study, first: PlannedRun) -> dict[str, bytes]:
    """The networks and snapshots of a scale's trained runs, as those of its first runs in the large study."""
    runs = small.results.filter(pl.col(small.spec.convention) == first.scale)[tables.RUN].to_list()
    places = [partial(model_file, at=at) for at in get_args(At)] + [snapshots_file]
    pairs = {place(first.number + seed): small.path / place(run) for seed, run in enumerate(runs) for place in places}
    return {name: file.read_bytes() for name, file in pairs.items() if file.exists()}


def pattern(small: Study, scale: float) -> list[pl.DataFrame]:
    """Forecasts, results and trajectories of 16 runs of a scale, numbered from 0: the trained ones, again and again."""
    runs = small.results.filter(pl.col(small.spec.convention) == scale)[tables.RUN].to_list()
    return [
        pl.concat(
            table.filter(pl.col(tables.RUN) == runs[place % len(runs)]).with_columns(
                pl.lit(place, pl.Int64).alias(tables.RUN)
            )
            for place in range(16)
        )
        for table in (small.forecasts, small.results, small.trajectories)
    ]


if __name__ == "__main__":
    main()
