"""A fuzz of command lines and of damaged studies, and what must never happen in it: tracebacks, silence, raw messages.

    python benchmarks/attack.py --commands 1000 --studies 300

Line k is the same at every run with the same seed, so that ``--first 700 --commands 50`` repeats a part. Most lines are
asked in this process, and one in fifty as a process of its own. `attack_studies.py` damages the studies.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from nucleate.cli import main

SECONDS = 120
SMALL = ["--hidden", "2", "--steps", "2", "--evaluations", "4"]
NUMBERS = ["0", "-1", "-0.0", "1e400", "1e-400", "nan", "inf", "-inf", "", " ", "x", "1,", ",1", "1;2", "0x10", "1_0"]
NUMBERS += [
    "9" * 400,
    "9" * 5000,
    "-" + "9" * 30,
    "２",
    "٣",
    "1e9999",
    "[red]",
    "\x1b[2J",
    "--",
    "-",
    "true",
    "1.5",
    "None",
]
TEXTS = [
    "",
    " ",
    "x",
    "tanhh",
    "TANH",
    "none ",
    "squard",
    "float31",
    "日本",
    "[/bold]",
    "\x1b[31m",
    "a\u202eb",
    "\r",
    "\x07",
]
TEXTS += [
    "None",
    "nan",
    "a" * 300,
    "'",
    '"',
    "--json",
    "-",
    "é",
    "\U0001f600",
    "$HOME",
    "{x}",
    "%s",
    "\\",
    "select",
    "ja",
]
PATHS = [
    "",
    ".",
    "..",
    "/",
    "/dev/null",
    "/dev/zero",
    "absent.csv",
    "a" * 256 + ".csv",
    "/".join(["a"] * 3000),
    "é" * 128,
]
PATHS += [
    "x[/bold].csv",
    "\x1b[2J.csv",
    "日本.csv",
    "a\u202eb.csv",
    "own.csv",
    "own.csv/x",
    "odd.toml",
    "study",
    "~",
    "-x",
]
PATHS += [
    "empty.csv",
    "folder",
    "loop",
    "closed.parquet",
    "huge.csv",
    "nul\0.csv",
    "\udcff.csv",
    "http://x/y.csv",
    "a b.csv",
]
FLAGS_OF_NUMBERS = [
    "--steps",
    "--batch-size",
    "--evaluations",
    "--seeds",
    "--seed",
    "--lr",
    "--lrs",
    "--gain",
    "--gains",
]
FLAGS_OF_NUMBERS += [
    "--epsilon",
    "--epsilons",
    "--gamma",
    "--gammas",
    "--hidden",
    "--momentum",
    "--split-seed",
    "--budget",
]
FLAGS_OF_NUMBERS += ["--run", "--tolerance", "--fine-tune", "--distill"]
FLAGS_OF_TEXTS = [
    "--target",
    "--task",
    "--loss",
    "--decimal",
    "--thousands",
    "--missing",
    "--encoding",
    "--sheet",
    "--bias",
]
FLAGS_OF_TEXTS += ["--activation", "--dtype", "--optimizer", "--method", "--lang", "--kind"]
FLAGS_ALONE = [
    "--json",
    "--json",
    "--json",
    "--help",
    "--drop-missing",
    "--early-stopping",
    "--quick",
    "--chek",
    "--outt",
]
RAW = re.compile(
    "Input should|validation error|unable to parse|Invalid value for|No such option|No such command|unexpected extra|"
    "Missing argument|Missing option|requires an argument|pydantic|Errno|Field required|not permitted|embedded null"
)
REMEDY = re.compile(
    r"; |must be|did you mean|[Cc]hoose|needs|[Gg]ive|[Uu]se |exactly one|[Pp]ass|leave|ulimit|begins anew"
)
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def make_files(folder: Path) -> None:
    """Data, a study and odd things that the command lines name."""
    rows = [f"{k},{k % 5},{k % 7}" for k in range(60)]
    for name, header in {
        "own.csv": "a,b,price",
        "x[/bold].csv": "[red]a,b[/red],price[/bold]",
        "日本.csv": "面積,築年数,価格",
        "\x1b[2J.csv": "a\x1b[2J,b\u202e,\x07price",
        "a b.csv": "a b,c d,e f",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join([header, *rows]), "utf-8")
    (folder / "huge.csv").write_text("\n".join(["a,b,price", "9" * 400 + ",1,2", *rows]))
    (folder / "empty.csv").touch()
    (folder / "closed.parquet").write_bytes(b"PAR1")
    (folder / "odd.toml").write_text('data = "own.csv"\nstpes = [[]]\n')
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    ask(["sweep", "own.csv", *SMALL, "--gains", "1", "--out", "study"], folder)


def command_line(chance: random.Random) -> list[str]:
    """One command with what it needs, some flags with odd values, and sometimes flags of other commands."""
    path = chance.choice(PATHS)
    start = chance.choice(
        [
            ["train", chance.choice(["sine-5d", "own.csv", path]), *SMALL],
            ["sweep", chance.choice(["sine-5d", "own.csv", path]), *SMALL, "--gains", "1"],
            ["forecast", chance.choice(["sine-5d", path]), "--hidden", "2", "--gains", "0.5", "--budget", "20"],
            ["train", "--spec", path, *SMALL],
            ["reduce", chance.choice(["study", path, path])],
            ["report", chance.choice(["study", path])],
            ["plot", chance.choice(["study", path])],
            ["predict", path, chance.choice(PATHS)],
            ["reproduce", chance.choice(["list", *(text for text in TEXTS if text not in ("all", ""))])],
            ["problems"],
            [
                chance.choice(
                    ["", "tarin", "plots", "--version", "--help", "--nope", "-h", "日本", "\x1b[2J", "demo x", "--"]
                )
            ],
            ["demo", chance.choice(["x", "--nope", "--help", "--outt"])],
        ]
    )
    odd = []
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        kind = chance.randrange(4)
        if kind == 0:
            odd += [chance.choice(FLAGS_OF_NUMBERS), chance.choice(NUMBERS)]
        elif kind == 1:
            odd += [chance.choice(FLAGS_OF_TEXTS), chance.choice(TEXTS)]
        else:
            odd += [chance.choice(FLAGS_ALONE)]
    # Devices as targets of --out are tried by attack_studies.py.
    if chance.random() < 0.2:
        odd += ["--out", chance.choice([one for one in PATHS if not one.startswith("/dev")])]
    return [*start, *odd]


@contextmanager
def no_longer_than(seconds: int):
    def too_long(*_):
        raise TimeoutError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ask(arguments: list[str], folder: Path) -> tuple[int | None, str, str]:
    """The command's exit code, output and error, asked in this process."""
    printed, said = StringIO(), StringIO()
    with (
        chdir(folder),
        patch.object(sys, "argv", ["nucleate", *arguments]),
        patch.object(sys, "stdin", StringIO()),
        redirect_stdout(printed),
        redirect_stderr(said),
    ):
        try:
            with no_longer_than(SECONDS):
                main()
        except SystemExit as left:
            return left.code, printed.getvalue(), said.getvalue()
        except BaseException as error:
            return None, printed.getvalue(), f"Traceback (most recent call last): {type(error).__name__}: {error}"
    return None, printed.getvalue(), said.getvalue()


