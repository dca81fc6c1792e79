"""What only a process shows: signals at any moment, closed and full streams, and odd surroundings."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "nucleate"]
LONG = ["train", "sine-5d", "--hidden", "20", "--steps", "2000000000", "--out", "study"]
ANEW = "nothing is kept. The same command begins anew.\n"
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def heeds_hangups():
    """Under nohup the tests ignore SIGHUP, and so would the processes that they start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def nucleate(*arguments, shell="", **options):
    """A process's exit code, output and error; ``shell`` is what a shell appends, such as ``>&-``."""
    words = ["bash", "-c", f'"$@" {shell}', "bash", *COMMAND, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


def started(arguments, cwd):
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)


def wait_for_training(study, process):
    """Until the command has told, in the folder, of steps that it has taken."""
    told = study / ".owner.json"
    while not (told.exists() and json.loads(told.read_text())["progress"].get("share")):
        assert process.poll() is None, "the command ended before it could be interrupted"
        time.sleep(0.01)


SIGNALLED = """
import signal, sys

class Signalled:
    def find_spec(self, name, *_):
        if name == self.at:
            signal.raise_signal(int(self.number))
            signal.pause()

sys.meta_path.insert(0, Signalled())
sys.argv[1:3], (Signalled.at, Signalled.number) = [], sys.argv[1:3]
from nucleate.cli import main
main()
"""


@pytest.mark.parametrize(
    ("imported", "number"),
    [
        ("nucleate._interrupts", signal.SIGINT),
        ("nucleate.cli.ending", signal.SIGTERM),
        ("typer", signal.SIGHUP),
        ("polars", signal.SIGINT),
        ("jax._src.core", signal.SIGINT),
        ("optax", signal.SIGTERM),
    ],
)
def test_a_signal_in_the_midst_of_an_import_has_its_sentence(tmp_path, number, imported):
    command = [sys.executable, "-c", SIGNALLED, imported, str(int(number)), *LONG, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=100)
    assert done.returncode == EXIT_CODES[number], done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("Interrupted", EXIT_CODES[number])
    assert done.stderr == f"\nnucleate: {error['message']}\n"


@pytest.mark.parametrize("number", EXIT_CODES)
def test_while_a_run_is_trained_it_is_kept_and_the_same_command_goes_on(tmp_path, number):
    with started(LONG, tmp_path) as process:
        wait_for_training(tmp_path / "study", process)
        process.send_signal(number)
        said = process.communicate()[1]
    assert process.returncode == EXIT_CODES[number]
    assert "Traceback" not in said
    assert "what is done is kept in study. The same command goes on from there." in said.splitlines()[-1]
    assert list((tmp_path / "study" / "checkpoints").iterdir())


