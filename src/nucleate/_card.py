"""How things show themselves in a notebook: a small card."""

from collections.abc import Mapping
from html import escape

_BOX = "display:inline-block;border:1px solid #d5dbe0;padding:.5em .9em;font:13px/1.5 system-ui,sans-serif"
_NAME = "text-align:left;color:#55606b;font-weight:normal;padding:0 1em 0 0;background:none"
_VALUE = "text-align:left;padding:0;background:none"


def card(title: str, rows: Mapping[str, object]) -> str:
    """A title over names and values, as HTML in which nothing of them is markup.

    Examples
    --------
    >>> "&lt;b&gt;" in card("<b>", {"name": "value"})
    True
    """
    body = "".join(
        f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th><td style="{_VALUE}">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f'<div style="{_BOX}"><strong>{escape(title)}</strong><table style="margin:.3em 0 0">{body}</table></div>'
