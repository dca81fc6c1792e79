"""`nucleate reduce`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nucleate.cli._flags import DropMissing, Json, SplitSeed, Target, Task
from nucleate.cli._options import fields_from
from nucleate.cli._output import print_json
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.exports import Export
    from nucleate.problems import Problem
    from nucleate.reduction import Reduction


def reduce(
    model: Annotated[Path, typer.Argument(help="A study folder, or a saved network (.safetensors).")],
    data: Annotated[
        str | None, typer.Option(help="The data the network was trained on; a study knows its own.")
    ] = None,
    target: Target = None,
    task: Task = None,
    drop_missing: DropMissing = None,
    split_seed: SplitSeed = None,
    run: Annotated[int | None, typer.Option(help="Which run of a study [default: the best validated].")] = None,
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
    flags = fields_from(locals(), drop=("model", "run", "tolerance", "method", "fine_tune", "distill"))
    from nucleate.exports import check_export_path, export

    if out is not None:
        check_export_path(out)
    options: dict[str, Any] = {"tolerance": tolerance, "method": method, "fine_tune": fine_tune, "distill": distill}
    with Console(stderr=True).status("narrowing layers, and training a narrow network to compare with"):
        if model.is_dir():
            reduction, problem, kept = _of_study(model, flags, options | {"run": run})
        else:
            if run is not None:
                raise SpecError(f"{model} is one network and has no runs; leave out --run, or give a study folder.")
            reduction, problem, kept = *_of_network(model, flags, options), []
        exports = [] if out is None else [export(reduction, problem, out)]
    if json:
        print_json(as_json(reduction, kept, exports))
    else:
        print(reduction)
        for line in (*kept, *exports):
            print(line)


def _of_study(
    folder: Path, flags: dict[str, Any], options: dict[str, Any]
) -> tuple["Reduction", "Problem", list[Path]]:
    from nucleate.reduction import FOLDER, reduce_study
    from nucleate.studies import Study

    study = Study.load(folder)
    if flags.keys() - {"data"}:
        raise SpecError(f"The study {folder} knows its target, task and split; leave these flags out.")
    changes = {"data": flags["data"]} if "data" in flags else {}
    problem = study.spec.model_copy(update=changes).load_problem()
    return reduce_study(study, problem, **options), problem, [folder / FOLDER]


def _of_network(path: Path, flags: dict[str, Any], options: dict[str, Any]) -> tuple["Reduction", "Problem"]:
    from nucleate.network import Network, read_metadata
    from nucleate.problems import Preprocessing, load_problem
    from nucleate.reduction import reduce as reduce_network

    network, metadata = Network.load(path), read_metadata(path)
    if "data" not in flags:
        raise SpecError(f"No data are named for the network {path}; give those it was trained on with --data.")
    if "preprocessing" in metadata:
        flags = {"split_seed": int(metadata.get("split_seed", 0))} | flags
        flags["preprocessing"] = Preprocessing.from_json(metadata["preprocessing"])
    problem = load_problem(**flags)
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
        "baselines": [asdict(baseline) for baseline in reduction.baselines],
        "groups": [list(group.sizes) for group in reduction.groups],
        "kept": [str(path) for path in kept],
        "exports": [asdict(export) | {"path": str(export.path)} for export in exports],
    }
