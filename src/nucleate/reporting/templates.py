"""How pages are made of their templates: nothing that a study says is markup."""

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from nucleate._files import write_atomically
from nucleate.reporting.words import Texts


def write_page(out: Path, template: str, texts: Texts, data: dict[str, Any] | None, **contents: Any) -> None:
    """Write a page with what its template takes, and the data that its script draws, behind what all pages share."""
    folder = files("nucleate.reporting") / "template"
    page = (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(
            made=texts["page"]["made"].format(version=version("nucleate")),
            css=(folder / "page.css").read_text("utf-8"),
            js="".join((folder / file).read_text("utf-8") for file in ("pictures.js", f"{template}.js")),
            plotly=get_plotlyjs(),
            data=data,
            **contents,
        )
    )
    write_atomically(out, page.encode())


@cache
def _environment() -> jinja2.Environment:
    """One for all pages, as it keeps the templates that it has compiled."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("nucleate.reporting", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
