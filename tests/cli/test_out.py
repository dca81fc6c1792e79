"""`--out` of every verb: what is no file or no folder is refused before any work is done, and stays what it is."""

import os

import pytest

from nucleate import load_problem, sweep
from nucleate.cli import main
from nucleate.network import InitScale, Network

FILES = {
    "report": ("report", "study"),
    "plot": ("plot", "study"),
    "reduce": ("reduce", "study"),
    "predict": ("predict", "model.safetensors", "data.csv"),
}
ENDINGS = {"report": "html", "plot": "png", "reduce": "onnx", "predict": "csv"}
FOLDERS = {"sweep": ("sweep", "sine-5d"), "reproduce": ("reproduce", "blow-up", "--quick"), "demo": ("demo",)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    sweep("sine-5d", gains=[1.0], hidden=[4], steps=10, evaluations=4, out=folder / "study", progress=False)
    preprocessing = load_problem("sine-5d").preprocessing.to_json()
    network = Network.create(5, [4], 1, scale=InitScale("gain", 1.0))
    network.save(folder / "model.safetensors", {"preprocessing": preprocessing})
    (folder / "data.csv").write_text("x1,x2,x3,x4,x5\n1,2,3,4,5\n")
    for ending in (*ENDINGS.values(), "d"):
        (folder / f"device.{ending}").symlink_to("/dev/full")
        (folder / f"folder.{ending}").mkdir()
        os.mkfifo(folder / f"fifo.{ending}")
    (folder / "file.d").touch()
    return folder


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """Runs a command that must be refused; gives what it said."""

    def run(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["nucleate", *arguments])
        before = sorted((path.name, os.lstat(path).st_mode) for path in folder.rglob("*"))
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2
        assert sorted((path.name, os.lstat(path).st_mode) for path in folder.rglob("*")) == before
        told = capsys.readouterr()
        assert not told.out
        (line,) = told.err.strip().splitlines()
        return line

    return run


@pytest.mark.parametrize("kind", ["device", "folder", "fifo"])
@pytest.mark.parametrize("verb", FILES)
def test_a_verb_that_writes_a_file_refuses_what_is_none(refused, monkeypatch, verb, kind):
    for work in ("reporting.page._contents", "reduction.reduce_study", "exports.predict", "figures.phase_map"):
        monkeypatch.setattr(f"nucleate.{work}", None)
    line = refused(*FILES[verb], "--out", f"{kind}.{ENDINGS[verb]}")
    said = {"device": "a device", "folder": "a folder", "fifo": "a FIFO"}[kind]
    assert f"cannot be written (it is {said}); choose another file." in line


@pytest.mark.parametrize("kind", ["device", "file", "fifo"])
@pytest.mark.parametrize("verb", FOLDERS)
def test_a_verb_that_writes_a_folder_refuses_what_is_none(refused, monkeypatch, verb, kind):
    for work in ("sweeping.runner.train_chunks", "experiments.reproduction._run", "demo.forecast_plateaus"):
        monkeypatch.setattr(f"nucleate.{work}", None)
    assert f"{kind}.d" in refused(*FOLDERS[verb], "--out", f"{kind}.d")
