"""The study folder: anyone's Parquet and safetensors, refused where it does not fit, mended where it is damaged."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nucleate import ArchitectureError, NucleateError, SpecError, StudyError, sweep
from nucleate.network import read_metadata
from nucleate.observe import layers_of, snapshot
from nucleate.observe.measures import evaluation_rows
from nucleate.problems import Preprocessing, Problem, load_problem
from nucleate.studies import Study, make_spec, summarize, tables
from nucleate.studies.keeper import keep
from tests.reporting.planted import gated

pytestmark = pytest.mark.slow

GRID = {"gains": [1.0, 0.1], "lrs": [0.05, 1e3], "seeds": 2, "hidden": [8, 6], "steps": 40, "evaluations": 6}
TWO_CHUNKS = {"epsilons": [1e-4, 0.5], "seeds": 16, "hidden": [4], "steps": 10, "evaluations": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return sweep("sine-5d", out=tmp_path_factory.mktemp("study") / "study", progress=False, **GRID)


def test_results_have_a_row_a_run_with_the_grid_and_the_measures(study):
    results = study.results
    wanted = ["gain", "lr", "seed", "status", "effective_neurons_1", "effective_neurons_2", "directions_1"]
    wanted += ["directions_2", "train_loss", "validation_loss", "test_rmse", "steps"]
    assert set(wanted) <= set(results.columns)
    assert results.select("gain", "lr", "seed").rows() == [
        (gain, lr, seed) for gain in (1.0, 0.1) for lr in (0.05, 1e3) for seed in (0, 1)
    ]
    assert set(results.filter(pl.col("lr") == 0.05)["status"]) == {"finished"}
    assert set(results.filter(pl.col("lr") == 1e3)["status"]) <= {"diverged", "nan"}


def test_a_row_is_what_its_networks_and_trajectory_say(study):
    problem = load_problem("sine-5d")
    row = study.results.row(0, named=True)
    course = study.trajectories.filter(pl.col("run") == 0)
    final, best = study.network(0, "final"), study.network(0)
    assert row["train_loss"] == pytest.approx(float(problem.loss(final(problem.train.x), problem.train.y)), rel=1e-5)
    assert row["best_validation_loss"] == course["validation_loss"].min()
    assert row["test_rmse"] == pytest.approx(problem.metric(np.asarray(best(problem.test.x)), problem.test.y))
    assert course["step"].to_list()[0] == 0
    assert course["step"].to_list()[-1] == row["steps"] == 40


def test_the_folder_is_read_without_this_package(study):
    spec = json.loads((study.path / "spec.json").read_text())
    assert spec["spec"]["gains"] == [1.0, 0.1]
    assert {"jax", "numpy", "python"} <= spec["versions"].keys()
    assert (spec["rows"]["train"], spec["layers"], spec["parameters"]) == (80, {"1": 8, "2": 6}, 102)
    assert spec["metric"] == {"name": "rmse", "larger_is_better": False, "is_share": False}
    assert len(spec["data_hash"]) == 64
    assert sorted(file.name for file in (study.path / "results").iterdir()) == ["chunk-00000.parquet"]
    assert not list((study.path / "checkpoints").iterdir())
    metadata = read_metadata(study.path / "weights" / "run-00003-best.safetensors")
    assert Preprocessing.from_json(metadata["preprocessing"]) == load_problem("sine-5d").preprocessing


def test_what_was_forecast_is_kept_beside_what_came(study):
    forecasts = study.forecasts
    assert forecasts["run"].to_list() == list(range(8))
    assert forecasts.select("gain", "lr", "seed").rows() == study.results.select("gain", "lr", "seed").rows()
    assert not forecasts.filter(pl.col("lr") == 1e3)["in_regime"].any()


@pytest.fixture(scope="module")
def two_chunks(tmp_path_factory):
    """A study whose first chunk stays on its plateau and is forecast to."""
    return sweep("sine-5d", out=tmp_path_factory.mktemp("two") / "study", progress=False, **TWO_CHUNKS)


@pytest.mark.parametrize("table", ["results", "forecasts", "trajectories"])
def test_a_table_is_read_as_one_data_set_even_where_a_chunk_reached_nothing(two_chunks, table):
    files = two_chunks.path / table
    assert pl.read_parquet(files / "*.parquet").equals(getattr(two_chunks, table))
    schemas = [pl.read_parquet_schema(file) for file in sorted(files.iterdir())]
    assert len(schemas) == 2
    assert schemas[0] == schemas[1]
    assert pl.Null not in schemas[0].values()


def test_that_chunk_reached_nothing_indeed(two_chunks):
    assert two_chunks.results["plateau_end"].is_null().to_list() == 16 * [True] + 16 * [False]
    assert two_chunks.forecasts["drop_30_percent"][:16].null_count() == 16


def test_of_another_model_nothing_is_forecast(tmp_path):
    grid = {"gains": [1.0], "lrs": [0.05], "steps": 9, "evaluations": 4, "model": gated}
    study = sweep("sine-5d", out=tmp_path / "study", progress=False, **grid)
    assert study.forecasts.is_empty()
    assert "closed form" in study.no_forecast
    assert Study.load(study.path).no_forecast == study.no_forecast
    assert study.missing == 0


def test_the_first_seed_of_every_cell_is_kept_over_time(study):
    assert [bool(study.snapshots(run)) for run in range(8)] == [True, False] * 4
    taken = study.snapshots(0)
    assert [int(one.step) for one in taken] == study.trajectories.filter(pl.col("run") == 0)["step"].to_list()
    last = snapshot(layers_of(study.network(0, "final"), evaluation_rows(load_problem("sine-5d").train.x)), 40)
    for got, wanted in zip(taken[-1][1:], last[1:], strict=True):
        for layer, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(layer, other)
    assert taken[0].directions[1].shape == (6, 8)
    weight = study.network(0, "final").weights[1]
    np.testing.assert_allclose(taken[-1].singular_values[1], np.linalg.svd(weight, compute_uv=False), rtol=1e-6)


def test_a_folder_of_the_first_version_is_refused(study, tmp_path):
    shutil.copytree(study.path, tmp_path / "old")
    saved = json.loads((study.path / "spec.json").read_text())
    del saved["checksum"]
    (tmp_path / "old" / "spec.json").write_text(json.dumps(saved | {"format": "nucleate study 1"}))
    with pytest.raises(StudyError, match=r"written by nucleate 0\.1, which this version does not read; sweep again"):
        Study.load(tmp_path / "old")


def test_tables_are_read_again_only_where_files_have_changed(study, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(study.path, folder)
    copy, reads = Study.load(folder), []
    read_parquet = pl.read_parquet
    monkeypatch.setattr(pl, "read_parquet", lambda *given, **more: reads.append(1) or read_parquet(*given, **more))
    copy.results.insert_column(0, pl.Series("mine", range(8)))
    assert copy.results.equals(study.results)
    assert len(reads) == 1
    file = "results/chunk-00000.parquet"
    changed = copy.results.with_columns(train_loss=pl.lit(0.5))
    (folder / file).write_bytes(tables.table_to_bytes(changed, copy.place(file)))
    assert copy.results.equals(changed)


def test_of_a_study_without_files_the_tables_have_their_columns(study):
    unbegun = Study(study.path / "absent", study.spec, "", "", {}, {}, widths=(8, 6))
    for table in ("results", "trajectories", "forecasts"):
        assert getattr(unbegun, table).schema == getattr(study, table).schema
        assert getattr(unbegun, table).is_empty()


def test_the_summary_takes_seeds_together_and_counts_how_runs_ended(study):
    summary = summarize(study)
    assert summary.select("gain", "lr").rows() == [(1.0, 0.05), (1.0, 1e3), (0.1, 0.05), (0.1, 1e3)]
    assert summary["status"][0] == "2 finished"
    assert summary["effective_neurons_1"][1] is None
    first = study.results["effective_neurons_1"][:2]
    assert summary["effective_neurons_1"][0] == pytest.approx(first.median())


def test_another_spec_is_refused_with_the_difference_named(study):
    with pytest.raises(
        StudyError, match=r"another spec \(steps 40 there, 50 here; gains \[1.0, 0.1\] there, \[1.0, 0.2\] here\)"
    ):
        sweep("sine-5d", out=study.path, progress=False, **GRID | {"gains": [1.0, 0.2], "steps": 50})


def test_other_data_or_another_split_of_one_name_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    x, grid = rng.standard_normal((60, 3)), GRID | {"lrs": [0.05]}
    sweep(Problem.from_arrays(x, x[:, 0]), out=tmp_path / "study", progress=False, **grid)
    with pytest.raises(StudyError, match="the data of 'arrays' have changed since"):
        sweep(Problem.from_arrays(x, x[:, 1]), out=tmp_path / "study", progress=False, **grid)
    with pytest.raises(StudyError, match="the data of 'arrays' were split or standardized otherwise"):
        sweep(Problem.from_arrays(x, x[:, 0], split_seed=1), out=tmp_path / "study", progress=False, **grid)


def test_the_folder_of_a_study_is_no_data(study):
    with pytest.raises(
        SpecError, match=r"is the folder of a study, not data; the command that made it goes on with it, in Python "
    ):
        sweep(study.path, progress=False, **GRID)
    assert summarize(study.path).equals(summarize(str(study.path)))
    assert summarize(study.path).equals(summarize(study))


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StudyError, match="exists and is not a study; choose another folder"):
        sweep("sine-5d", out=tmp_path, progress=False, **GRID)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StudyError, match="exists and is not a study"):
        sweep("sine-5d", out=tmp_path / "thesis.tex", progress=False, **GRID)


def test_files_of_a_study_without_its_spec_are_refused_and_the_traces_of_a_kill_are_not(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study.path, folder)
    (folder / "spec.json").unlink()
    with pytest.raises(StudyError, match=r"holds files of a study, but no spec.json says which; put that back"):
        sweep("sine-5d", out=folder, progress=False, **GRID | {"steps": 50})
    for file in (file for file in folder.rglob("*") if file.is_file()):
        file.rename(file.with_name(f".{file.name}.part"))
    with keep(folder, study.spec, load_problem("sine-5d")):
        pass
    assert sorted(file.name for file in folder.rglob("*") if file.is_file()) == [".lock", "data.json", "spec.json"]


def test_a_study_that_was_begun_before_the_ranges_of_columns_were_kept_goes_on(tmp_path, recwarn):
    problem, spec = load_problem("sine-5d"), make_spec(data="sine-5d", **GRID)
    assert problem.preprocessing.inputs[0].span is not None
    older = replace(problem, preprocessing=problem.preprocessing.without_spans())
    for given in (older, problem):
        with keep(tmp_path / "study", spec, given):
            pass
    assert not [str(one.message) for one in recwarn if "damaged" in str(one.message)]
    assert Study.load(tmp_path / "study").preprocessing == older.preprocessing


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ({"batch_size": 10**5}, "The batch size is 100000, but there are"),
        ({"hidden": [10**6, 10**6]}, "make the hidden widths smaller"),
    ],
)
def test_a_mistake_leaves_no_folder_that_refuses_its_correction(tmp_path, mistake, sentence):
    with pytest.raises(NucleateError, match=sentence):
        sweep("sine-5d", out=tmp_path / "study", progress=False, **GRID | mistake)
    assert not list(tmp_path.iterdir())


def test_networks_beyond_the_memory_are_refused_before_one_is_drawn(tmp_path, monkeypatch):
    def drawn(*_, **__):
        pytest.fail("a network was drawn")

    monkeypatch.setattr("nucleate.network.standard_normal", drawn)
    # The parameters alone would fit.
    monkeypatch.setattr("nucleate.network.MEMORY", 1e12)
    monkeypatch.setattr("nucleate.training.checks.MEMORY", 1e12)
    with pytest.raises(
        NucleateError, match=r"8 x Network\(5-10000000-1, float32\) together need about .* make the hidden"
    ):
        sweep("sine-5d", out=tmp_path / "study", progress=False, **GRID | {"hidden": [10**7]})
    assert not list(tmp_path.iterdir())


def test_a_grid_that_does_not_fit_into_memory_together_leaves_none_either(tmp_path, monkeypatch):
    monkeypatch.setattr("nucleate.training.checks.MEMORY", 1e3)
    with pytest.raises(NucleateError, match=r"8 x Network.* together need about"):
        sweep("sine-5d", out=tmp_path / "study", progress=False, **GRID)
    assert not list(tmp_path.iterdir())


def test_what_is_no_study_or_damaged_is_one_sentence(study, tmp_path):
    with pytest.raises(StudyError, match=r"holds no study \(there is no spec.json\)"):
        Study.load(tmp_path / "absent")
    (tmp_path / "spec.json").write_text('{"format": "nucleate study 2", "spec"')
    with pytest.raises(StudyError, match=r"spec.json is damaged \(it is not valid JSON\); run the same sweep again"):
        Study.load(tmp_path)
    (tmp_path / "spec.json").write_text('{"format": "nucleate study 9"}')
    with pytest.raises(StudyError, match="format 'nucleate study 9'; this version reads 'nucleate study 2'"):
        Study.load(tmp_path)
    (tmp_path / "spec.json").write_text((study.path / "spec.json").read_text())
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "chunk-00000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StudyError, match=r"chunk-00000.parquet is damaged .*; run the same sweep again"):
        Study.load(tmp_path).results  # noqa: B018
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "run-00000.safetensors").write_bytes(b"torn")
    with pytest.raises(StudyError, match=r"run-00000.safetensors is damaged .*; run the same sweep again"):
        Study.load(tmp_path).snapshots(0)
    with pytest.raises(StudyError, match=r"trajectories.chunk-00000.parquet is missing; run the same sweep again"):
        Study.load(tmp_path).trajectories  # noqa: B018
    with pytest.raises(ArchitectureError, match="There is no network file"):
        study.network(99)
    with pytest.raises(StudyError, match="no model at 'last' of a run; choose one of initial, final, best"):
        study.network(0, "last")


def test_a_loaded_study_is_the_study(study):
    loaded = Study.load(study.path)
    assert loaded == study
    assert (loaded.widths, loaded.layers, loaded.metric.name, loaded.no_forecast) == ((8, 6), ("1", "2"), "rmse", None)
    assert loaded.preprocessing == load_problem("sine-5d").preprocessing
    assert loaded.missing == 0
    assert loaded.spec == make_spec(data="sine-5d", **GRID)
    assert repr(loaded).endswith("8 of 8 runs)")


def test_data_that_a_person_changes_are_not_those_of_the_study_when_asked_for_again(study):
    loaded = Study.load(study.path)
    loaded.load_problem().train.x[:] = 0
    assert loaded.load_problem().train.x.any()


def test_a_problem_made_in_python_keeps_how_its_rows_came_into_parts(tmp_path):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.normal(size=60), "who": np.arange(60) // 5, "y": rng.normal(size=60)})
    problem = Problem.from_table(table, target="y", split_by="who")
    study = sweep(problem, gains=[1.0], hidden=[3], steps=2, evaluations=4, out=tmp_path / "study", progress=False)
    kept = Study.load(study.path).load_problem()
    assert kept.division == problem.division == Study.load(study.path).division
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(kept, part).groups, getattr(problem, part).groups)
    with pytest.raises(SpecError, match="has its split and its loss already; leave out split_by"):
        sweep(problem, split_by="who", gains=[1.0])
