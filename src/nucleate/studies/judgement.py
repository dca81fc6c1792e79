"""What the held-out rows say of a study: its cells against each other, and the recommended one against baselines."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from nucleate._files import read_json, write_json
from nucleate.baselines import (
    Baseline,
    Comparison,
    Contender,
    Entrant,
    Judged,
    compare_entrants,
    constant,
    hold_against,
    linear,
)
from nucleate.baselines.comparison import count_units, judge_outputs
from nucleate.baselines.models import baseline_from_json, further_metrics
from nucleate.errors import StudyError
from nucleate.models import outputs_of
from nucleate.problems import Problem, Split
from nucleate.studies.folder import Study
from nucleate.studies.formats import split_hash
from nucleate.studies.places import JUDGEMENT

_FORMAT = "nucleate judgement 3"


@dataclass(frozen=True)
class Standing:
    """Where a cell stands: it is the ``other`` of each comparison.

    Parameters
    ----------
    best : Comparison
        With the best validated cell, on the validation rows.
    largest : Comparison
        With the best validated cell of the largest init scale that learned, on the validation rows.
    largest_on_test : Comparison
        The same on the test rows.
    """

    best: Comparison
    largest: Comparison
    largest_on_test: Comparison


@dataclass(frozen=True)
class Judgement:
    """What a study keeps of the comparisons on its held-out rows.

    Parameters
    ----------
    standings : tuple of (Standing or None)
        Of each cell of the findings; None where nothing is to choose.
    run : int or None
        The recommended one; None where none has trained.
    further : dict of str to float
        The loss's further metrics of that run, on the test rows.
    baselines : tuple of Baseline
        Each held against the seeds of the recommended cell.
    lacks_narrow : {"untrained", "model", "plateau", "trained"} or None
        Why no narrow network is among them: it is still to be trained; the model is not one of our networks; no run has
        left its plateau; none has trained.
    seen : int
        How many of the test rows are among those for training or validation too, target and all.
    """

    standings: tuple[Standing | None, ...]
    run: int | None = None
    further: Mapping[str, float] | None = None
    baselines: tuple[Baseline, ...] = ()
    lacks_narrow: str | None = None
    seen: int = 0


def compare_cells(
    study: Study, problem: Problem, cells: Sequence[Sequence[int]], best: int, largest: int
) -> tuple[Standing, ...]:
    """Hold cells, each the numbers of its runs that count, against the best one and that of the largest init scale.

    The problem is the study's own, and ``best`` and ``largest`` are places among the cells.
    """

    def judged(run: int, part: Split) -> Judged:
        return judge_outputs(problem, outputs_of(study.network(run, "best"), part.x), part)

    validation, test = (
        [Entrant([judged(run, part) for run in runs]) for runs in cells] for part in (problem.validation, problem.test)
    )
    metric, among = problem.loss.metric, max(len(cells) - 1, 1)
    on_validation, on_test = (
        partial(compare_entrants, metric, len(part.x), **count_units(part))
        for part in (problem.validation, problem.test)
    )
    on_validation = partial(on_validation, among=among)
    return tuple(
        Standing(
            on_validation(validation[best], validation[cell]),
            on_validation(validation[largest], validation[cell]),
            on_test(test[largest], test[cell]),
        )
        for cell in range(len(cells))
    )


def hold_against_baselines(
    study: Study, problem: Problem, runs: Sequence[int], best: int | None, narrow: Contender | None = None
) -> tuple[tuple[Baseline, ...], dict[str, float] | None]:
    """The baselines of a study, and the further metrics of its recommended run on the test rows.

    The problem is the study's own; ``runs`` are those of the recommended cell, ``best`` the recommended one of them,
    None where none has trained. The narrow network is given, for that is a matter of training.
    """
    networks = [partial(outputs_of, study.network(run, "best")) for run in runs]
    contenders = [constant(problem), linear(problem), *([] if narrow is None else [narrow])]
    baselines = hold_against(problem, networks, contenders, varies=len(runs) > 1)
    if best is None:
        return baselines, None
    chosen = networks[list(runs).index(best)]
    if len(runs) > 1:
        of_best = [replace(contender, seeds=contender.seeds[:1]) for contender in contenders]
        alone = hold_against(problem, [chosen], of_best, among=len(of_best))
        baselines = tuple(
            replace(baseline, of_best=one.comparison) for baseline, one in zip(baselines, alone, strict=True)
        )
    return baselines, further_metrics(problem, chosen(problem.test.x), problem.test)


def own_problem(study: Study) -> Problem:
    """The data of a study as they were when it was made; a NucleateError says why they cannot be had."""
    problem = study.load_problem()
    if (problem.data_hash, split_hash(problem)) != (study.data_hash, study.split_hash):
        raise StudyError(f"The data of {study.path} have changed since; put back those it was made of.")
    return problem


def save_judgement(study: Study, judgement: Judgement) -> None:
    """Keep a judgement in the study's folder, with the hashes of what it is about."""
    content = {"format": _FORMAT, **_about(study), **asdict(judgement)}
    write_json(study.path / JUDGEMENT, content, study.place(JUDGEMENT))


def load_judgement(study: Study) -> Judgement | None:
    """The judgement that is kept with a study; None where there is none, or one of other data or results.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Judgement or None
    """
    try:
        content = read_json(study.path / JUDGEMENT, study.place(JUDGEMENT))
        if content.pop("format") != _FORMAT or any(content.pop(name) != told for name, told in _about(study).items()):
            return None
        standings = (entry and Standing(**{name: Comparison(**told) for name, told in entry.items()})
                     for entry in content.pop("standings"))  # fmt: skip
        baselines = (baseline_from_json(**entry) for entry in content.pop("baselines"))
        return Judgement(standings=tuple(standings), baselines=tuple(baselines), **content)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # What cannot be read is found anew.
        return None


def _about(study: Study) -> dict[str, str]:
    """What a judgement is about, so that it is not taken for that of anything else."""
    results = hashlib.sha256(study.results.write_csv().encode()).hexdigest()
    return {"data_hash": study.data_hash, "split_hash": study.split_hash, "results_hash": results}
