"""Files as sources: safetensors, single or sharded, npz, Hugging Face folders, and what `torch.save` wrote."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from glob import glob, has_magic
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from nucleate._files import CHECKSUM, parse_json, read_file, why_unreadable
from nucleate._wording import count, listed, say_error
from nucleate.errors import DataError
from nucleate.sources.configurations import heads_in, is_activation_symmetric, quantized
from nucleate.sources.made import put_together
from nucleate.sources.source import Parameter, Source, no_weights, wide_enough
from nucleate.sources.tensors import read_saved

_DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
}
RECORD = "record.safetensors"
"""The file of a saved record by which its folder is known."""
_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_ENDINGS = (".safetensors", ".npz", *_TORCH)
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.)")
_IN_A_RUN = ("initial", "best", "final")
_OF_RUN = re.compile(rf"run-(\d{{5,}})-({'|'.join(_IN_A_RUN)})\.(?=safetensors$)")
_PICKLES = (".pkl", ".pickle", ".joblib")
_PROGRAMS = {
    ".keras": "load it with keras.models.load_model and give the model to nucleate.inspect",
    ".h5": "load it with keras.models.load_model and give the model to nucleate.inspect",
    ".gguf": "its numbers are quantized; inspect the model that it was made from",
    ".onnx": "inspect the model that it was exported from",
}


def find_checkpoints(path: str | Path) -> list[tuple[Path, ...]]:
    """The files of each checkpoint, or its folder, in the natural order of the numbers in their names.

    The path is of a file, a folder, or files by a pattern with ``*``; the shards of one model are one checkpoint. If
    there is none, that is a DataError.
    """
    text = str(path)
    if not has_magic(text) or Path(text).exists():
        if not Path(text).exists():
            raise DataError(f"There is no checkpoint {text}; check the path.")
        return [(Path(text),)]
    found = sorted(map(Path, glob(text, recursive=True)), key=_naturally)
    if not found:
        raise DataError(f"No file fits the pattern {text}; check the folder, and put the pattern in quotation marks.")
    runs = {run[1] for one in found if (run := _OF_RUN.search(one.name)) is not None}
    if len(runs) > 1:
        raise DataError(
            f"{text} names models of {len(runs)} runs of a study, and checkpoints are those of one run; name these, "
            f"such as '{found[0].parent}/run-{min(runs)}-*.safetensors'."
        )
    together: dict[str, list[Path]] = {}
    for one in found:
        together.setdefault(_SHARD.sub("", str(one)), []).append(one)
    return [tuple(files) for files in together.values()]


def _naturally(path: Path) -> list[tuple[int, int | str]]:
    # What a study keeps of a run is not named in the order of its steps.
    told = _OF_RUN.sub(lambda run: f"run-{run[1]}-{_IN_A_RUN.index(run[2])}.", str(path))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", told) if part]


def step_of(files: Sequence[Path]) -> int | None:
    """The step in a checkpoint's name: the last number in it, or in that of its folder."""
    for name in (_SHARD.sub("", files[0].name), files[0].parent.name):
        numbers = re.findall(r"\d+", re.sub(r"\.\w+$", "", name))
        if numbers:
            return int(numbers[-1])
    return None


def open_checkpoint(files: Sequence[Path]) -> Source:
    """The model that a file, the shards of a model, or a folder holds; what is no checkpoint is refused."""
    folder, name = files[0].parent, _SHARD.sub("", files[0].name)
    if len(files) == 1 and files[0].is_dir():
        folder, name, files = files[0], str(files[0]), _files_in(files[0])
    read, config = [_read(file) for file in files], folder / "config.json"
    parameters, left_out = [one for of, _ in read for one in of], [one for _, of in read for one in of]
    return of_parts(name, parameters, left_out, _json(config) if config.is_file() else {})


def _files_in(folder: Path) -> list[Path]:
    """The files of the one model that a folder holds."""
    if (folder / RECORD).is_file():
        raise DataError(f"{folder} holds the record of a watch or an inspection; see it by nucleate report {folder}.")
    if (folder / "weights").is_dir() and (folder / "spec.json").is_file():
        raise DataError(
            f"{folder} is a study; name one of its models, such as {folder}/weights/run-00000-final.safetensors, or "
            "see all of it by nucleate report."
        )
    index = next(iter(sorted(folder.glob("*.index.json"))), None)
    if index is not None:
        named = _json(index).get("weight_map")
        shards = set(map(str, named.values())) if isinstance(named, Mapping) else set()
        if not shards:
            raise DataError(f"{index} names no files of weights; download or save the model again.")
        files = [folder / Path(shard).name for shard in sorted(shards)]
        missing = [file.name for file in files if not file.exists()]
        if missing:
            raise DataError(f"{folder} lacks {listed(missing)}, which {index.name} names; download the model again.")
    else:
        files = next((there for ending in _ENDINGS if (there := sorted(folder.glob(f"*{ending}")))), [])
    if not files:
        raise DataError(
            f"The folder {folder} holds no weights ({', '.join(f'*{ending}' for ending in _ENDINGS)}); name the folder "
            "of a model, or a checkpoint."
        )
    together = {_SHARD.sub("", file.name) for file in files}
    if len(together) > 1 and index is None:
        raise DataError(
            f"The folder {folder} holds {count(len(files), 'checkpoint')} ({listed(sorted(together))}); name one, or "
            f"all of them by a pattern such as '{folder}/*{files[0].suffix}'."
        )
    return files


