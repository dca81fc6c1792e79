"""From flags to a spec, and from a spec to its study."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nucleate.cli._output import say_interrupted
from nucleate.errors import SpecError

if TYPE_CHECKING:
    from nucleate.studies import Study, StudySpec


def with_scales(fields: dict[str, Any], spec: Path | None) -> dict[str, Any]:
    if spec is None and not {"gains", "epsilons", "gammas"} & fields.keys():
        return fields | {"gains": [1.0, 0.3, 0.1, 0.03]}
    return fields


def spec_from(fields: dict[str, Any], spec: Path | None) -> "StudySpec":
    from nucleate.studies import make_spec, read_spec

    if spec is None and "data" not in fields:
        raise SpecError("No data are named; give a bundled set such as diabetes (see `nucleate problems`) or a file.")
    return make_spec(**fields) if spec is None else read_spec(spec, **fields)


def run_study(spec: "StudySpec", out: Path | None) -> "Study":
    from nucleate.sweeping import study_folder
    from nucleate.sweeping import sweep as run_sweep

    out = out or study_folder(spec)
    try:
        return run_sweep(spec, out=out)
    except KeyboardInterrupt:
        raise typer.Exit(say_interrupted(out)) from None
