"""The verb: what holds a run back, and which change of a setting helps."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import polars as pl

from nucleate._arrays import is_whole
from nucleate._wording import name_parameter, shown
from nucleate.doctor.evidence import HELD_BACK, Evidence, gather
from nucleate.doctor.modules.copies import STEPS, ModuleTrials
from nucleate.doctor.modules.evidence import beside_loop, gather_module
from nucleate.doctor.modules.setting import read_setting
from nucleate.doctor.remedies import Attempts, Remedy, Trials
from nucleate.doctor.verdicts import (
    BY_NAME,
    CAUSES,
    Found,
    Verdict,
    has_decayed,
    has_not_moved,
    has_wiped_out,
    is_held_back,
    of_fine,
)
from nucleate.errors import SpecError, StudyError
from nucleate.models import is_keras
from nucleate.observe.curve import FLAT
from nucleate.problems import Problem
from nucleate.pytorch.exchange import is_module
from nucleate.studies import Study, study_findings, tables
from nucleate.training import Run, Status
from nucleate.training.stopping import plateau_loss

ENDS = ("linear_is_enough", "nothing_to_learn", "too_few_rows", "fine")
"""Verdicts that name nothing to be mended."""
_ALONE = ("stands_still", "constant_target", "constant_inputs")
"""Verdicts beside which nothing else is said."""
_FACTS = ("leak", "no_gradient", "eval_mode", "repeated_rows")
"""What no fresh start mends."""
_OF_LOOP = ("gradients_add_up", "other_rows", "paired_rows")
"""What is wrong with a loop, and no copy has."""
_EFFECTS = ("constant_output", "only_the_mean", "collapsed", "overfitting")
"""What other verdicts may be the cause of."""
_BESIDE = (*_EFFECTS, "dead_units", "rate_too_large", "unscaled_input", "unscaled_target")
"""What many a run that learns has too, so that without a trial it is no cause where there is nothing to learn."""


@runtime_checkable
class Watched(Protocol):
    """A model whose training was recorded, such as `nucleate.Watch`: the model, and what its record gives."""

    model: Any
    losses: Mapping[int, float]

    @property
    def evidence(self) -> Evidence:
        """What is known of its training."""


@dataclass(frozen=True)
class Finding:
    """One verdict on a run.

    Parameters
    ----------
    verdict : str
        Its name, which is stable.
    evidence : dict
        The numbers of its criterion.
    remedies : tuple of Remedy
        The settings against it, those that helped first.
    """

    verdict: str
    evidence: Found
    remedies: tuple[Remedy, ...] = ()

    @property
    def layer(self) -> str | None:
        """The layer that it is about, where it is about one."""
        return self.evidence.get("layer")

    @property
    def helped(self) -> Remedy | None:
        """The remedy that was tried and helped most."""
        return next((one for one in self.remedies if one.helped), None)

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON has them.

        Returns
        -------
        dict
        """
        tried = next((one for one in self.remedies if one.known == "tried"), None)
        return {
            "verdict": self.verdict,
            "layer": self.layer,
            "evidence": self.evidence,
            "remedies": [one.to_json() for one in self.remedies],
            "tried": None if tried is None else tried.to_json(),
        }

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {_written(value)}" for name, value in self.evidence.items())
        return f"{self.verdict}: {numbers}" if numbers else self.verdict


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found of a run, the cause whose remedy helps most first.

    Parameters
    ----------
    findings : tuple of Finding
        One at least.
    evidence : Evidence
    run : int or None
        The number of the run, where it is one of a study.
    """

    findings: tuple[Finding, ...]
    evidence: Evidence
    run: int | None = None

    @property
    def first(self) -> Finding:
        """The finding to act on."""
        return self.findings[0]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The names of the verdicts, in order."""
        return tuple(finding.verdict for finding in self.findings)

    @property
    def holds_back(self) -> bool:
        """Whether the first finding is one to be mended."""
        return self.first.verdict not in ENDS

    def to_json(self) -> dict[str, Any]:
        """The findings, and the run's number, as JSON has them.

        Returns
        -------
        dict
        """
        return {"run": self.run, "findings": [finding.to_json() for finding in self.findings]}

    def __repr__(self) -> str:
        return f"Diagnosis({'; '.join(map(str, self.findings))})"

    def __str__(self) -> str:
        """A line for each verdict, with the numbers of its criterion, and below it what was tried against it."""
        lines = []
        for finding in self.findings:
            lines += [str(finding), *(f"    {remedy}" for remedy in finding.remedies)]
        return "\n".join(lines)


