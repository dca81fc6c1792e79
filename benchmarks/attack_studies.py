"""Damages copies of a small study in many ways, and counts what the commands then do.

    make bench BENCHMARK=attack_studies

A study of 18 runs is swept, reduced, reported and exported. Then, 300 times, one thing in a copy is damaged: bits,
lengths, missing and foreign files, files in each other's place, and contents that are forged together with a right
checksum. The commands that read it run on the copy, and last the sweep that made it. Counted are exit codes; tracebacks
and hangs; and silent changes, which are results other than those of the undamaged study with exit code 0 and nothing
more on standard error. After a sweep with exit code 0 the study must be that of before, bit for bit. Forged contents
are such as cannot be: a number that is merely another cannot be told from a true one.

The seed is fixed, so the same damages come again: `--damages` and `--seed` change them.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load, save

from nucleate import sweep
from nucleate._files import parse_json, parse_tensors, seal_tensors, write_json
from nucleate.cli import main as nucleate
from nucleate.studies import Study
from nucleate.studies.tables import table_to_bytes

GRID = ("--gains", "1,0.1", "--lrs", "0.2", "--seeds", "9", "--hidden", "6,5", "--steps", "60", "--evaluations", "8")
KINDS = ("loss", "cosine", "phase", "forecast", "trajectory", "singular", "directions", "reduction")
LONGEST = 60
"""Seconds after which a command is taken to hang."""
HUGE = 10**9


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str
    result: bytes
    traceback: str = ""


class Hangs(BaseException):
    """A command took too long."""


def run(*arguments: str, result: Path | None = None) -> Outcome:
    """A command in this process."""
    out, err, code, failure = io.StringIO(), io.StringIO(), 0, ""
    sys.argv = ["nucleate", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        signal.alarm(LONGEST)
        try:
            nucleate()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        except BaseException:
            code, failure = 1, traceback.format_exc()
        finally:
            signal.alarm(0)
    written = result.read_bytes() if result is not None and result.is_file() else b""
    return Outcome(
        code,
        "\n".join(line for line in out.getvalue().splitlines() if "on one thread" not in line),
        err.getvalue(),
        written,
        failure,
    )


def make(folder: Path) -> None:
    """The data and the study, undamaged."""
    rng = np.random.default_rng(0)
    a, b, group = rng.normal(size=150), rng.normal(size=150), rng.choice(["x", "y", "z"], 150)
    pl.DataFrame({"a": a, "b": b, "group": group, "y": np.tanh(a - b) + (group == "x")}).write_csv(folder / "data.csv")
    reduce = ("reduce", "study", "--method", "merge", "--out")
    swept = ("sweep", "data.csv", "--out", "study", *GRID)
    for arguments in (swept, (*reduce, "study/model.onnx"), (*reduce, "study/model.safetensors")):
        done = run(*arguments)
        assert done.code == 0, done


def commands(kind: str) -> dict[str, tuple[str, ...]]:
    """By name, what reads a study."""
    return {
        "report": ("report", "study", "--out", "page.html"),
        "plot": ("plot", "study", "--kind", kind, "--out", "picture.png"),
        "predict onnx": ("predict", "study/model.onnx", "data.csv"),
        "predict": ("predict", "study/model.safetensors", "data.csv"),
        "reduce": ("reduce", "study", "--method", "merge"),
        "sweep": ("sweep", "data.csv", "--out", "study", *GRID),
    }


RESULTS = {"report": Path("page.html"), "plot": Path("picture.png")}


def obey(name: str, kind: str) -> Outcome:
    for file in RESULTS.values():
        file.unlink(missing_ok=True)
    return run(*commands(kind)[name], result=RESULTS.get(name))


# Damages. Each takes a generator and the study, and says what it did.


def any_file(rng: np.random.Generator, study: Study, *folders: str) -> Path:
    """A file of the study, of each kind as often as of any other."""
    kinds = folders or ("", "results", "trajectories", "forecasts", "weights", "snapshots", "reduction")
    files = [file for file in sorted((study.path / rng.choice(kinds)).iterdir()) if file.is_file() and file.suffix]
    return files[rng.integers(len(files))]


def flip(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    content = bytearray(file.read_bytes())
    for place in rng.integers(len(content), size=rng.integers(1, 4)):
        content[place] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    return f"{file}: bits"


def cut(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    content = file.read_bytes()
    file.write_bytes(content[: rng.choice([0, 1, len(content) // 2, len(content) - 1])])
    return f"{file}: cut"


def longer(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    file.write_bytes(file.read_bytes() + rng.bytes(8))
    return f"{file}: longer"


def junk(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    contents = (rng.bytes(500), b"[" * 20_000, b"null", b"{}", b'{"format": 1' + b"0" * 5000 + b"}", b"\xff\xfe\x00")
    file.write_bytes(contents[rng.integers(len(contents))])
    return f"{file}: junk"


def delete(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    file.unlink()
    return f"{file}: deleted"


def delete_folder(rng: np.random.Generator, study: Study) -> str:
    folder = study.path / rng.choice(["results", "trajectories", "forecasts", "weights", "snapshots"])
    shutil.rmtree(folder)
    return f"{folder}: deleted"


def another_kind(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    file.unlink()
    kind = rng.choice(["folder", "FIFO", "device", "dangling link", "loop"])
    match kind:
        case "folder":
            file.mkdir()
        case "FIFO":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "dangling link":
            file.symlink_to("absent")
        case "loop":
            file.symlink_to(file.name)
    return f"{file}: {kind}"


def file_for_folder(rng: np.random.Generator, study: Study) -> str:
    folder = study.path / rng.choice(["results", "trajectories", "forecasts", "weights", "snapshots", "reduction"])
    shutil.rmtree(folder)
    folder.touch()
    return f"{folder}: a file"


def swap(rng: np.random.Generator, study: Study) -> str:
    folder = rng.choice(["results", "trajectories", "forecasts", "weights", "snapshots", "reduction"])
    files = sorted(file for file in (study.path / folder).iterdir() if file.suffix != ".json")
    first, second = rng.choice(len(files), 2, replace=False)
    a, b = files[first].read_bytes(), files[second].read_bytes()
    files[first].write_bytes(b)
    files[second].write_bytes(a)
    return f"{files[first]}, {files[second].name}: swapped"


def of_another_study(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study)
    other = Path("other", *file.parts[1:])
    file.write_bytes(other.read_bytes())
    return f"{file}: of another study"


def more(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study, "results", "trajectories", "forecasts")
    another = file.with_name(str(rng.choice(["chunk-00007.parquet", "chunk-x.parquet", f"chunk-{'9' * 200}.parquet"])))
    another.write_bytes(file.read_bytes())
    return f"{another}: too many"


def forge_table(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study, "results", "trajectories", "forecasts")
    table = pl.read_parquet(file)
    numbers = [name for name in table.columns if table[name].dtype == pl.Float64]
    column = {
        "results": "train_loss",
        "trajectories": "validation_loss",
        "forecasts": "gap",
    }[file.parent.name]
    forgeries: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "no rows": lambda t: t.clear(),
        "a row less": lambda t: t[1:],
        "a row twice": lambda t: pl.concat([t, t[-1:]]),
        "rows turned": lambda t: t.reverse(),
        "no such run": lambda t: t.with_columns(run=pl.lit(HUGE)),
        "run -1": lambda t: t.with_columns(run=pl.lit(-1)),
        "run null": lambda t: t.with_columns(run=pl.lit(None, pl.Int64)),
        "a column less": lambda t: t.drop(rng.choice(numbers)),
        "a column more": lambda t: t.with_columns(more=pl.lit(1.0)),
        "columns turned": lambda t: t.select(t.columns[::-1]),
        "a text": lambda t: t.with_columns(pl.lit("x").alias(column)),
        "float32": lambda t: t.with_columns(pl.col(column).cast(pl.Float32)),
        "infinite": lambda t: t.with_columns(pl.lit(float("inf")).alias(column)),
        "NaN": lambda t: t.with_columns(pl.lit(float("nan")).alias("train_loss" if "train_loss" in t else "gap")),
        "a million rows": lambda t: pl.concat([t[:1]] * 1000).select(pl.all().repeat_by(1000).explode()),
    }
    if file.parent.name == "results":
        forgeries |= {
            "status unknown": lambda t: t.with_columns(status=pl.lit("happy")),
            "status null": lambda t: t.with_columns(status=pl.lit(None, pl.String)),
            "stage unknown": lambda t: t.with_columns(stage=pl.lit("")),
            "other gain": lambda t: t.with_columns(gain=pl.col("gain") * 2),
            "other seed": lambda t: t.with_columns(seed=pl.lit(3)),
            "too many steps": lambda t: t.with_columns(steps=pl.lit(HUGE)),
            "negative neurons": lambda t: t.with_columns(effective_neurons_1=pl.lit(-1.0)),
            "too many neurons": lambda t: t.with_columns(directions_2=pl.lit(1e9)),
            "best behind the end": lambda t: t.with_columns(best_step=pl.col("steps") + 1),
        }
    if file.parent.name == "trajectories":
        forgeries |= {
            "steps that stand": lambda t: t.with_columns(step=pl.lit(0)),
            "steps from -5": lambda t: t.with_columns(step=pl.col("step") - 5),
            "steps too far": lambda t: t.with_columns(step=pl.col("step") * HUGE),
        }
    if file.parent.name == "forecasts":
        forgeries |= {
            "interval turned": lambda t: t.with_columns(lower_10=pl.lit(9), upper_10=pl.lit(3)),
            "share of 7": lambda t: t.with_columns(condensed_share=pl.lit(7.0)),
            "in_regime null": lambda t: t.with_columns(in_regime=pl.lit(None, pl.Boolean)),
        }
    name = str(rng.choice(list(forgeries)))
    forged = forgeries[name](table)
    same = {column: table.schema[column] for column in table.columns if column in forged.columns}
    if name not in ("a text", "float32"):
        forged = forged.cast(same)  # type: ignore[arg-type]
    file.write_bytes(table_to_bytes(forged, study.place(f"{file.parent.name}/{file.name}")))
    return f"{file}: forged, {name}"


def forge_tensors(rng: np.random.Generator, study: Study) -> str:
    file = any_file(rng, study, "weights", "weights", "snapshots")
    tensors, metadata = parse_tensors(file.read_bytes())
    told = json.loads(metadata.get("nucleate", "{}"))
    name = str(rng.choice(list(tensors)))
    match kind := str(
        rng.choice(
            [
                "shape",
                "dtype",
                "less",
                "more",
                "turned",
                "empty",
                "no metadata",
                "null",
                "activation",
                "widths",
                "biases",
                "format",
            ]
        )
    ):
        case "shape":
            tensors[name] = np.ones((3, 2, 1), tensors[name].dtype)
        case "dtype":
            tensors[name] = tensors[name].astype(rng.choice(["int8", "float64", "bool"]) if name != "steps" else "int8")
        case "less":
            del tensors[name]
        case "more":
            tensors["more"] = np.ones(3, "float32")
        case "turned":
            tensors[name] = np.ascontiguousarray(np.atleast_2d(tensors[name])[None])
        case "empty":
            tensors[name] = tensors[name][:0]
        case "null":
            told = None
        case "activation":
            told["activation"] = [None, "sigmund", "relu", 7][rng.integers(4)]
        case "widths":
            told["widths"] = [None, [HUGE, 2, 1], [4, "6", 5, 1], [5, 6, 5], {}][rng.integers(5)]
        case "biases":
            told["biases"] = [None, [], [True] * 3, [False] * 3, "yes"][rng.integers(5)]
        case "format":
            told["format"] = ["nucleate network 9", None][rng.integers(2)]
    if file.parent.name == "snapshots" and kind in ("no metadata", "null", "activation", "widths", "biases", "format"):
        kind = "steps turned"
        tensors["steps"] = np.ascontiguousarray(tensors["steps"][::-1])
    forged = save(tensors, None if kind == "no metadata" else {"nucleate": json.dumps(told)})
    file.write_bytes(seal_tensors(forged, study.place(f"{file.parent.name}/{file.name}")))
    return f"{file}: forged, {kind} of {name}"


def forge_spec(rng: np.random.Generator, study: Study) -> str:
    file = study.path / "spec.json"
    content = parse_json(file.read_bytes())
    forgeries: list[tuple[tuple[str, ...], Any]] = [
        (("format",), None),
        (("format",), "nucleate study 9"),
        (("spec",), None),
        (("spec", "gains"), [1.0, "nan"]),
        (("spec", "gains"), []),
        (("spec", "gains"), [-1.0]),
        (("spec", "lrs"), 10**400),
        (("spec", "seeds"), list(range(3))),
        (("spec", "seeds"), -1),
        (("spec", "hidden"), [HUGE, HUGE]),
        (("spec", "hidden"), [6]),
        (("spec", "activation"), "sigmund"),
        (("spec", "loss"), "sigmund"),
        (("spec", "steps"), 10**30),
        (("spec", "evaluations"), 7),
        (("spec", "unheard_of"), 1),
        (("spec", "bias"), "all"),
        (("spec", "data"), None),
        (("data_hash",), None),
        (("split_hash",), "0"),
        (("rows",), {"train": 0, "validation": 1, "test": 1}),
        (("rows",), {}),
        (("layers",), {"1": 6}),
        (("layers",), {"1": "six", "2": 5}),
        (("layers",), {"one": 6, "two": 5}),
        (("metric",), None),
        (("metric", "name"), "happiness"),
        (("preprocessing",), None),
        (("preprocessing", "targets"), []),
        (("preprocessing", "inputs"), []),
        (("parameters",), -1),
        (("no_forecast",), 5),
        (("versions",), {}),
        (("definitions",), {"loss 'mine'": "0"}),
        (("more",), 1),
    ]
    keys, value = forgeries[rng.integers(len(forgeries))]
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    write_json(file, content, "spec.json")
    return f"{file}: forged, {'.'.join(keys)} {value!r:.40}"


def edit_spec(rng: np.random.Generator, study: Study) -> str:
    file = study.path / "spec.json"
    text = file.read_text("utf-8")
    old, new = [("60", "61"), ("0.2", "0.3"), ('"first"', '"none"'), ("\n", "\n\n"), ('"y"', '"z"'), ("tanh", "relu")][
        rng.integers(6)
    ]
    file.write_text(text.replace(old, new, 1), "utf-8")
    return f"{file}: edited by hand, {old!r} to {new!r}"


def forge_reduction(rng: np.random.Generator, study: Study) -> str:
    file = study.path / "reduction" / "reduction.json"
    content = parse_json(file.read_bytes())
    forgeries: list[tuple[tuple[Any, ...], Any]] = [
        (("format",), None),
        (("format",), "nucleate reduction 1"),
        (("problem",), None),
        (("data_hash",), "0"),
        (("run",), HUGE),
        (("run",), "one"),
        (("tolerance",), float("nan")),
        (("metric",), None),
        (("metric", "name"), None),
        (("validation",), None),
        (("validation", "before"), "x"),
        (("test", "after"), float("inf")),
        (("certificate",), {}),
        (("certificate", "rows"), 0),
        (("certificate", "largest_deviation"), None),
        (("certificate", "rows"), 1.5),
        (("bound",), 3),
        (("groups", 0, "labels"), [HUGE] * 6),
        (("groups", 0, "labels"), [-2] * 6),
        (("groups", 0, "labels"), None),
        (("groups", 0, "layer"), HUGE),
        (("groups",), None),
        (("baselines",), None),
        (("baselines", 0, "widths"), "wide"),
        (("baselines", 0, "comparison"), {"rows": 1}),
        (("preprocessing",), None),
        (("preprocessing", "inputs"), []),
        (("files",), {}),
        (("files", "network"), "0"),
        (("further",), {"before": {"mae": None}, "after": {}}),
        (("inference", "before"), None),
    ]
    keys, value = forgeries[rng.integers(len(forgeries))]
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    if isinstance(inner, dict):
        inner[keys[-1]] = value
    write_json(file, content, f"reduction.json@{study.identity}")
    return f"{file}: forged, {'.'.join(map(str, keys))} {value!r:.40}"


def forge_model(rng: np.random.Generator, study: Study) -> str:
    file = study.path / "model.safetensors"
    tensors, metadata = load(file.read_bytes()), parse_tensors(file.read_bytes())[1]
    told = json.loads(metadata["nucleate"])
    forgeries: list[tuple[str, Any]] = [
        ("preprocessing", None),
        ("preprocessing", "{}"),
        ("preprocessing", '{"inputs": [], "targets": []}'),
        ("preprocessing", told["preprocessing"].replace('"numeric"', '"constant"', 1)),
        ("preprocessing", told["preprocessing"].replace('"a"', '"absent"')),
        ("loss", "sigmund"),
        ("loss", None),
        ("deviation", "small"),
        ("deviation", "nan"),
        ("certificate", None),
        ("weights", float("nan")),
        ("weights", float("inf")),
    ]
    name, value = forgeries[rng.integers(len(forgeries))]
    if name == "weights":
        tensors["weights.0"] = np.full_like(tensors["weights.0"], value)
    else:
        told[name] = value
    file.write_bytes(seal_tensors(save(tensors, {"nucleate": json.dumps(told)})))
    return f"{file}: forged, {name} {value!r:.40}"


def checkpoint(rng: np.random.Generator, study: Study) -> str:
    file = study.path / "checkpoints" / "chunk-00001.safetensors"
    junk = seal_tensors(save({"0": np.ones(3)}, {"story": "{}"}), study.place("checkpoints/chunk-00001.safetensors"))
    file.write_bytes([b"torn", junk, rng.bytes(100)][rng.integers(3)])
    (study.path / "results" / "chunk-00001.parquet").unlink()
    return f"{file}: damaged, and its results gone"


DAMAGES: dict[Callable[[np.random.Generator, Study], str], float] = {
    flip: 6,
    cut: 2,
    longer: 1,
    junk: 2,
    delete: 2,
    delete_folder: 1,
    another_kind: 2,
    file_for_folder: 1,
    swap: 2,
    of_another_study: 2,
    more: 1,
    forge_table: 6,
    forge_tensors: 4,
    forge_spec: 4,
    edit_spec: 1,
    forge_reduction: 4,
    forge_model: 2,
    checkpoint: 1,
}
"""How often each."""


def contents(folder: Path) -> dict[Path, bytes]:
    """What a sweep makes."""
    made = ("spec.json", "results", "trajectories", "forecasts", "weights", "snapshots", "checkpoints")
    return {
        file.relative_to(folder): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.relative_to(folder).parts[0] in made
    }


def attack(damages: int, seed: int, *, tell: Callable[[str], None] = lambda line: None) -> Counter[tuple[str, str]]:
    """Damage copies of a study and run the commands on them.

    Returns
    -------
    Counter
        By command and what came of it: "exit 0", "exit 2", ..., "traceback", "silent change".
    """
    signal.signal(signal.SIGALRM, _hang)
    rng, counted = np.random.default_rng(seed), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make(Path(folder))
        sweep(
            "data.csv",
            out="other",
            progress=False,
            gains=[1, 0.1],
            lrs=[0.2],
            seeds=9,
            hidden=[6, 5],
            steps=60,
            evaluations=8,
            split_seed=1,
        )
        shutil.copytree("study/reduction", "other/reduction")
        for file in Path("study").glob("model.*"):
            shutil.copy(file, "other")
        Path("study").rename("sound")
        shutil.copytree("sound", "study")
        right = {
            (name, kind): obey(name, kind)
            for kind in KINDS
            for name in (commands(kind) if kind == KINDS[0] else ["plot"])
        }
        before = contents(Path("sound"))
        assert not any(outcome.code for outcome in right.values()), right
        kinds = list(DAMAGES)
        weights = np.array([DAMAGES[kind] for kind in kinds])
        for number in range(damages):
            shutil.rmtree("study")
            shutil.copytree("sound", "study")
            damage = rng.choice(kinds, p=weights / weights.sum())  # type: ignore[arg-type]
            said, kind = damage(rng, Study.load("study")), str(rng.choice(KINDS))
            names = ["report", "plot", str(rng.choice(["predict onnx", "predict"])), "sweep"]
            if number % 8 == 0:
                names.insert(3, "reduce")
            if damage is forge_model:
                names = ["predict"]
            for name in names:
                done = obey(name, kind)
                sound = right[name, kind if name == "plot" else KINDS[0]]
                if name == "sweep":
                    changed, noted = contents(Path("study")) != before, False
                else:
                    changed = (done.out, done.result) != (sound.out, sound.result)
                    noted = done.err != sound.err
                what = "exit " + str(done.code)
                counted[name, what] += 1
                if done.traceback:
                    counted[name, "traceback"] += 1
                    tell(f"TRACEBACK {number} {name} ({said}): {done.traceback}")
                elif done.code not in (0, 2):
                    tell(f"EXIT {done.code} {number} {name} ({said}): {done.err}")
                if done.code == 0 and changed and not noted:
                    counted[name, "silent change"] += 1
                    tell(f"SILENT {number} {name} {kind} ({said})")
                last = (done.err.strip().splitlines() or [""])[-1]
                tell(f"{number:3d} {name:12s} {done.code} {said:70s} {last}")
    return counted


def _hang(*_: Any) -> None:
    raise Hangs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--damages", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tell", action="store_true", help="print each command and what it says")
    given = parser.parse_args()
    tell = (lambda line: print(line, file=sys.stderr)) if given.tell else (lambda line: None)
    counted = attack(given.damages, given.seed, tell=tell)
    columns = sorted({what for _, what in counted} | {"traceback", "silent change"})
    names = list(dict.fromkeys(name for name, _ in counted))
    print(f"| command | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in names:
        print(f"| {name} | {' | '.join(str(counted[name, what]) for what in columns)} |")


if __name__ == "__main__":
    main()