def test_a_second_signal_ends_it_at_once(tmp_path):
    with started(LONG, tmp_path) as process:
        wait_for_training(tmp_path / "study", process)
        process.send_signal(signal.SIGINT)
        # Another one, at once: two alike may arrive as one, and a later one too late.
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode in {130, 143}  # of two at once, the system chooses the order
    assert said.endswith("nucleate: interrupted; putting away what is done. Once more ends it at once.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["problems"],
        ["forecast", "diabetes", "--hidden", "60,60,60", "--seeds", "9"],
        ["demo", "--out", "absent/demo"],
        ["reproduce", "low-rank", "--out", "absent/reproduce"],
        ["report", "study"],
        ["plot", "study"],
        ["reduce", "study"],
        ["predict", "model.onnx", "rows.csv"],
    ],
)
def test_every_command_ends_so(tmp_path, arguments):
    command = [sys.executable, "-c", SIGNALLED, "nucleate.cli.flags", str(int(signal.SIGTERM)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=100)
    assert done.returncode == 143
    assert done.stderr.endswith("The same command begins anew.\n")
    assert "Traceback" not in done.stderr


def test_what_is_measured_when_it_is_interrupted_leaves_nothing_half_done(tmp_path):
    command = ["reproduce", "blow-up", "--quick", "--out", "claims"]
    with started(command, tmp_path) as process:
        # The folder is made before anything is measured.
        while not (tmp_path / "claims").exists():
            assert process.poll() is None, "the command ended before it could be interrupted"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        told, said = process.communicate()
    assert (process.returncode, told) == (130, "")
    assert said.endswith("nucleate: interrupted; " + ANEW)
    assert "Traceback" not in said
    assert not list((tmp_path / "claims").iterdir())
    again = nucleate(*command, cwd=tmp_path)
    assert again.stdout.startswith("blow-up: holds\n"), again.stderr


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    with started(["problems"], tmp_path) as process:
        assert process.communicate()[0]
    ignoring = "trap '' HUP; "
    script = f'{ignoring}"$@" & sleep 0.5; kill -HUP $!; wait $!'
    done = subprocess.run(["bash", "-c", script, "bash", *COMMAND, "problems"], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout


@pytest.mark.parametrize("arguments", [["problems"], ["problems", "--json"], ["--help"]])
@pytest.mark.parametrize(
    ("shell", "exit_code", "says"),
    [
        (">&-", 2, "nucleate: Standard output is closed; send it to a file, or to /dev/null.\n"),
        (
            ">/dev/full",
            2,
            "nucleate: The result cannot be written to standard output (No space left on device); send it elsewhere.\n",
        ),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&-", 0, ""),
        (">&- 2>&- <&-", 2, ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_closed_and_full_streams_end_it_quietly(arguments, shell, exit_code, says):
    # The reader must be gone before the command prints.
    done = nucleate(*arguments, shell=shell)
    assert (done.returncode, done.stderr) == (exit_code, says)


@pytest.mark.parametrize(
    ("variable", "value", "exit_code", "says"),
    [
        ("JAX_PLATFORMS", "abacus", 2, "nucleate: JAX cannot use JAX_PLATFORMS='abacus'; unset it.\n"),
        (
            "JAX_PLATFORMS",
            "cuda",
            2,
            "nucleate: JAX cannot compute on JAX_PLATFORMS='cuda'; unset it, or set it to cpu.\n",
        ),
        ("JAX_ENABLE_X64", "perhaps", 2, "nucleate: JAX cannot use JAX_ENABLE_X64='perhaps'; unset it.\n"),
        ("HOME", "/nonexistent", 0, ""),
    ],
)
def test_odd_surroundings_are_a_sentence_or_no_hindrance(variable, value, exit_code, says):
    arguments = ["forecast", "sine-5d", "--hidden", "2", "--gains", "0.5", "--budget", "20"]
    # What draws figures elsewhere hinders nothing either.
    done = nucleate(*arguments, env=os.environ | {"MPLBACKEND": "abacus", variable: value})
    assert done.returncode == exit_code, done.stderr
    assert says in done.stderr


@pytest.mark.parametrize("kilobytes", [500_000, 1_000_000, 2_000_000])
def test_too_few_addresses_are_refused_before_anything_aborts(kilobytes):
    script = f'ulimit -v {kilobytes}; "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, "train", "sine-5d"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "GB of addresses, and computing takes 4; raise the limit with ulimit -v.\n" in done.stderr


def test_where_the_terminal_has_no_unicode_texts_are_escaped_and_json_is_json(tmp_path):
    bare = os.environ | {"PYTHONIOENCODING": "ascii"}
    text = nucleate("problems", "日本.csv", cwd=tmp_path, env=bare)
    assert (text.returncode, text.stdout) == (2, "")
    assert text.stderr == "nucleate: There is no file \\u65e5\\u672c.csv; check the path.\n"
    answer = nucleate("problems", "日本.csv", "--json", cwd=tmp_path, env=bare).stdout
    assert answer.isascii()
    assert json.loads(answer)["error"]["message"] == "There is no file 日本.csv; check the path."


def test_an_argument_that_is_no_text_is_refused(tmp_path):
    done = subprocess.run([*COMMAND, "train", b"caf\xe9.csv"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nucleate: The argument caf\\xe9.csv is no text in this locale's encoding utf-8; rename" in done.stderr
