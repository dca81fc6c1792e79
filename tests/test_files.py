"""Files appear whole or not at all, only where a file can be, and what is read is what was written."""

import os
import resource
import socket

import numpy as np
import pytest
from safetensors.numpy import load, save

from nucleate import NucleateError
from nucleate._files import (
    check_file,
    check_folder,
    check_seal,
    make_folder,
    parse_json,
    parse_tensors,
    read_file,
    read_json,
    read_sealed,
    seal_tensors,
    write_atomically,
    write_json,
)


@pytest.fixture
def places(tmp_path):
    """What is no file, by its kind."""
    (tmp_path / "a folder").mkdir()
    os.mkfifo(tmp_path / "a FIFO")
    bound = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tmp_path)
    bound.bind("a socket")
    os.chdir(here)
    (tmp_path / "a symbolic link that leads nowhere").symlink_to("a symbolic link that leads nowhere")
    kinds = ("a folder", "a FIFO", "a socket", "a symbolic link that leads nowhere")
    yield {kind: tmp_path / kind for kind in kinds} | {"a device": "/dev/full"}
    bound.close()


KINDS = ["a folder", "a FIFO", "a socket", "a symbolic link that leads nowhere", "a device"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_and_stays(places, kind, tmp_path):
    before = os.lstat(places[kind]).st_mode
    link = tmp_path / "link"
    link.symlink_to(places[kind])
    for path in (places[kind], link):
        for refuse in (check_file, lambda path: write_atomically(path, b"new")):
            with pytest.raises(NucleateError, match=rf"cannot be written \(it is {kind}\); choose another file"):
                refuse(type(tmp_path)(path))
    with pytest.raises(OSError, match=f"it is {kind}, not a file" if "link" not in kind else "Too many levels"):
        read_file(places[kind])
    assert os.lstat(places[kind]).st_mode == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "a folder"])
def test_what_is_no_folder_is_refused(places, kind, tmp_path):
    for path in (places[kind], tmp_path / places[kind] / "below"):
        for refuse in (check_folder, make_folder):
            with pytest.raises(NucleateError, match=rf"cannot be made \(.* is {kind}\); choose another"):
                refuse(path)


def test_links_are_followed_and_stay(tmp_path):
    (tmp_path / "far").mkdir()
    for name in ("there.txt", "new.txt"):
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    (tmp_path / "far" / "there.txt").write_text("old")
    for name in ("there.txt", "new.txt"):
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "far" / name).read_text() == "new"
    (tmp_path / "folder").symlink_to(tmp_path / "far" / "made")
    make_folder(tmp_path / "folder" / "below")
    assert (tmp_path / "far" / "made" / "below").is_dir()


def test_checking_leaves_nothing(tmp_path):
    check_file(tmp_path / "file")
    check_folder(tmp_path / "folder" / "below")
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_leaves_the_old_file_and_nothing_half_written(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            NucleateError,
            match=r"cannot be written \(File too large\); check the folder, its rights and the room there",
        ):
            write_atomically(file, b"new" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert file.read_bytes() == b"old"


def test_json_comes_back_and_every_changed_byte_is_noticed(tmp_path):
    file, content = tmp_path / "a.json", {"name": "凝縮", "loss": 0.25}
    write_json(file, content, "a.json")
    assert read_json(file, "a.json") == content
    good = file.read_bytes()
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            read_sealed(file)


def test_a_file_in_the_place_of_another_is_noticed(tmp_path):
    write_json(tmp_path / "a.json", {}, "a.json@1234")
    with pytest.raises(ValueError, match=r"it is another file, a\.json@1234"):
        read_json(tmp_path / "a.json", "b.json@1234")


def test_what_looks_like_a_checksum_in_the_data_does_not_count(tmp_path):
    told = {"column": f"sha256:{'ab' * 32} of a.json;"}
    write_json(tmp_path / "a.json", told)
    assert read_json(tmp_path / "a.json") == told


def test_sealed_tensors_are_read_by_everyone_and_can_be_sealed_anew():
    tensors = {"a": np.arange(6.0).reshape(2, 3), "b": np.zeros(0, "float32")}
    once = seal_tensors(save(tensors, {"told": "something"}), "a")
    twice = seal_tensors(once, "b")
    check_seal(twice, "b")
    assert parse_tensors(twice)[1]["told"] == "something"
    for content in (once, twice):
        assert all(np.array_equal(load(content)[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[" * 100_000, "it is nested too deeply|it is not valid JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "it is not valid JSON"),
        (b"\xff\xfe", "it is not valid JSON"),
        (b"null", "it is not a JSON object"),
    ],
)
def test_what_is_no_json_object_is_said(content, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_json(content)