def _written(value: Any) -> str:
    """A number of a criterion as a person reads it.

    >>> [_written(value) for value in (0.123456, 1000, "w", (3, 0.5), None)]
    ['0.123', '1000', 'w', '3, 0.5', 'unknown']
    """
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(_written, value)) if isinstance(value, tuple | list) else str(value)


def diagnose(
    given: Any,
    problem: Any = None,
    loss: Any = None,
    optimizer: Any = None,
    *,
    run: int | None = None,
    trials: bool = True,
    steps: int = STEPS,
) -> Diagnosis:
    """Say what holds a run back, and what to do.

    Parameters
    ----------
    given : Run, Study or path, torch.nn.Module, or Watch
        Of a study the recommended run, or of one in which none has trained the first. Of a module copies are trained
        for some steps, as it is; itself, its optimizer and all random numbers are left as they are. Of a watch its
        record is judged, and with data, loss and optimizer its module beside it.
    problem : Problem, or data of a module, optional
        That a `Run` was trained on; a study has its own. Of a module a pair of inputs and targets, or a Dataset or
        DataLoader of such pairs.
    loss : callable, optional
        Of a module: from outputs and targets to a scalar tensor.
    optimizer : torch.optim.Optimizer, optional
        Of a module's parameters.
    run : int, optional
        The number of a study's run.
    trials : bool
        Whether settings are tried by training, in the order of the verdicts until one helps. Otherwise verdicts that
        rest on a trial are not given, but that a loss which was still falling was stopped too early, and remedies are
        those of the rules.
    steps : int
        That copies of a module are trained for.

    Returns
    -------
    Diagnosis

    Raises
    ------
    SpecError
        For a run without its problem, or one that does not say how it was trained.
    StudyError
        If the folder is not a study or is damaged, or has no such run.

    Examples
    --------
    >>> from nucleate import InitScale, Network, load_problem, train
    >>> problem = load_problem("sine-5d")
    >>> start = Network.create(5, [8, 8], 1, scale=InitScale("gain", 0.001))
    >>> found = diagnose(train(start, problem, steps=100), problem, trials=False)
    >>> found.first.verdict, found.first.evidence["steps"]
    ('initial_plateau', 100)
    """
    watched = given if not is_module(given) and isinstance(given, Watched) else None
    if watched is not None:
        if problem is None:
            return Diagnosis(tuple(judge(watched.evidence)), watched.evidence)
        given = watched.model
    if is_keras(given):
        raise SpecError(
            "The doctor trains no Keras model; watch its own training, "
            "model.fit(..., callbacks=[callback := nucleate.inspection.keras_callback()]), and diagnose callback.watch."
        )
    if is_module(given):
        if not is_whole(steps) or steps < 1:
            raise SpecError(f"{name_parameter('steps')} is {shown(steps)}; it must be a whole number, 1 or more.")
        setting = read_setting(given, problem, loss, optimizer)
        evidence = gather_module(setting, steps)
        with suppress(SpecError):
            # A watch may have no losses.
            evidence = evidence if watched is None else beside_loop(evidence, setting, watched)
        return Diagnosis(tuple(judge(evidence, ModuleTrials(setting, evidence) if trials else None)), evidence)
    if loss is not None or optimizer is not None:
        raise SpecError("A loss and an optimizer are for a PyTorch module; a run and a study have their own.")
    if not isinstance(given, Run):
        return _diagnose_study(given if isinstance(given, Study) else Study.load(given), problem, run, trials)
    if problem is None:
        raise SpecError("A run does not hold its data; give the problem that it was trained on.")
    if run is not None:
        raise SpecError("The number of a run is for a study; leave it out.")
    evidence = gather(given, problem)
    return Diagnosis(tuple(judge(evidence, Trials(given, problem, evidence) if trials else None)), evidence)


def judge(evidence: Evidence, trials: Attempts | None = None) -> list[Finding]:
    """The findings that evidence gives, in order, one at least; trials train with a setting changed."""
    suspected = [(verdict, found) for verdict in CAUSES if (found := verdict.criterion(evidence)) is not None]
    if any(verdict.name == "vanishing_gradient" for verdict, _ in suspected):
        # Then the curvature is that of the last layers alone.
        suspected.sort(key=lambda one: _place(*one))
    alone = [Finding(verdict.name, found) for verdict, found in suspected if verdict.name in _ALONE]
    if alone:
        return alone[:1]
    if not is_held_back(evidence):
        return _of_a_learner(evidence, suspected)
    said = _without_trials(evidence, suspected) if trials is None else _with_trials(evidence, suspected, trials)
    return _ordered(said, evidence)


