"""Processes of this machine that train: the folder's bits are those of one process, and none outlives who began it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nucleate import SpecError, devices, sweep
from nucleate.studies import Study
from nucleate.sweeping import ProcessExecutor
from tests.cli.asking import ask
from tests.sealed import contents

pytestmark = pytest.mark.slow

GRID = {"gains": [0.7, 0.3], "seeds": 17, "hidden": [4], "steps": 10, "evaluations": 4}
FLAGS = ["sine-5d", "--gains", "0.7,0.3", "--seeds", "17", "--hidden", "4", "--evaluations", "4"]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The study, made in this process: three chunks, of 16, 16 and 2 runs."""
    return contents(sweep("sine-5d", out=tmp_path_factory.mktemp("here") / "study", progress=False, **GRID).path)


def cores():
    """How many a process goes by, and how many XLA is told."""
    return devices.CORES, os.environ["NPROC"]


def test_each_has_its_share_of_the_cores():
    share = max(1, devices.CORES // 2)
    with ProcessExecutor(2) as processes:
        assert processes.submit(cores).result() == (share, str(share))


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_their_number_is_a_whole_one(count):
    with pytest.raises(SpecError, match=r"processes.* is .*; give a whole number from 1 on\."):
        ProcessExecutor(count)


@pytest.fixture
def command(tmp_path):
    """A command that trains for minutes in two processes, and is in the midst of it; in a session of its own."""
    words = [sys.executable, "-m", "nucleate", "sweep", *FLAGS, "--steps", "2000000", "--processes", "2"]
    words += ["--out", str(tmp_path / "study")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    while children(process) < 3:  # the two, and the one by which Python keeps book of them
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    yield process
    process.wait()
    process.stderr.close()


def children(process):
    return len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())


def wait_until_alone(process):
    """Until nobody is left of the command's session."""
    for _ in range(1000):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("somebody goes on")


def test_ctrl_c_ends_all_of_them_at_once_with_one_sentence(command, tmp_path):
    os.killpg(command.pid, signal.SIGINT)
    said = command.communicate()[1].decode()
    assert command.returncode == 130
    assert said.splitlines()[-1].endswith("The same command goes on from there.")
    assert "Traceback" not in said
    wait_until_alone(command)
    assert Study.load(tmp_path / "study").missing == 34


def test_where_the_command_is_killed_none_of_them_goes_on(command):
    command.kill()
    command.communicate()
    wait_until_alone(command)


def test_the_command_takes_one_place_to_train_at(here, tmp_path):
    done = ask("sweep", *FLAGS, "--steps", "10", "--processes", "2", "--out", tmp_path / "study", "--json")
    assert json.loads(done.stdout)["results"][33]["status"] == "finished"
    assert contents(tmp_path / "study") == here
    two = ask("sweep", *FLAGS, "--processes", "2", "--dask", "127.0.0.1:8786", "--json")
    assert json.loads(two.stdout)["error"]["message"].startswith("--dask and --processes each say where runs are")
    gpu = ask("sweep", *FLAGS, "--processes", "2", "--device", "gpu", "--json")
    assert "--processes trains on the CPU, and --device is gpu" in json.loads(gpu.stdout)["error"]["message"]
