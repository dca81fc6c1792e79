"""`nucleate problems`."""

from nucleate.cli._flags import Json
from nucleate.cli._output import print_json, print_problems


def problems(json: Json = False) -> None:
    """The bundled data sets and synthetic problems, by name."""
    from nucleate.problems import describe_problems

    rows = [problem._asdict() for problem in describe_problems()]
    if json:
        print_json({"problems": rows})
    else:
        print_problems(rows)
