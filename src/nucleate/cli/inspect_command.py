"""`nucleate inspect`: how condensed the layers of any trained model are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli.flags import Json
from nucleate.cli.output import print_json, say, say_notes, working

if TYPE_CHECKING:
    from nucleate.inspection import Inspection


def inspect(
    model: Annotated[str, typer.Argument(help="A checkpoint (.safetensors, .npz, .pt, ...) or a Hugging Face folder.")],
    reference: Annotated[
        Path | None, typer.Option(help="Another checkpoint, such as the start: measures the distance from it.")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="The activation of layers of which the checkpoint does not say it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random matrices and samples.")] = 0,
    json: Json = False,
) -> None:
    """Any trained model: how condensed its layers are, beyond what chance makes of their shapes."""
    from nucleate.inspection import inspect as inspect_model

    with working("measuring layers"):
        found = inspect_model(model, reference=reference, activation=activation, seed=seed)
    if json:
        print_json(as_json(found))
        return
    for line in lines_of(found):
        say(line)
    say_notes(found.notes)


def as_json(found: "Inspection") -> dict[str, object]:
    """An inspection as JSON has it."""
    return {
        "model": found.name,
        "table": found.table.to_dicts(),
        "left_out": found.left_out.to_dicts(),
        "notes": list(found.notes),
    }


def lines_of(found: "Inspection") -> Iterator[str]:
    """The table of whole layers, and what was left out by its reason."""
    from nucleate._wording import count, listed
    from nucleate.inspection import as_lines

    yield f"{found.name}: in brackets what a random matrix of the same shape and row norms gives"
    yield from as_lines(found.layers)
    if found.heads:
        yield f"Besides, {count(found.heads, 'single head')} of attention; --json has them, and singular values."
    for (reason,), group in found.left_out.group_by("reason", maintain_order=True):
        yield f"Left out: {listed(group['parameter'])}: {reason}."
