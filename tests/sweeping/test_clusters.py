"""A dask cluster and a Ray cluster of real worker processes, one of which dies: the study is that of one machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nucleate import SpecError, StudyError, sweep
from nucleate.studies import Study
from nucleate.sweeping import DaskExecutor, RayExecutor
from tests.sealed import contents

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

GRID = {"gains": [0.7, 0.3], "seeds": 40, "hidden": [6, 5], "steps": 40, "evaluations": 6, "progress": False}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The study, made in this process: five chunks."""
    return contents(sweep("sine-5d", out=tmp_path_factory.mktemp("here") / "study", **GRID).path)


@pytest.fixture(scope="module")
def dask_cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def ray_cluster():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def die_once(grave, function, *arguments):
    """The call, unless nobody died yet: then the process that was to make it."""
    try:
        Path(grave).touch(exist_ok=False)
    except FileExistsError:
        return function(*arguments)
    return always_die()


def always_die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """An executor whose third call kills its worker, and at which another worker joins."""

    def __init__(self, inner, grave, join):
        self.inner, self.grave, self.join, self.calls = inner, str(grave), join, 0

    @property
    def workers(self):
        return self.inner.workers

    def submit(self, function, *arguments):
        self.calls += 1
        if self.calls != 3:
            return self.inner.submit(function, *arguments)
        self.join()
        return self.inner.submit(die_once, self.grave, function, *arguments)


def test_dask_with_a_worker_killed_and_another_joining(dask_cluster, here, tmp_path):
    with DaskExecutor(dask_cluster.scheduler_address) as dask:
        deadly = Deadly(dask, tmp_path / "grave", lambda: dask_cluster.scale(3))
        study = sweep("sine-5d", out=tmp_path / "study", executor=deadly, **GRID)
        assert dask.workers == 3
    assert (tmp_path / "grave").exists()
    assert study.missing == 0
    assert contents(study.path) == here


def test_ray_with_a_worker_killed_and_another_joining(ray_cluster, here, tmp_path):
    with RayExecutor(ray_cluster.address) as ray:
        deadly = Deadly(ray, tmp_path / "grave", lambda: ray_cluster.add_node(num_cpus=1))
        study = sweep("sine-5d", out=tmp_path / "study", executor=deadly, **GRID)
        assert ray.workers == 3
    assert (tmp_path / "grave").exists()
    assert study.missing == 0
    assert contents(study.path) == here


def test_dasks_own_executor_will_do(dask_cluster, here, tmp_path):
    from distributed import Client

    with Client(dask_cluster.scheduler_address, set_as_default=False) as client:
        study = sweep("sine-5d", out=tmp_path / "study", executor=client.get_executor(), **GRID)
    assert contents(study.path) == here


class Fatal:
    def __init__(self, inner):
        self.inner = inner

    def submit(self, function, *arguments):
        return self.inner.submit(always_die)


def test_a_call_at_which_every_worker_dies_is_given_up(ray_cluster, tmp_path):
    with RayExecutor(ray_cluster.address) as ray, pytest.raises(StudyError, match=r"4 workers died at it.*memory"):
        sweep("sine-5d", out=tmp_path / "study", executor=Fatal(ray), **GRID)


def test_the_command_goes_on_after_its_driver_was_killed(dask_cluster, here, tmp_path):
    flags = ["--gains", "0.7,0.3", "--seeds", "40", "--hidden", "6,5", "--steps", "40", "--evaluations", "6"]
    command = [sys.executable, "-m", "nucleate.cli", "sweep", "sine-5d", *flags, "--out", str(tmp_path / "study")]
    command += ["--dask", dask_cluster.scheduler_address]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "study" / "results").glob("chunk*")) and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert Study.load(tmp_path / "study").missing == 0
    assert contents(tmp_path / "study") == here


@pytest.mark.parametrize(
    ("kind", "module", "what"), [(DaskExecutor, "distributed", "dask scheduler"), (RayExecutor, "ray", "Ray cluster")]
)
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "", "tcp://", "127.0.0.1:x", "127.0.0.1:99999999"])
def test_where_nothing_answers(kind, module, what, address):
    pytest.importorskip(module)
    with pytest.raises(
        SpecError, match=f"^No {what} answers at '{address}' .*; give it as HOST:PORT, and start one with"
    ):
        kind(address)


@pytest.mark.parametrize(("kind", "module"), [(DaskExecutor, "distributed"), (RayExecutor, "ray")])
def test_what_is_no_address_is_told_apart_from_one_where_nothing_answers(kind, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(is_initialized=lambda: False))
    for address in ("nowhere", "tcp://", ":80", "localhost:", "localhost:99999", "ray://localhost:80/"):
        with pytest.raises(SpecError, match=r"\(it has no host and port\); give it as HOST:PORT, and start one with `"):
            kind(address)
    with pytest.raises(SpecError, match="The address of a cluster is None; give it as a string HOST:PORT"):
        kind(None)
    with pytest.raises(SpecError, match="refused"):
        kind("tcp://[::ffff:127.0.0.1]:1")


def test_the_command_that_starts_ray_is_one_in_python_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    with pytest.raises(SpecError, match="start one with `ray start '--head'`"):
        RayExecutor("nowhere")


@pytest.mark.parametrize(
    ("kind", "module", "extra"), [(DaskExecutor, "distributed", "dask"), (RayExecutor, "ray", "ray")]
)
def test_what_is_not_installed_is_named(kind, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        SpecError, match=rf"{module} is not installed; install it with: pip install 'nucleate\[{extra}\]'"
    ):
        kind("127.0.0.1:1")
