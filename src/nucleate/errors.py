"""What nucleate raises when its user can remove the cause: one sentence that names the cause and the remedy.

What is wrong with an argument is a ValueError too, as elsewhere in Python. A sentence is written with the flags of the
command line (``--drop-missing``); who is in Python is told of parameters.
"""

from nucleate._wording import for_whom


class NucleateError(Exception):
    """Base of every error a user can correct; the command line prints it and leaves with exit code 2.

    Examples
    --------
    >>> str(NucleateError("The folder is taken; choose another with --out."))
    'The folder is taken; choose another with `out`.'
    """

    def __str__(self) -> str:
        return for_whom(super().__str__())


class DataError(NucleateError, ValueError):
    """The data cannot be used as asked: a missing file, a bad column, too few rows."""


class ArchitectureError(NucleateError, ValueError):
    """A network cannot be made, loaded or applied: shapes that do not fit, a corrupt file."""


class SpecError(NucleateError, ValueError):
    """A setting of a run or a study has a value it cannot have."""


class StudyError(NucleateError):
    """A study folder cannot be used: it is none, it is damaged, or it belongs to another spec."""
