"""How templates are read: nothing that a study says is markup."""

from importlib.resources import files

import jinja2


def environment() -> jinja2.Environment:
    """The environment of the page's templates."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("nucleate.reporting", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def script(name: str) -> str:
    """A page's script, after the pictures that all pages share."""
    folder = files("nucleate.reporting") / "template"
    return "".join((folder / file).read_text("utf-8") for file in ("pictures.js", name))
