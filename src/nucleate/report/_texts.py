"""The words of the page, a TOML file a language; what is said is the same in all."""

import tomllib
from importlib.resources import files
from typing import Any

from nucleate.errors import NucleateError

LANGUAGES = ("en", "ja")


def load_texts(lang: str) -> dict[str, dict[str, str]]:
    """The texts of a language, by section and name, with the fields to fill in braces.

    Raises
    ------
    NucleateError
        For a language that is not there.

    Examples
    --------
    >>> load_texts("ja")["answer"]["heading"]
    '結論'
    """
    if lang not in LANGUAGES:
        raise NucleateError(f"There is no language {lang!r}; choose one of {', '.join(LANGUAGES)}.")
    texts: dict[str, Any] = tomllib.loads((files("nucleate.report") / "texts" / f"{lang}.toml").read_text("utf-8"))
    return texts