def _read(file: Path) -> tuple[list[Parameter], list[tuple[str, str]]]:
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({why_unreadable(error)}); check the path and its rights.") from None
    if file.suffix in _PROGRAMS:
        raise DataError(f"{file} is no checkpoint that can be read; {_PROGRAMS[file.suffix]}.")
    # What a file is its beginning says, whatever it is called.
    if start[8:] == b"{" or (file.suffix == ".safetensors" and start[:2] != b"PK"):
        return _read_safetensors(file)
    if file.suffix == ".npz":
        return _read_npz(file)
    if file.suffix in _TORCH or start[:2] == b"PK":
        return read_saved(file)
    if file.suffix in _PICKLES or start[:1] == b"\x80":
        raise DataError(
            f"{file} is a pickle, which can run any code when it is opened, so it is not; save the arrays with "
            "safetensors or torch.save(model.state_dict(), ...)."
        )
    raise DataError(
        f"{file} is no checkpoint; give a file that ends in {', '.join(_ENDINGS)}, or the folder of a model."
    )


def _read_safetensors(file: Path) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """Nothing is read but the header; the library checks that it fits the file."""
    try:
        with safe_open(file, framework="numpy"):
            pass
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise DataError(f"{file} is not a readable safetensors file ({why[:120]}); save it again.") from None
    _refuse_no_model(file, header.pop("__metadata__", None) or {})
    names, parameters, left_out = set(header), [], []
    for name, told in header.items():
        dtype, offset, shape = _DTYPES.get(told["dtype"]), 8 + size + told["data_offsets"][0], tuple(told["shape"])
        if reason := no_weights(told["dtype"]) if dtype is None else quantized(name, names):
            left_out.append((name, reason))
        else:
            parameters.append(Parameter(name, shape, partial(_mapped, file, dtype, offset, shape)))
    return parameters, left_out


def _refuse_no_model(file: Path, metadata: Mapping[str, str]) -> None:
    """Refuse what this package keeps beside its models: matrices too, but no weights."""
    if CHECKSUM not in metadata:
        return
    sealed = re.search(r" of ([\w-]+)", metadata[CHECKSUM])
    what = _NO_MODELS.get(sealed[1] if sealed else "record" if "record" in metadata else "")
    if what is not None:
        raise DataError(f"{file} holds no model, but {what}.")


_MODELS_THERE = "inspect what the study trained, such as weights/run-00000-final.safetensors"
_NO_MODELS = {
    "problem": f"the data of a study; {_MODELS_THERE}",
    "snapshots": f"measures of a run over its steps; {_MODELS_THERE}",
    "record": "the record of a watch or an inspection; see it by nucleate report FOLDER",
    "checkpoints": "the state of runs that are not finished; run the same command again to finish them",
}
"""What the files of a study hold, by the beginning of the place that they are sealed for."""


def _mapped(file: Path, dtype: Any, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    if 0 in shape:
        return np.zeros(shape, np.float32)
    return wide_enough(np.memmap(file, dtype, "r", offset, shape))


def _read_npz(file: Path) -> tuple[list[Parameter], list[tuple[str, str]]]:
    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        # NumPy takes what it does not know for a pickle, and tells how to open it, which could run code.
        why = "it holds Python objects, or is damaged" if "pickle" in str(error) else say_error(error)[:120]
        raise DataError(f"{file} is no npz file of arrays ({why}); save it again.") from None
    return parameters_of(arrays)


def parameters_of(arrays: Mapping[str, Any]) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """The arrays as parameters, and those that are none."""
    parameters, left_out = [], []
    for name, array in arrays.items():
        if (reason := quantized(name, arrays)) is not None:
            left_out.append((name, reason))
        elif array.dtype.kind == "f" or array.dtype.name.startswith(("bfloat", "float8")):
            parameters.append(Parameter(name, array.shape, partial(wide_enough, array)))
        else:
            left_out.append((name, no_weights(array.dtype)))
    return parameters, left_out


def _json(path: Path) -> dict[str, Any]:
    try:
        return parse_json(read_file(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({why_unreadable(error)}); download or save the model again.") from None


def of_parts(
    name: str, parameters: Sequence[Parameter], left_out: Sequence[tuple[str, str]], config: Mapping[str, Any]
) -> Source:
    """Arrays by their names with what PyTorch makes of some of them, and what a configuration says of their model."""
    made, parts, notes = put_together(parameters)
    return Source(
        name,
        made,
        [*left_out, *parts],
        heads=lambda layer: heads_in(config, layer),
        model_type=str(config.get("model_type", "")),
        opposites_are_one=lambda layer: is_activation_symmetric(config, layer),
        parts={parameter.name: parameter for parameter in parameters},
        notes=notes,
    )
