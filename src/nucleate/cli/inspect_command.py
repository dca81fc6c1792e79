"""`nucleate inspect`: how condensed the layers of any trained model are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli.flags import Json
from nucleate.cli.output import answer, say_notes, working
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.inspection import Checkpoints, Inspection


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            help="A checkpoint (.safetensors, .npz, .pt, ...), a Hugging Face folder, or 'checkpoints/*.safetensors'."
        ),
    ],
    reference: Annotated[
        Path | None, typer.Option(help="Another checkpoint, such as the start: measures the distance from it.")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="The activation of layers of which the checkpoint does not say it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random matrices and samples.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Of several checkpoints: a folder for the table and pages.")] = None,
    json: Json = False,
) -> None:
    """Any trained model: how condensed its layers are, beyond what chance makes of their shapes."""
    from nucleate._files import check_folder
    from nucleate.inspection import Checkpoints
    from nucleate.inspection import inspect as inspect_model
    from nucleate.sources.files import find_checkpoints

    if out is not None:
        check_folder(out)
        if len(find_checkpoints(model)) == 1:
            raise SpecError(f"{model} is one checkpoint, and --out is for several; leave it out, or give a pattern.")
    with working("measuring layers"):
        found = inspect_model(model, reference=reference, activation=activation, seed=seed)
    files = _write(found, out) if out is not None and isinstance(found, Checkpoints) else []
    answer(json, as_json(found) | {"files": [str(file) for file in files]}, [*lines_of(found), *files])
    if not json:
        say_notes(found.notes)


def _write(found: "Checkpoints", out: Path) -> list[Path]:
    """The table, and the page in each language."""
    from nucleate.reporting import LANGUAGES, report_checkpoints

    found.save(out)
    return [
        out / "table.parquet",
        *(report_checkpoints(found, lang, out / f"report-{lang}.html") for lang in LANGUAGES),
    ]


def as_json(found: "Inspection | Checkpoints") -> dict[str, object]:
    """An inspection as JSON has it."""
    return {
        "model": found.name,
        "table": found.table.to_dicts(),
        "left_out": found.left_out.to_dicts(),
        "notes": list(found.notes),
    }


def lines_of(found: "Inspection | Checkpoints") -> Iterator[str]:
    """The table of whole layers, of several checkpoints at the last step, and what was left out by its reason."""
    from nucleate._wording import count, listed
    from nucleate.inspection import Checkpoints
    from nucleate.inspection.inspection import as_lines

    when = ""
    if isinstance(found, Checkpoints):
        first, last = found.steps[0], found.steps[-1]
        when = f", {len(found.steps)} checkpoints from step {first:,} to {last:,}, here the last"
    yield f"{found.name}{when}: in brackets what one random matrix of the same shape and row norms gives"
    yield from as_lines(found.layers)
    if heads := found.heads:
        yield f"Besides, {count(heads, 'single head')} of attention; --json has them, and singular values."
    for (reason,), group in found.left_out.group_by("reason", maintain_order=True):
        yield f"Left out: {listed(group['parameter'])}: {reason}."