def ask_process(arguments: list[str], folder: Path) -> tuple[int | None, str, str]:
    """The same of a process of its own."""
    command = [sys.executable, "-m", "nucleate", *arguments]
    done = subprocess.run(
        command, capture_output=True, cwd=folder, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False
    )
    return (
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )


def faults(arguments: list[str], code: int | None, printed: str, said: str) -> list[str]:
    """What must not be, of one answer."""
    found = []
    # What another library prints while it works is not the command's sentence.
    sentence = next((line for line in reversed(said.splitlines()) if line.startswith("nucleate: ")), "")
    if "Traceback" in said or code is None:
        found.append("traceback")
    if code not in (0, 2):
        found.append(f"exit code {code}")
    if code == 0 and not printed.strip():
        found.append("exit code 0 without output")
    if code == 2 and not sentence:
        found.append("refused in silence")
    if "--json" in arguments:
        found += [] if _is_one_object(printed, code) else ["not one JSON object"]
    elif UNSAFE.search(printed):
        found.append("raw control character")
    if UNSAFE.search(sentence):
        found.append("raw control character")
    if RAW.search(sentence):
        found.append("a library's message")
    if code == 2 and not REMEDY.search(sentence):
        found.append("no remedy")
    return found


def _is_one_object(printed: str, code: int | None) -> bool:
    def refuse(constant: str):
        raise ValueError(constant)

    try:
        content = json.loads(printed, parse_constant=refuse)
    except ValueError:
        return False
    return isinstance(content, dict) and ("error" in content) == (code != 0)


def attack_commands(count: int, first: int, seed: int, folder: Path, every: int = 50) -> tuple[Counter, Counter]:
    """Exit codes and faults of so many command lines; each fault is printed with its line."""
    codes, wrong = Counter(), Counter()
    for number in range(first, first + count):
        chance = random.Random(f"{seed}-{number}")
        arguments = command_line(chance)
        in_argv = not any("\0" in one for one in arguments)
        answer = (ask_process if every and number % every == 0 and in_argv else ask)(arguments, folder)
        codes[answer[0]] += 1
        for fault in faults(arguments, *answer):
            wrong[fault] += 1
            shown = [one if len(one) < 60 else f"{one[:20]}...{len(one)}" for one in arguments]
            print(f"{number}: {fault}: {shown}\n    {answer[2][-300:]!a}", flush=True)
    return codes, wrong


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        codes, wrong = attack_commands(given.commands, given.first, given.seed, Path(folder))
    print(
        f"{given.commands} command lines: {', '.join(f'{count} x exit code {code}' for code, count in codes.items())}"
    )
    for fault in ("traceback", "exit code 0 without output", "not one JSON object", "a library's message", "no remedy"):
        print(f"    {fault}: {wrong.pop(fault, 0)}")
    for fault, count in wrong.items():
        print(f"    {fault}: {count}")
    if given.studies:
        from attack_studies import attack

        counted = attack(given.studies, given.seed)
        for name in dict.fromkeys(name for name, _ in counted):
            found = ", ".join(f"{number} x {what}" for (of, what), number in counted.items() if of == name)
            print(f"{name} on damaged studies: {found}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run()
