"""`nucleate doctor`: why a run does not learn, and what to do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli.flags import TRAIN_FLAGS, Device, Json, Out, takes
from nucleate.cli.output import print_diagnosis, print_json, working
from nucleate.cli.study_commands import train_one
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.studies import Study


@takes(TRAIN_FLAGS)
def doctor(
    given: dict[str, Any],
    run: Annotated[int | None, typer.Option(help="Of a study folder in the place of data, the run.", min=0)] = None,
    no_try: Annotated[bool, typer.Option("--no-try", help="Train nothing to find which setting helps.")] = False,
    out: Out = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Why does it not learn, and what helps? Trains one run, as train does, or takes the folder of a study for DATA."""
    from nucleate.devices import on_device
    from nucleate.doctor import diagnose
    from nucleate.reporting import say_diagnosis

    study = _study(given, run, out, device)
    with on_device(device), working("trying what may hold the run back"):
        diagnosis = diagnose(study, run=run, trials=not no_try)
    if json:
        said = diagnosis.to_json()
        for finding, sentence in zip(said["findings"], say_diagnosis(diagnosis), strict=True):
            finding["sentence"] = sentence
        print_json({"study": str(study.path), **said})
    else:
        print_diagnosis(study, diagnosis)


def _study(given: dict[str, Any], run: int | None, out: Path | None, device: str) -> "Study":
    from nucleate.studies import Study

    data = given.get("data")
    if data is None or not Path(data).is_dir():
        if run is not None:
            raise SpecError("--run is the number of a run in a study folder; give that in the place of the data.")
        return train_one(given, out, device, "refuse")
    others = [f"--{name.replace('_', '-')}" for name in given if name != "data"] + (["--out"] if out else [])
    if others:
        raise SpecError(f"The runs of the study {data} are trained already; leave out {', '.join(others)}.")
    return Study.load(data)
