"""What PyTorch models still do at half and a quarter of their units: nucleate.reduce beside Torch-Pruning.

    make bench BENCHMARK=torch_reduction

Three kinds of models (`benchmarks/torch_models.py`): a CNN and a ResNet on handwritten digits, a small GPT on anchor
functions. Each starts at gain 1 and at gain 0.3, for three seeds of start, split and order, and is trained by Adam.
Then nucleate keeps a share of the units of each layer that can be narrowed, and Torch-Pruning prunes the trained model
to the same widths: by L2 norm and by Taylor importance, at once and in five stages. All are judged as they are, and
after the same epoch of fine-tuning, of which those in stages spend a fifth behind each stage. A rival has the means and
variances of its batch norms measured anew on the training rows, a pass without labels, which helps it.

The test rows are looked at once, at the end. Trained models and finished cells are kept in the folder
``torch-reduction-benchmark``; the same command goes on where it stood. ``--quick`` takes one seed and a quarter alone,
``--seconds`` only times the reduction of the CNN.
"""

import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_pruning
from torch import nn
from torch.nn import functional
from torch_models import TASKS, Rows, accuracy, train

import nucleate
from nucleate import InitScale
from nucleate.reduction import ModuleReduction

FOLDER = Path("torch-reduction-benchmark")
GAINS, SEEDS, SHARES, EPOCHS, STAGES, RATE = (1.0, 0.3), 3, (0.5, 0.25), (0, 1), 5, 1e-3
OURS, SHARE_OF_LOSS, SECONDS, CORES = "nucleate", 0.2, 10, 2
GRADIENT_ROWS = 2000
"""Of the training rows, which the importance by gradients is taken of."""
WIDE = (nn.Linear, nn.Conv2d)
Arm = tuple[str, float]
"""A kind of model and the gain of its start."""


def trained(kind: str, gain: float, seed: int) -> nn.Module:
    task = TASKS[kind]
    torch.manual_seed(seed)
    module = task.make()
    nucleate.init_(module, InitScale("gain", gain), quiet=True)
    path = FOLDER / f"{kind}-{gain:g}-{seed}.pt"
    if path.exists():
        module.load_state_dict(torch.load(path))
        return module.eval()
    train(module, task.split(seed)[0], task.epochs, seed=seed)
    FOLDER.mkdir(exist_ok=True)
    torch.save(module.state_dict(), path)
    return module


def reduced(kind: str, gain: float, seed: int, share: float) -> ModuleReduction:
    training, validation, test = ((rows.x, rows.y) for rows in TASKS[kind].split(seed))
    module = trained(kind, gain, seed)
    return nucleate.reduce(module, training, keep=share, validation=validation, test=test, seed=seed)


def widths_of(module: nn.Module) -> dict[str, int]:
    return {name: len(layer.weight) for name, layer in module.named_modules() if isinstance(layer, WIDE)}


def pruned(module: nn.Module, widths: dict[str, int], importance: Any, rows: Rows) -> nn.Module:
    """The module with so many units in each layer, as Torch-Pruning chooses them."""
    module = deepcopy(module)
    # Half a unit more than wanted, as the ratio is rounded down to whole units.
    ratios = {
        layer: 1 - (widths[name] + 0.5) / len(layer.weight)
        for name, layer in module.named_modules()
        if isinstance(layer, WIDE) and widths[name] < len(layer.weight)
    }
    whole = [one for one in module.modules() if isinstance(one, (*WIDE, nn.MultiheadAttention)) and one not in ratios]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = torch_pruning.pruner.BasePruner(
            module, rows.x[:2], importance, pruning_ratio=0.0, pruning_ratio_dict=ratios, ignored_layers=whole
        )
    if isinstance(importance, torch_pruning.importance.TaylorImportance):
        few = rows[:GRADIENT_ROWS]
        module.zero_grad()
        functional.cross_entropy(module(few.x), few.y).backward()
    pruner.step()
    assert widths_of(module) == widths, f"{widths_of(module)} in place of {widths}"
    return module


def measure_norms_anew(module: nn.Module, rows: Rows) -> None:
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        # Plain averages of the batches.
        norm.momentum = None
    if norms:
        module.train()
        with torch.no_grad():
            module(rows.x)
        module.eval()
    for norm in norms:
        norm.momentum = 0.1


def rival(importance: Callable[[], Any], stages: int) -> Callable[..., nn.Module]:
    def prune(module: nn.Module, widths: dict[str, int], rows: Rows, epochs: float) -> nn.Module:
        start = widths_of(module)
        for stage in range(1, stages + 1):
            reached = {
                name: round(start[name] * (width / start[name]) ** (stage / stages)) for name, width in widths.items()
            }
            module = pruned(module, reached, importance(), rows)
            measure_norms_anew(module, rows)
            train(module, rows, epochs / stages, RATE, seed=stage)
        return module

    return prune


RIVALS: dict[str, Callable[..., nn.Module]] = {
    f"Torch-Pruning {name}{', iterative' if stages > 1 else ''}": rival(importance, stages)
    for name, importance in {
        "L2": lambda: torch_pruning.importance.MagnitudeImportance(p=2),
        "Taylor": torch_pruning.importance.TaylorImportance,
    }.items()
    for stages in (1, STAGES)
}


def key_of(share: float, contender: str, epochs: int) -> str:
    return f"{share:g}, {contender}, {epochs}"