def _place(verdict: Verdict, numbers: Found) -> float:
    """Its place among the causes; a rate that curvature alone speaks against stands behind a vanishing gradient."""
    by_curvature = verdict.name == "rate_too_large" and numbers["by"] == "edge"
    return CAUSES.index(BY_NAME["vanishing_gradient"]) + 0.5 if by_curvature else CAUSES.index(verdict)


def _finding(verdict: Verdict, numbers: Found, evidence: Evidence) -> Finding:
    return Finding(verdict.name, numbers, tuple(Remedy(*change) for change in verdict.changes(evidence)))


def _fine(evidence: Evidence) -> Finding:
    return Finding("fine", of_fine(evidence))


def _of_a_learner(evidence: Evidence, suspected: Sequence[tuple[Verdict, Found]]) -> list[Finding]:
    """Of a run that nothing holds back: what is good to know, behind that it is fine; but a leak is no learning.

    Who looks at the last network of a run that overfits does not look at one that is fine. And where a linear model
    comes as far, that is what to know first.
    """
    said = [Finding(verdict.name, numbers) for verdict, numbers in suspected if verdict.always]
    order = {"leak": 0, **dict.fromkeys(_OF_LOOP, 0), "overfitting": 1, "fine": 3, "too_few_rows": 3}
    if any(one.verdict == "linear_is_enough" and one.evidence["linear"] >= one.evidence["network"] for one in said):
        order["linear_is_enough"] = 2
    return sorted(said, key=lambda one: order.get(one.verdict, 4)) or [_fine(evidence)]


def _without_trials(evidence: Evidence, suspected: Sequence[tuple[Verdict, Found]]) -> list[Finding]:
    """What holds without a trial; of a loss that is still falling, or has not begun to, no last word."""
    falls = any(one.name == "stopped_too_early" and numbers["falling"] >= FLAT for one, numbers in suspected)
    open_ended = falls or evidence.stage == "initial plateau"
    certain = {"decay_too_large": has_wiped_out(evidence), "rate_too_small": open_ended and has_not_moved(evidence)}
    known = certain | {"stopped_too_early": falls}
    known["decay_too_large"] |= has_decayed(evidence)
    said = [
        _finding(verdict, numbers, evidence)
        for verdict, numbers in suspected
        if known.get(verdict.name) or not (verdict.by_trial or (open_ended and verdict.name in ENDS))
    ]
    # Where no step can have taken the weights anywhere, nothing else is the cause.
    return sorted(said, key=lambda one: not certain.get(one.verdict))


def _with_trials(evidence: Evidence, suspected: Sequence[tuple[Verdict, Found]], trials: Attempts) -> list[Finding]:
    """Each suspect's changes are tried until one helps; those that hold only by a trial fall where none does."""
    cured, found = False, []
    for verdict, numbers in suspected:
        changes = verdict.changes(evidence)
        if cured or verdict.name in ("leak", "overfitting"):
            if not verdict.by_trial:
                found.append(_finding(verdict, numbers, evidence))
            continue
        remedies = trials.first_that_helps(changes)
        cured = any(one.helped for one in remedies)
        if verdict.name == "initial_plateau":
            end, ahead = trials.forecasts()
            numbers, remedies = numbers | {"end": end}, [*remedies, *ahead]
        if cured and verdict.name == "too_few_units":
            widths = tuple(layer.width for layer in evidence.layers)
            wider = next(one.value for one in remedies if one.helped)
            numbers = numbers | {"stuck": trials.stuck_share(widths), "stuck_wider": trials.stuck_share(wider)}
        if cured and verdict.name == "rate_too_large":
            found += _decay_behind(evidence, suspected, remedies[0], trials)
        if cured or not verdict.by_trial:
            found.append(Finding(verdict.name, numbers, tuple(remedies)))
    # Of a run that learned, and of which nothing is known to be wrong, the usual setting would tell nothing new.
    blameless = all(
        verdict.by_trial or verdict.name in (*_FACTS, "rate_too_large", *_EFFECTS, *ENDS) for verdict, _ in suspected
    )
    if cured or (evidence.beside_constant == "better" and blameless and not evidence.has_forgotten):
        return found
    (recipe,) = trials.first_that_helps([("recipe", "standard")])
    if not recipe.helped:
        # What not even the usual setting learns is not what the run is to blame for.
        tried = recipe.known == "tried"
        return sorted(found, key=lambda one: not (tried and one.verdict == "nothing_to_learn"))
    # What rests on a trial of its own has failed it.
    blamable = [one for one in suspected if one[0].name not in (*_FACTS, *ENDS)]
    wiped_out = has_wiped_out(evidence)
    if not blamable:
        return found
    blamed, numbers = min(
        blamable,
        key=lambda one: (
            not (wiped_out and one[0].name == "decay_too_large"),
            2 * one[0].by_trial + (one[0].name in _EFFECTS),
        ),
    )
    known = next((one for one in found if one.verdict == blamed.name), Finding(blamed.name, numbers))
    first = replace(known, remedies=(recipe, *known.remedies))
    return [first, *(one for one in found if one is not known)]


