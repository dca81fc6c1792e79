"""`nucleate predict`: a saved network on the rows of a new file."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nucleate.cli.flags import DATA_FLAGS, Json, takes
from nucleate.cli.output import print_json
from nucleate.errors import SpecError

_FLAGS = {
    name: DATA_FLAGS[name] for name in ("drop_missing", "decimal", "thousands", "missing", "dates", "encoding", "sheet")
}


@takes(_FLAGS)
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
        check_file(out)
    done = predict_rows(model, file, **given)
    for note in done.notes:
        print(f"Note: {note}", file=sys.stderr)
    if out is not None:
        # Spreadsheets take text for UTF-8 when it begins with the byte-order mark.
        write_atomically(out, done.table.write_csv().encode("utf-8-sig"))
    if json:
        content = {"predictions": done.table.to_dicts(), "certificate": done.certificate, "notes": list(done.notes)}
        print_json(content | {"file": out and str(out)})
        return
    print(done.certificate or "The model has no certificate; its deviation is unknown.", file=sys.stderr)
    print(done.table.write_csv() if out is None else out, end="" if out is None else "\n")
