"""The page that shows all verdicts with their figures, in one file that opens from disk."""

import base64
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from nucleate.reproduce._verdict import Verdict


def index_page(verdicts: Sequence[Verdict]) -> str:
    """The page's HTML, figures included."""
    environment = Environment(
        loader=PackageLoader("nucleate.reproduce", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [base64.b64encode(verdict.figure.read_bytes()).decode() for verdict in verdicts]
    page: str = environment.get_template("index.html.j2").render(verdicts=list(zip(verdicts, figures, strict=True)))
    return page
