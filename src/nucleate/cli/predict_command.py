"""`nucleate predict`: a saved network on the rows of a new file."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nucleate.cli.flags import DATA_FLAGS, Json, takes
from nucleate.cli.output import print_json, say, say_notes
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
    say_notes(done.notes)
    if out is not None:
        # Spreadsheets take text for UTF-8 when it begins with the byte-order mark.
        write_atomically(out, done.table.write_csv().encode("utf-8-sig"))
    if json:
        content = {"predictions": done.table.to_dicts(), "certificate": done.certificate, "notes": list(done.notes)}
        print_json(content | {"file": out and str(out)})
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
