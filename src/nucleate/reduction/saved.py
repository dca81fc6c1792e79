"""A reduction in a folder: networks as safetensors, everything else as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._files import write_atomically
from nucleate.errors import ArchitectureError, StudyError
from nucleate.network import Network
from nucleate.problems import METRICS, Metric, Preprocessing
from nucleate.reduction.baselines import Baseline
from nucleate.reduction.certificate import Certificate
from nucleate.reduction.comparison import Comparison
from nucleate.reduction.layers import Bound
from nucleate.reduction.merging import Groups
from nucleate.reduction.reduction import BeforeAfter, Reduction, guarantee

_FORMAT = "nucleate reduction 4"
_PAIRS = ("validation", "test", "further", "inference")
_OF_METRIC = ("name", "larger_is_better", "is_share")


def save_reduction(reduction: Reduction, folder: str | Path) -> None:
    """Keep a reduction in ``folder``: original.safetensors, network.safetensors and, last, reduction.json.

    Parameters
    ----------
    reduction : Reduction
    folder : path
        Made where it does not exist.

    Raises
    ------
    NucleateError
        If the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"The folder {folder} cannot be made ({error.strerror}); choose another.") from None
    preprocessing = {"preprocessing": reduction.preprocessing.to_json()}
    reduction.original.save(folder / "original.safetensors", preprocessing)
    reduction.network.save(folder / "network.safetensors", guarantee(reduction) | preprocessing)
    plain = ("problem", "data_hash", "method", "tolerance", "run")
    content = {
        "format": _FORMAT,
        **{name: getattr(reduction, name) for name in plain},
        "metric": {name: getattr(reduction.metric, name) for name in _OF_METRIC},
        **{name: pair and asdict(pair) for name in _PAIRS for pair in [getattr(reduction, name)]},
        "certificate": asdict(reduction.certificate),
        "bound": reduction.bound and asdict(reduction.bound),
        "baselines": [asdict(baseline) for baseline in reduction.baselines],
        "groups": [
            {"layer": group.layer, "labels": group.labels.tolist(), "loss": group.loss} for group in reduction.groups
        ],
        "preprocessing": json.loads(reduction.preprocessing.to_json()),
    }
    write_atomically(folder / "reduction.json", json.dumps(content, indent=2, ensure_ascii=False).encode())


def load_reduction(folder: str | Path) -> Reduction:
    """The reduction that `save_reduction` kept.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Reduction

    Raises
    ------
    StudyError
        If there is none, it is damaged, or another version wrote it in another format.
    """
    file = Path(folder) / "reduction.json"
    try:
        content = json.loads(file.read_text("utf-8"))
        if (written := content.pop("format")) != _FORMAT:
            raise StudyError(
                f"The reduction in {folder} was written in the format {written!r}, and this version reads {_FORMAT!r}; "
                "reduce again."
            )
        return _from_json(content, file.parent)
    except (FileNotFoundError, NotADirectoryError):
        raise StudyError(f"There is no reduction in {folder}; make one with `nucleate reduce STUDY`.") from None
    except OSError as error:
        raise StudyError(f"{file} cannot be read ({error.strerror}); check its rights.") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArchitectureError) as error:
        raise StudyError(f"The reduction in {folder} is damaged ({error}); reduce again.") from error


def _from_json(content: dict[str, Any], folder: Path) -> Reduction:
    content |= {name: content[name] and BeforeAfter(**content[name]) for name in _PAIRS}
    content["metric"] = METRICS.get(content["metric"]["name"]) or Metric(value=None, **content["metric"])
    content["certificate"] = Certificate(**content["certificate"])
    content["bound"] = content["bound"] and Bound(**content["bound"])
    content["baselines"] = tuple(_baseline(**baseline) for baseline in content["baselines"])
    content["groups"] = tuple(
        Groups(group["layer"], np.array(group["labels"]), group["loss"]) for group in content["groups"]
    )
    content["preprocessing"] = Preprocessing.from_json(json.dumps(content["preprocessing"]))
    for name in ("original", "network"):
        content[name] = Network.load(folder / f"{name}.safetensors")
    return Reduction(**content)


def _baseline(widths: list[int], comparison: dict[str, Any] | None, **plain: Any) -> Baseline:
    return Baseline(widths=tuple(widths), comparison=None if comparison is None else Comparison(**comparison), **plain)
