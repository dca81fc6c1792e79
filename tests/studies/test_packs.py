"""The tables of 64 chunks become one file, and at any moment each row is read once, whoever is killed meanwhile."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from nucleate import StudyError, load_problem, sweep
from nucleate.studies import Study, make_spec
from nucleate.studies.keeper import ChunkResult, Keeper, keep

CHUNKS = 66
GRID = {"gains": [0.5], "hidden": [4], "steps": 8, "evaluations": 4}
NAMES = ["chunk-00064.parquet", "chunk-00065.parquet", "chunks-00000-00063.parquet"]
TABLES = ("results", "trajectories", "forecasts")


def owning(folder):
    return keep(folder, make_spec(data="sine-5d", seeds=16 * CHUNKS, **GRID), load_problem("sine-5d"))


def contents(study):
    return {name: {file.name: file.read_bytes() for file in (study.path / name).iterdir()} for name in TABLES}


def read(study):
    return [getattr(Study.load(study.path), name) for name in TABLES]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return sweep("sine-5d", out=tmp_path_factory.mktemp("trained"), seeds=16, progress=False, **GRID)


def put(keeper, chunk, trained):
    """As the results of a chunk those of the runs that were trained, under its own numbers and seeds."""
    first = chunk.runs[0].number
    results, forecasts = (
        table.with_columns(pl.col("run") + first, pl.col("seed") + first)
        for table in (trained.results, trained.forecasts)
    )
    keeper.keep_forecasts(chunk, forecasts)
    keeper.keep_result(chunk, ChunkResult(results, trained.trajectories.with_columns(pl.col("run") + first), {}))


@pytest.fixture(scope="module")
def loose(tmp_path_factory, trained):
    """A study as it was before there were packs."""
    with pytest.MonkeyPatch.context() as patch, owning(tmp_path_factory.mktemp("loose") / "study") as keeper:
        patch.setattr(Keeper, "_pack", lambda self, first: None)
        for chunk in keeper.study.plan.chunks:
            put(keeper, chunk, trained)
        return keeper.study


@pytest.fixture
def study(loose, tmp_path):
    shutil.copytree(loose.path, tmp_path / "study")
    return Study.load(tmp_path / "study")


def test_64_chunks_become_one_file_and_every_table_stays_what_it_was(study, loose):
    before = study.results
    with owning(study.path) as keeper:
        keeper.pack()
    assert [sorted(files) for files in contents(study).values()] == 3 * [NAMES]
    for table, whole in zip(read(study), read(loose), strict=True):
        assert table.equals(whole)
    assert study.results.equals(before)
    assert pl.read_parquet(study.path / "results" / "*.parquet").sort("run").equals(before)


def test_the_files_do_not_depend_on_the_order_in_which_chunks_come(study, trained, tmp_path):
    with owning(study.path) as keeper, owning(tmp_path / "other") as other:
        keeper.pack()
        for chunk in reversed(keeper.study.plan.chunks):
            put(other, chunk, trained)
        assert contents(other.study) == contents(study)


@pytest.mark.parametrize("after", [0, 1, 64, 100])
def test_what_dies_while_it_packs_loses_nothing_and_the_next_one_ends_it(study, loose, monkeypatch, after):
    unlink, left = Path.unlink, [after]

    def die(self, **options):
        if self.name.startswith("chunk-"):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            if left[0] % 30 == 0:
                assert read(study)[0].equals(loose.results)
        unlink(self, **options)

    with owning(study.path) as keeper, monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            keeper.pack()
    assert len(list(study.path.rglob("chunk*"))) > 3 * 3
    for table, whole in zip(read(study), read(loose), strict=True):
        assert table.equals(whole)
    with owning(study.path) as keeper:
        keeper.pack()
    assert [sorted(files) for files in contents(study).values()] == 3 * [NAMES]
    for table, whole in zip(read(study), read(loose), strict=True):
        assert table.equals(whole)


def test_a_reader_finds_what_was_packed_since_it_looked(study, loose, monkeypatch):
    with owning(study.path) as keeper:
        reader, in_file = Study.load(study.path), Study.read

        def packed_meanwhile(self, file, remedy=None):
            if self is reader:
                keeper.pack()
            return in_file(self, file, remedy)

        monkeypatch.setattr(Study, "read", packed_meanwhile)
        assert reader.results.equals(loose.results)


def test_only_the_packs_of_the_runs_asked_for_are_read(study, monkeypatch):
    with owning(study.path) as keeper:
        keeper.pack()
    (study.path / "trajectories" / NAMES[-1]).write_bytes(b"torn")
    assert study.trajectories_of([1030]).height == study.trajectories_of([1030, 1055]).height / 2
    with pytest.raises(StudyError, match=rf"{NAMES[-1]} is damaged"):
        study.trajectories_of([1023])


def test_of_trajectories_only_the_columns_asked_for_are_read(study, loose):
    whole = loose.trajectories_of([0, 1030], ["train_loss"])
    assert whole.columns == ["run", "step", "train_loss"]
    assert whole.equals(loose.trajectories.filter(pl.col("run").is_in([0, 1030])).select(whole.columns))
    with owning(study.path) as keeper:
        keeper.pack()
    assert study.trajectories_of([0, 1030], ["train_loss"]).equals(whole)
    assert study.trajectories_of([], ["train_loss"]).schema == whole.schema


def test_a_damaged_pack_is_named_once_and_what_is_made_again_counts(study, loose, recwarn):
    with owning(study.path) as keeper:
        keeper.pack()
        sound, file = contents(study), study.path / "forecasts" / NAMES[-1]
        file.write_bytes(file.read_bytes()[:-100] + bytes(100))
        chunks, forecasts = keeper.study.plan.chunks, loose.forecasts
        lacking = [chunk for chunk in chunks if keeper.lacks_forecasts(chunk)]
        assert lacking == list(chunks[:64])
        assert [str(one.message).split(" is damaged")[0] for one in recwarn] == [str(file)]
        for chunk in lacking:
            keeper.keep_forecasts(chunk, forecasts[16 * chunk.number : 16 * chunk.number + 16])
        keeper.pack()
    assert contents(study) == sound


@pytest.mark.parametrize("name", ["chunks-00001-00064.parquet", "chunks-00064-00127.parquet", "chunks-0-63.parquet"])
def test_a_file_that_is_no_pack_of_the_study_is_named(study, name):
    shutil.copy(study.path / "results" / "chunk-00000.parquet", study.path / "results" / name)
    with pytest.raises(StudyError, match=rf"{name} is damaged \(the study has the chunks 0 to 65\); move it away"):
        study.results  # noqa: B018
    with pytest.raises(StudyError, match=rf"{name} is in the way"), owning(study.path):
        pass
