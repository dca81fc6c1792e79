"""`nucleate report`."""

from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli._flags import Json, StudyArgument
from nucleate.cli._output import print_json


def report(
    study: StudyArgument,
    lang: Annotated[str, typer.Option(help="Language of the page: en or ja.")] = "en",
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    json: Json = False,
) -> None:
    """After a sweep: one self-contained page to show to someone who will not read code."""
    from nucleate.reporting import report as write_report

    page = write_report(study, lang=lang, out=out)
    if json:
        print_json({"report": str(page), "bytes": page.stat().st_size})
    else:
        print(page)
