"""How long commands and first calls take from cold: each in a process of its own, imports and compiling included.

    make bench BENCHMARK=cold

"First ever" begins with an empty cache of compiled programs, "second" is the same again. Python's own calls keep no
cache unless told to (`JAX_COMPILATION_CACHE_DIR`), so for them the second is a second call in the same process. The
package's byte code is compiled before, as it is when the package is installed.
Rivals do the same training: full batches, tanh, two hidden layers, as many steps of the same optimizer on the same
rows, without nucleate's forecasts, measures and files. Times are medians over the rounds.
"""

import argparse
import compileall
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "`nucleate problems`": "problems",
    "`nucleate forecast`, one network of 50, 50": "forecast diabetes --hidden 50,50 --epsilons 0.01 --lrs 0.1",
    "`nucleate sweep`, four runs of 500 steps": "sweep diabetes --gains 1,0.1 --lrs 0.1,0.05 --steps 500",
    "`nucleate train`, 5000 steps at 128, 128": "train diabetes",
}
ROWS = """
import time
began = time.perf_counter()
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
x, y = load_diabetes(return_X_y=True, scaled=False)
x, y = StandardScaler().fit_transform(x)[:331], ((y - y.mean()) / y.std())[:331]
"""
TWICE = """
fit()
first = time.perf_counter() - began
fit()
print(first, time.perf_counter() - began - first)
"""
FITS = {
    "`CondensedRegressor().fit`, 331 rows, 3000 steps of Adam at 64, 64": """
from nucleate import CondensedRegressor
def fit():
    CondensedRegressor().fit(x, y)
""",
    "scikit-learn's `MLPRegressor`, the same training": """
import warnings
from sklearn.neural_network import MLPRegressor
warnings.simplefilter("ignore")
def fit():
    MLPRegressor(hidden_layer_sizes=(64, 64), activation="tanh", alpha=0, batch_size=len(x), learning_rate_init=0.01,
                 max_iter=3000, tol=0, n_iter_no_change=3000, random_state=0).fit(x, y)
""",
    "PyTorch, the same training": """
import torch
def fit():
    rows, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y[:, None], dtype=torch.float32)
    sizes = [x.shape[1], 64, 64, 1]
    layers = [torch.nn.Linear(*pair) for pair in zip(sizes, sizes[1:])]
    network = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(3000):
        optimizer.zero_grad()
        (0.5 * ((network(rows) - targets) ** 2).mean()).backward()
        optimizer.step()
""",
}


def seconds_of_command(arguments: str) -> list[float]:
    """Of the first call ever, and of the second."""
    with tempfile.TemporaryDirectory() as folder:
        environment = environment_of(Path(folder) / "cache")
        times = []
        for call in ("first", "second"):
            where = Path(folder) / call
            where.mkdir()
            start = time.perf_counter()
            command = [sys.executable, "-m", "nucleate.cli", *arguments.split()]
            subprocess.run(command, check=True, capture_output=True, cwd=where, env=environment)
            times.append(time.perf_counter() - start)
    return times


def seconds_of_fits(code: str) -> list[float]:
    """Of the first fit in a process, imports included, and of the second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", ROWS + code + TWICE]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment_of(Path(folder)))
    return list(map(float, said.stdout.split()))


def environment_of(cache: Path) -> dict[str, str]:
    """This one, without settings of JAX's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    return kept | {"XDG_CACHE_HOME": str(cache)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    # What an installer does, and what a checkout whose Python keeps no byte code lacks.
    spec = importlib.util.find_spec("nucleate")
    compileall.compile_dir(spec.submodule_search_locations[0], quiet=2)
    print("| what | first ever, s | second, s |\n|---|---|---|")
    # Files are read from the disk once before anything is timed.
    seconds_of_command("problems")
    work = [(name, seconds_of_command, arguments) for name, arguments in COMMANDS.items()]
    work += [(name, seconds_of_fits, code) for name, code in FITS.items()]
    for name, measure, what in work:
        if name.startswith("PyTorch") and importlib.util.find_spec("torch") is None:
            print(f"| {name} | not installed | |")
            continue
        times = [measure(what) for _ in range(rounds)]
        first, second = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {first:.2f} | {second:.2f} |", flush=True)


if __name__ == "__main__":
    main()
