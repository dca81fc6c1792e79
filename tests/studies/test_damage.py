"""What is in a study's files is believed only where it can be: checksums, tables, models, problem and spec."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load, save

from nucleate import StudyError, sweep
from nucleate.studies import Study, tables
from nucleate.sweeping import outlooks
from tests.sealed import seal_tensors, write_json

pytestmark = pytest.mark.slow

GRID = {"gains": [1.0, 0.1], "lrs": [0.05], "seeds": 9, "hidden": [8, 6], "steps": 30, "evaluations": 6}
RESULTS, EVALUATIONS, FORECASTS = (f"{name}/chunk-00000.parquet" for name in ("results", "trajectories", "forecasts"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sweep("sine-5d", out=tmp_path_factory.mktemp("damage") / "study", progress=False, **GRID)


@pytest.fixture
def study(sound, tmp_path):
    shutil.copytree(sound.path, tmp_path / "study")
    return Study.load(tmp_path / "study")


def read(study, file):
    """What a reader reads of a file's kind."""
    match file.split("/")[0]:
        case "weights":
            return study.network(int(file[12:17]), file[18:].removesuffix(".safetensors"))
        case "snapshots":
            return study.snapshots(int(file[14:19]))
        case table:
            return getattr(study, table)


@pytest.mark.parametrize(
    "file", [RESULTS, EVALUATIONS, FORECASTS, "weights/run-00003-final.safetensors", "snapshots/run-00009.safetensors"]
)
def test_one_flipped_bit_is_named_with_the_remedy(study, file):
    content = bytearray((study.path / file).read_bytes())
    content[len(content) // 2] ^= 16
    (study.path / file).write_bytes(content)
    with pytest.raises(StudyError, match=rf"{file} is damaged \(its checksum is wrong\); run the same sweep again"):
        read(study, file)


@pytest.mark.parametrize(
    ("file", "other"),
    [
        (RESULTS, "results/chunk-00001.parquet"),
        ("weights/run-00003-best.safetensors", "weights/run-00004-best.safetensors"),
        ("weights/run-00003-best.safetensors", "weights/run-00003-final.safetensors"),
        ("snapshots/run-00000.safetensors", "snapshots/run-00009.safetensors"),
    ],
)
def test_a_sound_file_in_the_place_of_another_is_named(study, file, other):
    shutil.copy(study.path / other, study.path / file)
    with pytest.raises(StudyError, match=rf"{file} is damaged \(it is another file, {other}@"):
        read(study, file)


def test_a_file_of_another_study_of_the_same_plan_is_named(study, tmp_path):
    other = sweep("sine-5d", out=tmp_path / "other", progress=False, split_seed=1, **GRID)
    for file in (RESULTS, "weights/run-00003-best.safetensors"):
        shutil.copy(other.path / file, study.path / file)
        with pytest.raises(StudyError, match=rf"{file} is damaged \(it is another file"):
            read(study, file)


NOT_OF_THE_SPEC = "its runs are not those of the spec"
FORGED = {
    "no rows": (RESULTS, lambda t: t.clear(), "it has 0 rows for 16 runs"),
    "one row less": (RESULTS, lambda t: t[1:], "it has 15 rows for 16 runs"),
    "more rows": (FORECASTS, lambda t: pl.concat([t] * 9), "it has more than 16 rows"),
    "unknown runs": (
        RESULTS,
        lambda t: t.with_columns(run=pl.col("run") + 10**9),
        NOT_OF_THE_SPEC,
    ),
    "another gain": (RESULTS, lambda t: t.with_columns(gain=2 * pl.col("gain")), "its runs are not those of the spec"),
    "a missing column": (RESULTS, lambda t: t.drop("train_loss"), "its columns are others in 'train_loss'"),
    "another type": (EVALUATIONS, lambda t: t.with_columns(step=pl.lit("0")), "its columns are others in 'step'"),
    "another order": (EVALUATIONS, lambda t: t.select(t.columns[::-1]), "its columns are in another order"),
    "an unknown status": (RESULTS, lambda t: t.with_columns(status=pl.lit("fine")), "of run 0 the status is unknown"),
    "a null": (RESULTS, lambda t: t.with_columns(steps=pl.lit(None, pl.Int64)), "of run 0 steps is missing"),
    "not a number": (RESULTS, lambda t: t.with_columns(train_loss=pl.lit(float("nan"))), "train_loss is not finite"),
    "more neurons than there are": (
        EVALUATIONS,
        lambda t: t.with_columns(effective_neurons_2=pl.lit(1e9)),
        "effective_neurons_2 is out of range",
    ),
    "steps that stand": (EVALUATIONS, lambda t: t.with_columns(step=pl.lit(0, pl.Int64)), "run 0 do not ascend from 0"),
    "an unknown run over time": (
        EVALUATIONS,
        lambda t: t.with_columns(run=pl.col("run").replace(3, 77)),
        NOT_OF_THE_SPEC,
    ),
    "a turned interval": (
        FORECASTS,
        lambda t: t.with_columns(lower_10=pl.lit(9, pl.Int64), upper_10=pl.lit(8, pl.Int64)),
        "the interval ends before it begins",
    ),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_table_with_a_right_checksum_is_named_and_made_again(study, sound, forgery):
    file, forge, sentence = FORGED[forgery]
    forged = forge(pl.read_parquet(study.path / file))
    (study.path / file).write_bytes(tables.table_to_bytes(forged, study.place(file)))
    with pytest.raises(StudyError, match=rf"{file} is damaged \(.*{sentence}"):
        read(study, file)
    with pytest.warns(UserWarning, match=rf"{file} is damaged \(.*{sentence}.* again"):
        again = sweep("sine-5d", out=study.path, progress=False, **GRID)
    assert read(again, file).equals(read(sound, file))


@pytest.mark.parametrize("name", ["weights.1", "biases.0", "activation", "dtype"])
def test_a_forged_network_is_named(study, name):
    file = "weights/run-00003-best.safetensors"
    content = (study.path / file).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors, told = load(content), json.loads(header["__metadata__"]["nucleate"])
    if name == "activation":
        told["activation"] = "relu"
    elif name == "dtype":
        tensors = {key: tensor.astype("float64") for key, tensor in tensors.items()}
    else:
        tensors[name] = np.ones((2, 2), "float32")
    forged = save(tensors, {"nucleate": json.dumps(told)})
    (study.path / file).write_bytes(seal_tensors(forged, study.place(file)))
    with pytest.raises(StudyError, match=rf"{file} is damaged \(it holds"):
        study.network(3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": {"train": 0}}, "its entry rows.train is 0"),
        ({"rows": {}}, "its rows or its versions are not all there"),
        ({"layers": {"1": 4}}, r"its layers are \(4,\), its hidden widths \(8, 6\)"),
        ({"metric": None}, "its entry metric is None"),
        ({"parameters": 10**9}, "its networks have 102 parameters, not 1000000000"),
        ({"more": 1}, "its entry more is 1"),
        ({"definitions": {"loss 'mine'": "0"}}, "its definitions have a loss 'mine', which the spec has not"),
        ({"spec": {"data": "sine-5d"}}, "give exactly one of gains|its entry spec"),
    ],
)
def test_a_forged_spec_is_named(study, changes, sentence):
    write_json(study.path / "spec.json", json.loads((study.path / "spec.json").read_text()) | changes, "spec.json")
    with pytest.raises(StudyError, match=rf"spec.json is damaged \({sentence}"):
        Study.load(study.path)


def test_a_spec_edited_by_hand_is_named_and_the_sweep_that_made_it_writes_it_again(study, sound):
    file = study.path / "spec.json"
    file.write_text(file.read_text().replace('"steps": 30', '"steps": 31'))
    with pytest.raises(StudyError, match=r"spec.json is damaged \(its checksum is wrong\)"):
        Study.load(study.path)
    with pytest.raises(StudyError, match=r"spec.json is damaged .*chunk-00000.parquet is not of this sweep; put that"):
        sweep("sine-5d", out=study.path, progress=False, **GRID | {"steps": 31})
    with pytest.warns(UserWarning, match="all else there is of this sweep, so it is written again"):
        assert sweep("sine-5d", out=study.path, progress=False, **GRID).results.equals(sound.results)


def test_what_is_missing_or_too_much_is_named(study):
    (study.path / "snapshots" / "run-00000.safetensors").unlink()
    with pytest.raises(StudyError, match=r"run-00000.safetensors is missing; run the same sweep again"):
        study.snapshots(0)
    (study.path / FORECASTS).rename(study.path / "forecasts" / "chunk-00009.parquet")
    with pytest.raises(StudyError, match=r"chunk-00000.parquet is missing; run the same sweep again"):
        study.forecasts  # noqa: B018
    with pytest.raises(StudyError, match=r"chunk-00009.parquet is in the way, for the study has no such chunk"):
        sweep("sine-5d", out=study.path, progress=False, **GRID)


@pytest.mark.parametrize("kind", ["folder", "loop"])
def test_what_is_no_file_where_one_belongs_is_refused_before_anything_is_trained(study, monkeypatch, kind):
    file = study.path / "weights" / "run-00003-best.safetensors"
    file.unlink()
    if kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(file.name)
    monkeypatch.setattr("nucleate.sweeping.runner.train_chunks", None)
    with pytest.raises(StudyError, match=r"run-00003-best.safetensors is in the way, for it is not a file"):
        sweep("sine-5d", out=study.path, progress=False, **GRID)


def test_damages_of_every_kind_give_no_traceback_and_change_nothing_in_silence(monkeypatch):
    forecast = {}

    def outlooks_once(study):
        """What is forecast of stuck runs, once for the same results."""
        key = (study.identity, str(study.results.to_dicts()))
        if key not in forecast:
            forecast[key] = outlooks(study)
        return forecast[key]

    for user in ("nucleate.sweeping", "nucleate.reporting.page"):
        monkeypatch.setattr(f"{user}.outlooks", outlooks_once)
    path = Path(__file__).parents[2] / "benchmarks" / "attack_studies.py"
    spec = importlib.util.spec_from_file_location("attack_studies", path)
    attack_studies = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(attack_studies)
    said = []
    counted = attack_studies.attack(20, 1, tell=said.append)
    assert not [line for line in said if line.startswith(("TRACEBACK", "SILENT", "EXIT"))]
    assert {what for _, what in counted} == {"exit 0", "exit 2"}
