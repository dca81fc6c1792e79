"""`nucleate demo`, `nucleate reproduce`, `nucleate problems` and `nucleate convert`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nucleate._wording import for_whom
from nucleate.cli.after_commands import as_json
from nucleate.cli.flags import DATA_FLAGS, SCALE_FLAGS, Json, integers, takes
from nucleate.cli.interrupted import keeps
from nucleate.cli.output import (
    answer,
    print_conversion,
    print_experiments,
    print_json,
    print_plateaus,
    print_records,
    print_study,
    print_verdict,
    say,
    working,
)
from nucleate.cli.usage import as_flag
from nucleate.errors import SpecError


def demo(
    out: Annotated[Path, typer.Option(help="Where the study, the figures and the page go.")] = Path("nucleate-demo"),
    json: Json = False,
) -> None:
    """The whole story on a real data set: forecast, sweep, reduce, report. Two minutes or so."""
    from nucleate._files import check_folder
    from nucleate.demo import demo_spec, draw, forecast_plateaus, reduce_recommended, write_pages
    from nucleate.reduction import FOLDER
    from nucleate.studies import summarize
    from nucleate.sweeping import sweep

    check_folder(out)
    keeps(out)
    spec = demo_spec()
    _say(1, "forecast", "when will each network leave its plateau? Nothing is trained yet.")
    with working("simulating the first descents"):
        plateaus, recommendation = forecast_plateaus(spec, out / "study")
    if not json:
        print_plateaus(spec, plateaus, recommendation)
    _say(2, "sweep", "train them all, and look at every neuron on the way.")
    study = sweep(spec, out=out / "study")
    if not json:
        print_study(study, by_cell=True)
    _say(3, "reduce", "the smaller network that does the work of the one recommended.")
    with working("narrowing layers, and training a narrow network to compare with"):
        reduction = reduce_recommended(study)
    if not json:
        say(reduction)
    _say(4, "report", "a page to show to someone who will not read code.")
    with working("drawing"):
        figures, pages = draw(study, out), write_pages(study, out)
    if json:
        content: dict[str, Any] = {"forecast": plateaus.to_dicts()}
        content |= {"recommendation": recommendation and recommendation._asdict()}
        content |= {"study": str(study.path), "table": summarize(study).to_dicts()}
        content |= {"reduction": as_json(reduction, [study.path / FOLDER], [])}
        content |= {"figures": [str(path) for path in figures], "report": str(pages.pop("en"))}
        print_json(content | {"translations": {lang: str(page) for lang, page in pages.items()}})
    else:
        for file in (*figures, *reversed(pages.values())):
            say(file)


def _say(stage: int, verb: str, what: str) -> None:
    say(f"{stage}/4 {verb}: {what}", aside=True)


def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment's name, or `all` of them; `list` names them.")],
    out: Annotated[Path, typer.Option(help="Where verdicts and figures go.")] = Path("nucleate-reproduce"),
    quick: Annotated[bool, typer.Option("--quick", help="The size of seconds instead of the size of minutes.")] = False,
    json: Json = False,
) -> None:
    """Is the paper right? Named experiments with a claim, a measured verdict and a figure."""
    from nucleate.experiments import EXPERIMENTS, reproduce_all
    from nucleate.experiments import reproduce as run_experiment

    if name == "list":
        if json:
            print_json({"experiments": [one.to_dict() for one in EXPERIMENTS]})
        else:
            print_experiments(EXPERIMENTS)
        return
    keeps(out)
    if name == "all":
        # The last comes long after the first.
        verdicts = reproduce_all(out=out, quick=quick, told=None if json else print_verdict)
        files = [out / "index.html"]
    else:
        verdicts = [run_experiment(name, out=out, quick=quick)]
        files = [verdict.figure for verdict in verdicts]
        if not json:
            print_verdict(verdicts[0])
    told = {"verdicts": [verdict.to_dict() for verdict in verdicts], "files": [str(file) for file in files]}
    answer(json, told, files)


@takes(DATA_FLAGS)
def problems(
    given: dict[str, Any],
    data: Annotated[str | None, typer.Argument(help="A file or a bundled set to look at; - is standard input.")] = None,
    json: Json = False,
) -> None:
    """Without data the bundled sets, by name; with data what each column holds and what becomes of it."""
    from nucleate.problems import describe_problems

    if data is None and given:
        raise SpecError(f"{as_flag(next(iter(given)))} is of data, and none are named; name a file first.")
    if data is not None:
        # The list of problems needs none of this.
        from nucleate.problems import survey
        from nucleate.problems.columns import lines_of

        found = survey(data, **given)
        content = {"data": found.name, "columns": found.columns.to_dicts(), "notes": list(found.notes)}
        shape = found.problem and {"task": found.problem.task, "inputs": found.problem.inputs}
        # The refusal says again what the cells are that it is about.
        notes = [for_whom(f"Note: {note}") for note in found.notes if note not in found.refused]
        end = found.problem or f"Training would refuse these data. {found.refused}"
        told = content | {"problem": shape, "refused": found.refused or None}
        answer(json, told, [*lines_of(found.columns), *notes, end])
        return
    rows = [problem._asdict() for problem in describe_problems()]
    if json:
        print_json({"problems": rows})
    else:
        print_records(rows)


@takes(SCALE_FLAGS)
def convert(
    given: dict[str, Any],
    inputs: Annotated[int, typer.Option(help="How many inputs the network reads.")],
    hidden: Annotated[str, typer.Option(parser=integers, metavar="WIDTHS", help="Hidden widths, such as 50,50.")],
    outputs: Annotated[int, typer.Option(help="How many outputs it makes.")] = 1,
    json: Json = False,
) -> None:
    """An init scale in all conventions, layer by layer: which gain is gamma 1, which epsilons are gain 0.1?"""
    from nucleate.conversion import convert_scale
    from nucleate.init_scale import InitScale

    if len(given) != 1:
        *others, last = map(as_flag, SCALE_FLAGS)
        said = " and ".join(map(as_flag, given)) or "none of them"
        raise SpecError(f"Give exactly one of {', '.join(others)} and {last}; there is {said}.")
    ((convention, value),) = given.items()
    conversion = convert_scale(InitScale(convention, value), inputs, hidden, outputs)  # type: ignore[arg-type]
    if json:
        print_json(conversion.to_json())
    else:
        print_conversion(conversion)
