"""`nucleate reduce`, `predict`, `report` and `plot`: what comes after training."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate._wording import choose_one, shown
from nucleate.cli.flags import DATA_FLAGS, Json, StudyArgument, share_or_file, takes
from nucleate.cli.output import answer, baseline_as_json, print_json, say, say_notes, working
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.exports import Export
    from nucleate.problems import Problem
    from nucleate.reduction import Reduction
    from nucleate.studies import Study


@takes(DATA_FLAGS)
def reduce(
    given: dict[str, Any],
    model: Annotated[Path, typer.Argument(help="A study folder, or a saved network (.safetensors).")],
    data: Annotated[
        str | None, typer.Option(help="The data the network was trained on; a study knows its own.")
    ] = None,
    run: Annotated[
        int | None, typer.Option(help="Which run of a study [default: the one the page recommends].")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="The relative change of the metric that is allowed.")] = 0.01,
    method: Annotated[str, typer.Option(help="select, interpolate or merge.")] = "select",
    fine_tune: Annotated[int, typer.Option(help="Steps of Adam afterwards, on the labels.")] = 0,
    distill: Annotated[int, typer.Option(help="Steps of Adam afterwards, on what the original says.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="A .onnx or .safetensors file; a study keeps its reduction in any case.")
    ] = None,
    json: Json = False,
) -> None:
    """After training: the smaller network that does the same work, and how sure that is."""
    from nucleate._files import check_file
    from nucleate.exports.files import check_export_path
    from nucleate.reduction import FOLDER

    if out is not None:
        check_export_path(out)
        check_file(out, (model,))
    given |= {} if data is None else {"data": data}
    options: dict[str, Any] = {"tolerance": tolerance, "method": method, "fine_tune": fine_tune, "distill": distill}
    with working("narrowing layers, and training simpler models to compare with"):
        if model.is_dir():
            (reduction, problem), kept = _of_study(model, given, options | {"run": run}), [model / FOLDER]
        elif run is not None:
            raise SpecError(f"{model} is one network and has no runs; leave out --run, or give a study folder.")
        else:
            (reduction, problem), kept = _of_network(model, given, options), []
        exports = [] if out is None else [reduction.export(problem, out)]
    answer(json, as_json(reduction, kept, exports), (reduction, *kept, *exports))


def _of_study(folder: Path, given: dict[str, Any], options: dict[str, Any]) -> tuple["Reduction", "Problem"]:
    from nucleate.reduction import reduce_study
    from nucleate.studies import STUCK

    study = _open(folder)
    if given.keys() - {"data"}:
        raise SpecError(f"The study {folder} knows its target, loss and split; leave these flags out.")
    problem = study.spec.changed(**given).load_problem() if given else study.load_problem()
    reduction = reduce_study(study, problem, **options)
    if reduction.run in study.results.filter(STUCK)["run"]:
        stayed = f"Run {reduction.run} stayed on its initial plateau, so it has learned nothing that could be kept"
        say_notes([f"{stayed}; `nucleate doctor {folder}` says what would end it."])
    return reduction, problem


def _of_network(path: Path, given: dict[str, Any], options: dict[str, Any]) -> tuple["Reduction", "Problem"]:
    from nucleate.network import Network, read_metadata
    from nucleate.problems import OF_ROWS, Preprocessing, load_problem
    from nucleate.reduction import reduce as reduce_network

    network, metadata = Network.load(path), read_metadata(path)
    if "data" not in given:
        raise SpecError(f"No data are named for the network {path}; give those it was trained on with --data.")
    if "preprocessing" in metadata:
        known: dict[str, Any] = {"split_seed": int(metadata.get("split_seed", 0))}
        known |= {part: share_or_file(metadata[part]) for part in ("validation", "test") if part in metadata}
        known |= {name: metadata[name] for name in OF_ROWS if name in metadata}
        known |= {"loss": metadata["loss"]} if "loss" in metadata and "task" not in given else {}
        given = known | given | {"preprocessing": Preprocessing.from_json(metadata["preprocessing"])}
    problem = load_problem(**given)
    say_notes(problem.notes)
    return reduce_network(network, problem, **options), problem


def as_json(reduction: "Reduction", kept: list[Path], exports: list["Export"]) -> dict[str, Any]:
    """A reduction, where it is kept and what it was exported to."""
    plain = ("problem", "method", "tolerance", "metric_name", "run", "share_kept")
    pairs = ("hidden", "parameters", "validation", "test")
    return {
        **{name: getattr(reduction, name) for name in plain},
        **{name: asdict(getattr(reduction, name)) for name in pairs},
        "inference": reduction.inference and asdict(reduction.inference),
        "certificate": asdict(reduction.certificate) | {"probability": reduction.certificate.probability},
        "bound": reduction.bound and asdict(reduction.bound),
        "further": asdict(reduction.further),
        "baselines": [baseline_as_json(baseline) for baseline in reduction.baselines],
        "groups": [list(group.sizes) for group in reduction.groups],
        "kept": [str(path) for path in kept],
        "exports": [asdict(export) | {"path": str(export.path)} for export in exports],
    }


_FORM_FLAGS = {
    name: DATA_FLAGS[name] for name in ("drop_missing", "decimal", "thousands", "missing", "dates", "encoding", "sheet")
}


@takes(_FORM_FLAGS)
def predict(
    given: dict[str, Any],
    model: Annotated[Path, typer.Argument(help="A .onnx or .safetensors file of a network.")],
    file: Annotated[Path, typer.Argument(help="A file as the training data were; - is standard input.")],
    out: Annotated[Path | None, typer.Option(help="A .csv file to write [default: standard output].")] = None,
    json: Json = False,
) -> None:
    """What a saved network says of new rows, and how far the certificate lets it deviate."""
    from nucleate._files import check_file, write_atomically
    from nucleate.exports import predict as predict_rows

    if out is not None and (out.suffix != ".csv" or not out.parent.is_dir()):
        raise SpecError(f"The predictions cannot go to {out}; name a .csv file in a folder that exists.")
    if out is not None:
        check_file(out, (model, file))
    done = predict_rows(model, file, **given)
    say_notes(done.notes)
    if out is not None:
        # Spreadsheets take text for UTF-8 when it begins with the byte-order mark.
        write_atomically(out, done.table.write_csv().encode("utf-8-sig"))
    if json:
        content = {"predictions": done.table.to_dicts(), "certificate": done.certificate, "notes": list(done.notes)}
        print_json(content | {"beyond": done.beyond, "file": out and str(out)})
        return
    text = done.table.write_csv()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        raise SpecError(
            f"Standard output takes {sys.stdout.encoding} text, which lacks characters of the predictions; write them "
            "with --out."
        ) from None
    say(done.certificate or "The model has no certificate; its deviation is unknown.", aside=True)
    if out is not None:
        say(out)
    elif sys.stdout.isatty():
        say(text.rstrip("\n"))
    else:
        # Data for another program, to the letter.
        sys.stdout.write(text)


def report(
    study: StudyArgument,
    lang: Annotated[str, typer.Option(help="Language of the page: en or ja.")] = "en",
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    json: Json = False,
) -> None:
    """After a sweep, a watch or an inspection: one self-contained page to show to someone who will not read code."""
    from nucleate.inspection import Checkpoints
    from nucleate.reporting import LANGUAGES, report_checkpoints
    from nucleate.reporting import report as write_report
    from nucleate.sources.files import RECORD

    if lang not in LANGUAGES:
        raise SpecError(f"There is no language {shown(lang)}{choose_one(lang, LANGUAGES)}.")
    if out.is_file() and out.suffix.lower() not in (".html", ".htm"):
        raise SpecError(f"{out} is there already and is no page, so it would be lost; name a .html file.")
    if (Path(study) / RECORD).is_file():
        page = report_checkpoints(Checkpoints.load(study), lang, out)
    else:
        page = write_report(_open(study), lang=lang, out=out)
    answer(json, {"report": str(page), "bytes": page.stat().st_size}, [page])


PICTURES: dict[str, Callable[[Any, Any, int | None], Any]] = {
    "loss": lambda figures, study, run: figures.loss_by_scale(study),
    "cosine": lambda figures, study, run: figures.cosine_heat_maps(study),
    "phase": lambda figures, study, run: figures.phase_map(study),
    "forecast": lambda figures, study, run: figures.forecast_against_measured(study),
    "trajectory": lambda figures, study, run: figures.trajectory(study, run),
    "singular": lambda figures, study, run: figures.singular_values(study, run),
    "directions": lambda figures, study, run: figures.neuron_directions(study, run),
    "reduction": lambda figures, study, run: figures.before_and_after(_kept_reduction(study)),
}
"""From `nucleate.figures`, a study and the number of a run to the figure."""


def plot(
    study: StudyArgument,
    kind: Annotated[str, typer.Option(help=f"Which picture: {', '.join(PICTURES)}.")] = "phase",
    run: Annotated[
        int | None, typer.Option(help="Of which run, for trajectory, singular and directions [default: recommended].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A .pdf, .png or .svg file [default: KIND.pdf].")] = None,
    json: Json = False,
) -> None:
    """After a sweep: one picture of a study as a file for a paper."""
    from nucleate import figures
    from nucleate.figures.style import check_path

    if kind not in PICTURES:
        raise SpecError(f"There is no picture {shown(kind)}{choose_one(kind, PICTURES)}.")
    out = out or Path(f"{kind}.pdf")
    check_path(out)
    figures.save(PICTURES[kind](figures, _open(study), run), out)
    answer(json, {"figure": str(out)}, [out])


def _open(folder: Path) -> "Study":
    from nucleate.studies import Study

    study = Study.load(folder)
    if study.missing:
        say_notes([f"{study.missing} of {study.planned} runs of {folder} are still to do; the same sweep goes on."])
    return study


def _kept_reduction(study: Any) -> "Reduction":
    from nucleate.reduction.of_study import kept_reduction

    return kept_reduction(study)
