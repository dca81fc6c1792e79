"""What nucleate raises when its user can remove the cause: one sentence that names the cause and the remedy.

What is wrong with an argument is a ValueError too, as elsewhere in Python.
"""


class NucleateError(Exception):
    """Base of every error a user can correct; the command line prints it and leaves with exit code 2."""


class DataError(NucleateError, ValueError):
    """The data cannot be used as asked: a missing file, a bad column, too few rows."""


class ArchitectureError(NucleateError, ValueError):
    """A network cannot be made, loaded or applied: shapes that do not fit, a corrupt file."""


class SpecError(NucleateError, ValueError):
    """A setting of a run or a study has a value it cannot have."""


class StudyError(NucleateError):
    """A study folder cannot be used: it is none, it is damaged, or it belongs to another spec."""