def _decay_behind(
    evidence: Evidence, suspected: Sequence[tuple[Verdict, Found]], rate: Remedy, trials: Attempts
) -> list[Finding]:
    """A decay that holds a run back at the rate too that helped it; at its own rate none would have been of use."""
    numbers = next((numbers for verdict, numbers in suspected if verdict.name == "decay_too_large"), None)
    if numbers is None or not has_wiped_out(evidence) or rate.explained is None:
        return []
    (remedy,) = trials.first_that_helps([("undecayed", rate.value)])
    is_more = remedy.helped and remedy.explained is not None and HELD_BACK * remedy.explained > rate.explained
    return [Finding("decay_too_large", numbers, (remedy,))] if is_more else []


def _ordered(found: Sequence[Finding], evidence: Evidence) -> list[Finding]:
    """What helped first; then causes, then what is left where there is none."""
    leaks = [one for one in found if one.verdict == "leak"]
    helped = [one for one in found if one.helped]
    ends = [one for one in found if one.verdict in ENDS]
    facts = [one for one in found if one.verdict in ("no_gradient", *_OF_LOOP)]
    if all(one.verdict in _EFFECTS for one in helped):
        facts += [one for one in found if one.verdict == "repeated_rows"]
    if not helped:
        vain = [one for one in found if any(remedy.helped is False for remedy in one.remedies)]
        facts += [one for one in found if one.verdict == "out_of_reach" and one not in vain]
        facts += [one for one in found if one.evidence.get("always")]
    if facts and not any(one in facts for one in helped):
        # What else helps does so beside it.
        return [*leaks, *facts, *helped, *(one for one in found if one not in (*leaks, *facts, *helped, *ends))]
    others = [one for one in found if one not in (*leaks, *helped, *ends)]
    if found and found[0].verdict == "nothing_to_learn":
        return [*leaks, found[0], *others]
    learned = evidence.trained and evidence.beside_constant == "better"
    if not helped and ends and (learned or not any(one.verdict not in _BESIDE for one in others)):
        untried = ("softmax_twice",) if all(one.known == "rule" for of in others for one in of.remedies) else ()
        firm = [one for one in others if one.verdict in ("overfitting", *untried)]
        others = [one for one in others if one not in firm]
        if any(one.verdict == "nothing_to_learn" for one in ends):
            return [*leaks, ends[0], *firm, *others]
        return [*leaks, *firm, ends[0], *others]
    # With a cause in hand, nothing is fine or enough.
    return [*leaks, *helped, *others] or ends or [_fine(evidence)]


def _diagnose_study(study: Study, problem: Problem | None, number: int | None, trials: bool) -> Diagnosis:
    results = study.results
    if results.is_empty():
        raise StudyError(f"No run of {study.path} is finished; sweep into the folder first.")
    if number is None:
        findings = study_findings(study) if study.layers else None
        number = findings.recommended_run if findings is not None and findings.trained else int(results["run"][0])
    if not is_whole(number) or number not in results["run"]:
        raise StudyError(
            f"There is no finished run {number!r:.60} in {study.path}; the runs are 0 to {study.planned - 1}."
        )
    problem = study.load_problem() if problem is None else problem
    return replace(diagnose(run_of_study(study, number, problem), problem, trials=trials), run=number)


def run_of_study(study: Study, number: int, problem: Problem) -> Run:
    """A run of a study, whose own problem this is, as `nucleate.train` would have returned it."""
    planned, row = study.plan.runs[number], study.results.row(by_predicate=pl.col(tables.RUN) == number, named=True)
    initial, final, best = (study.network(number, at) for at in ("initial", "final", "best"))
    return Run(
        status=Status(row[tables.STATUS]),
        steps=row[tables.STEPS],
        trajectory=study.trajectories_of([number]).drop(tables.RUN),
        initial=initial,
        final=final,
        best=best,
        drop_steps={share: row[tables.drop(share)] for share in tables.DROPS},
        learning_rate=planned.learning_rate,
        seed=planned.seed,
        weight_decay=planned.weight_decay,
        plateau_loss=plateau_loss(initial, problem),
        notes=(row[tables.NOTES],) if row[tables.NOTES] else (),
        settings=study.spec,
    )
