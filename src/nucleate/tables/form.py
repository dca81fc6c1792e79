"""How a file is to be read: what its user says of it, and what a model remembers of the file it was trained on."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORM_FIELDS = ("decimal", "thousands", "missing", "dates", "encoding", "sheet")
"""What the user of a file may say of it."""


class Form(BaseModel):
    """How a text file or a spreadsheet is to be read; what is not given is told from the file.

    Parameters
    ----------
    decimal : {".", ","} or None
    thousands : {",", ".", " ", "'"} or None
    missing : tuple of str
        What stands for no value, beside what usually does.
    dates : {"day-first", "month-first"} or None
        Which of 1/2/2024 is the day.
    encoding : str or None
        As Python names it.
    sheet : str or None
        Of a spreadsheet; the first where not given.
    kinds : mapping of str to {"number", "text", "truth"}
        Of a model's columns.
    units : mapping of str to str
        What a model's columns had: a sign of money or percent, a unit, "date" or "time".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    missing: tuple[str, ...] = ()
    dates: Literal["day-first", "month-first"] | None = None
    encoding: str | None = None
    sheet: str | None = None
    kinds: Mapping[str, Literal["number", "text", "truth"]] = Field(default_factory=dict)
    units: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _two_marks(self) -> "Form":
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; they need to differ")
        return self
