"""What the command compiles is kept for the next one: faster, never different, and never in the way."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from nucleate.cli.cache import LARGEST

pytestmark = pytest.mark.slow

FORECAST = ("forecast", "sine-5d", "--hidden", "4", "--gains", "0.1", "--budget", "50", "--json")


# What the command does before it computes, and a program of its own: a process that is there in a second.
SMALL = """
from nucleate.cli.cache import keep_compiled
keep_compiled()
import jax
print(jax.jit(lambda x: jax.numpy.sin(x) * jax.numpy.cos(x))(1.0), jax.numpy.zeros(3))
"""


def process(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    return subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
        env={**kept, **{name: str(value) for name, value in environment.items()}},
    )


def nucleate(**environment):
    return process("-m", "nucleate.cli", *FORECAST, **environment)


def small(**environment):
    return process("-c", SMALL, **environment)


def programs(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*-cache"))}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """What a forecast says that began with an empty cache, and the cache folder."""
    cache = tmp_path_factory.mktemp("cache")
    done = nucleate(XDG_CACHE_HOME=cache)
    return (done.stdout, done.stderr), cache


@pytest.fixture(scope="module")
def first_small(tmp_path_factory):
    """What a process says that began with an empty cache and compiled two programs, and the cache folder."""
    cache = tmp_path_factory.mktemp("cache")
    done = small(XDG_CACHE_HOME=cache)
    assert len(programs(cache)) > 1
    return (done.stdout, done.stderr), cache


def test_a_second_command_compiles_nothing_and_says_the_same(first):
    said, cache = first
    before = programs(cache)
    assert len(before) > 4
    again = nucleate(XDG_CACHE_HOME=cache)
    assert (again.stdout, again.stderr) == said
    assert programs(cache) == before


def test_two_commands_at_once_share_a_cache(first_small, tmp_path):
    said, _ = first_small
    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(lambda _: small(XDG_CACHE_HOME=tmp_path), range(2)))
    assert [(run.stdout, run.stderr) for run in runs] == [said] * 2


def test_damaged_programs_are_compiled_again(first_small, tmp_path):
    said, cache = first_small
    for number, path in enumerate(programs(cache)):
        copy = tmp_path / path.relative_to(cache)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes()[:100] if number % 2 else b"torn")
    run = small(XDG_CACHE_HOME=tmp_path)
    assert (run.stdout, run.stderr) == said


def test_where_no_cache_can_be_the_command_does_without(first_small, tmp_path):
    said, _ = first_small
    (tmp_path / "file").touch()
    run = small(XDG_CACHE_HOME=tmp_path / "file")
    assert (run.stdout, run.stderr) == said


def test_it_can_be_turned_off_and_moved(first_small, tmp_path):
    said, _ = first_small
    off = small(XDG_CACHE_HOME=tmp_path / "off", JAX_ENABLE_COMPILATION_CACHE=0)
    moved = small(
        XDG_CACHE_HOME=tmp_path / "unused",
        JAX_COMPILATION_CACHE_DIR=tmp_path / "moved",
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0,
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1,
    )
    assert off.stdout == moved.stdout == said[0]
    assert not programs(tmp_path / "off")
    assert not (tmp_path / "unused").exists()
    assert programs(tmp_path / "moved")


def test_what_was_used_longest_ago_goes_when_it_grows_too_large(first_small, tmp_path):
    said, cache = first_small
    copied = [tmp_path / path.relative_to(cache) for path in programs(cache)]
    copied[0].parent.mkdir(parents=True)
    for path in copied:
        path.write_bytes((cache / path.relative_to(tmp_path)).read_bytes())
    old = copied[0].with_name("old-cache")
    with old.open("wb") as file:
        file.truncate(LARGEST)
    os.utime(old, (0, 0))
    run = small(XDG_CACHE_HOME=tmp_path)
    assert (run.stdout, run.stderr) == said
    assert not old.exists()
    assert all(path.exists() for path in copied)
