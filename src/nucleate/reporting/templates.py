"""How templates are read: nothing that a study says is markup."""

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