def run_cell(kind: str, gain: float, seed: int, shares: Sequence[float]) -> dict[str, float]:
    """Test accuracies: the model's own, and by share, contender and epochs of fine-tuning."""
    training, _, test = TASKS[kind].split(seed)
    module = trained(kind, gain, seed)
    cell = {"own": accuracy(module, test)}
    for share in shares:
        small = reduced(kind, gain, seed, share).module
        widths = widths_of(small)
        for epochs in EPOCHS:
            ours = deepcopy(small)
            train(ours, training, epochs, RATE, seed=1)
            cell[key_of(share, OURS, epochs)] = accuracy(ours, test)
            for name, prune in RIVALS.items():
                cell[key_of(share, name, epochs)] = accuracy(prune(module, widths, training, epochs), test)
    return cell


def kept(kind: str, gain: float, seed: int, shares: Sequence[float]) -> dict[str, float]:
    """A finished cell, or the cell run now."""
    name = f"{kind}-{gain:g}-{seed}-{'-'.join(map(str, shares))}"
    path = FOLDER / f"{name}.json"
    if not path.exists():
        started = time.perf_counter()
        content = json.dumps(run_cell(kind, gain, seed, shares), indent=1)
        path.write_text(content)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    cell: dict[str, float] = json.loads(path.read_text())
    return cell


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for cells in (heads, ["---"] * len(heads), *rows):
        print(f"| {' | '.join(cells)} |")


def print_seconds(seeds: Sequence[int]) -> None:
    torch.set_num_threads(CORES)
    times = []
    for seed in seeds:
        trained("CNN", 1.0, seed)
        started = time.perf_counter()
        reduced("CNN", 1.0, seed, SHARES[-1])
        times.append(time.perf_counter() - started)
    verdict = "met" if max(times) < SECONDS else "**not met**"
    said = ", ".join(f"{one:.1f}" for one in times)
    print(f"- The CNN is reduced in under {SECONDS} s on {CORES} cores: {verdict} ({said} s).")


def main() -> None:
    quick = "--quick" in sys.argv
    shares, seeds = SHARES[1:] if quick else SHARES, range(1 if quick else SEEDS)
    if "--seconds" in sys.argv:
        print_seconds(seeds)
        return
    # These models are too small for two threads to share.
    torch.set_num_threads(1)
    arms: list[Arm] = list(itertools.product(TASKS, GAINS))
    cells = {(*arm, seed): kept(*arm, seed, shares) for arm in arms for seed in seeds}

    def over_seeds(arm: Arm, key: str) -> np.ndarray:
        return np.array([cells[*arm, seed][key] for seed in seeds])

    def spread(arm: Arm, key: str) -> str:
        values = over_seeds(arm, key)
        return f"{np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})"

    def lost(arm: Arm, key: str) -> float:
        return float(np.median(over_seeds(arm, "own") - over_seeds(arm, key)))

    print("Accuracy on test rows, the median of the seeds and their range:\n")
    print_table(
        ["kept", "epochs", "", *(f"{kind}, gain {gain:g}" for kind, gain in arms)],
        [
            ["all", "", "", *(spread(arm, "own") for arm in arms)],
            *(
                [f"{share:g}", str(epochs), name, *(spread(arm, key_of(share, name, epochs)) for arm in arms)]
                for share, epochs, name in itertools.product(shares, EPOCHS, (OURS, *RIVALS))
            ),
        ],
    )

    share, rows, met = shares[-1], [], {epochs: 0 for epochs in EPOCHS}
    for arm in arms:
        rows.append([f"{arm[0]}, gain {arm[1]:g}"])
        for epochs, allowed in zip(EPOCHS, (SHARE_OF_LOSS, 1.0), strict=True):
            own = lost(arm, key_of(share, OURS, epochs))
            best, name = min((lost(arm, key_of(share, name, epochs)), name) for name in RIVALS)
            good = own <= allowed * max(best, 0.0) or (epochs > 0 and own <= best)
            met[epochs] += good
            rows[-1] += [
                f"{own:.3f}",
                f"{best:.3f} ({name.removeprefix('Torch-Pruning ')})",
                "met" if good else "**not met**",
            ]
    print(f"\nAccuracy lost at {share:g} of the units, medians, beside the rival that loses least:\n")
    print_table(
        ["", "as it is", "best rival", "at most a fifth", "after an epoch", "best rival", "no more than it"], rows
    )
    print(f"\n- As it is, at most a fifth of what the best rival loses: met for {met[0]} of {len(arms)} models.")
    print(f"- After an epoch, no more than the best rival: met for {met[1]} of {len(arms)}.")
    print_seconds(seeds)

    keys = ["own", *(key_of(share, OURS, epochs) for share, epochs in itertools.product(shares, EPOCHS))]
    rows = []
    for kind in TASKS:
        changes = [over_seeds((kind, GAINS[1]), key) - over_seeds((kind, GAINS[0]), key) for key in keys]
        errors = [f" ± {one.std(ddof=1) / len(one) ** 0.5:.3f}" if len(one) > 1 else "" for one in changes]
        rows.append([kind, *(f"{one.mean():+.3f}{error}" for one, error in zip(changes, errors, strict=True))])
    print(f"\nAccuracy at gain {GAINS[1]:g} less that at gain {GAINS[0]:g}, mean ± standard error over the seeds:\n")
    print_table(["", "whole", *(key.replace(f"{OURS}, ", "epochs ") for key in keys[1:])], rows)


if __name__ == "__main__":
    main()
