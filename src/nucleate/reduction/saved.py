"""A reduction in a folder: networks as safetensors, everything else as JSON."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from nucleate._files import check_seal, make_folder, parse_json, read_file, read_sealed, why_unreadable, write_json
from nucleate.errors import StudyError
from nucleate.network import Network
from nucleate.problems import METRICS, Metric, Preprocessing
from nucleate.reduction.merging import Groups
from nucleate.reduction.reduction import Reduction, guarantee

_FORMAT = "nucleate reduction 5"
_PAIRS = ("validation", "test", "further", "inference")
_OF_METRIC = ("name", "larger_is_better", "is_share")
_NETWORKS = ("original", "network")
_BY_HAND = (*_NETWORKS, "preprocessing", "metric", "groups")


def save_reduction(reduction: Reduction, folder: str | Path, of: str = "") -> None:
    """Keep a reduction in ``folder``: original.safetensors, network.safetensors and, last, reduction.json.

    Parameters
    ----------
    reduction : Reduction
    folder : path
        Made where it does not exist.
    of : str
        The `nucleate.studies.Study.identity` of the study it belongs to.

    Raises
    ------
    NucleateError
        If the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
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
        "files": {name: _digest((folder / f"{name}.safetensors").read_bytes()) for name in _NETWORKS},
    }
    write_json(folder / "reduction.json", content, f"reduction.json@{of}")


def load_reduction(folder: str | Path, of: str | None = None) -> Reduction:
    """The reduction that `save_reduction` kept.

    Parameters
    ----------
    folder : path
    of : str, optional
        As of `save_reduction`: of which study it must be.

    Returns
    -------
    Reduction

    Raises
    ------
    StudyError
        If there is none, it is damaged or of another study, or another version wrote it in another format.
    """
    file = Path(folder) / "reduction.json"
    try:
        written = read_file(file)
        content = parse_json(written)
        if isinstance(format := content.pop("format", None), str) and format != _FORMAT:
            raise StudyError(
                f"The reduction in {folder} was written in the format {format!r:.60}, and this version reads "
                f"{_FORMAT!r}; reduce again."
            )
        check_seal(written, None if of is None else f"reduction.json@{of}")
        return _from_json(content, file.parent)
    except (FileNotFoundError, NotADirectoryError) as error:
        if file.is_file():
            raise StudyError(f"The reduction in {folder} lacks {Path(error.filename).name}; reduce again.") from None
        raise StudyError(f"There is no reduction in {folder}; make one with `nucleate reduce STUDY`.") from None
    except OSError as error:
        raise StudyError(
            f"The reduction in {folder} cannot be read ({why_unreadable(error)}); check its rights, or reduce again."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        entry = ".".join(map(str, (error.title, *first["loc"])))
        raise StudyError(
            f"The reduction in {folder} is damaged (its entry {entry} is {first['input']!r:.60}); reduce again."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"The reduction in {folder} is damaged ({error}); reduce again.") from error


def _from_json(content: dict[str, Any], folder: Path) -> Reduction:
    read = {name: _network(folder / f"{name}.safetensors", content["files"][name]) for name in _NETWORKS}
    original, network = read["original"], read["network"]
    preprocessing = Preprocessing.from_json(json.dumps(content["preprocessing"]))
    name, larger_is_better, is_share = (content["metric"][key] for key in _OF_METRIC)
    if (type(name), type(larger_is_better), type(is_share)) != (str, bool, bool):
        raise ValueError(f"its metric is {content['metric']!r:.60}")
    metric = METRICS.get(name) or Metric(name, None, larger_is_better=larger_is_better, is_share=is_share)
    groups = tuple(_groups(original, **group) for group in content["groups"])
    types = get_type_hints(Reduction)
    plain = {name: types[name] for name in types if name in content and name not in _BY_HAND}
    values = {name: TypeAdapter(type).validate_python(content[name]) for name, type in plain.items()}
    reduction = Reduction(
        original=original, network=network, preprocessing=preprocessing, metric=metric, groups=groups, **values
    )
    ends = (len(preprocessing.encoded_inputs), len(preprocessing.units))
    if any((one.widths[0], one.widths[-1]) != ends for one in (original, network)):
        raise ValueError(f"its networks do not have {ends[0]} inputs and {ends[1]} outputs")
    told = (*asdict(reduction.validation).values(), *asdict(reduction.test).values(), reduction.tolerance)
    if not np.isfinite((*told, reduction.certificate.largest_deviation)).all():
        raise ValueError("a number is not finite")
    if reduction.certificate.rows < 1:
        raise ValueError("its certificate is of no rows")
    return reduction


def _network(file: Path, digest: str) -> Network:
    content = read_sealed(file)
    if _digest(content) != digest:
        raise ValueError(f"{file.name} is that of another reduction")
    return Network.from_bytes(content)


def _groups(original: Network, layer: int, labels: list[int], loss: float) -> Groups:
    if layer not in range(1, original.depth) or len(labels) != original.hidden[layer - 1]:
        raise ValueError(f"it groups {len(labels)} neurons of layer {layer}")
    if not all(type(label) is int and -1 <= label < len(labels) for label in labels):
        raise ValueError(f"it has groups beyond the {len(labels)} neurons of layer {layer}")
    if not (isinstance(loss, float | int) and 0 <= loss <= 1):
        raise ValueError(f"its groups of layer {layer} lose {loss!r:.60}")
    return Groups(layer, np.array(labels), loss)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
