"""What reductions of PyTorch models are measured on: three kinds of models, their data, and their training."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

BATCH = 100


@dataclass(frozen=True)
class Rows:
    """Inputs and the numbers of their classes."""

    x: torch.Tensor
    y: torch.Tensor

    def __getitem__(self, at: torch.Tensor | slice) -> "Rows":
        return Rows(self.x[at], self.y[at])


@dataclass(frozen=True)
class Task:
    """A kind of model, its rows for training, validation and test, and how long it is trained."""

    make: Callable[[], nn.Module]
    split: Callable[[int], tuple[Rows, Rows, Rows]]
    epochs: int


class Residual(nn.Module):
    """Two convolutions with batch norm beside what they start from."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.past: nn.Module = nn.Identity()
        if stride > 1:
            self.past = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.past(x))


class Attending(nn.Module):
    """A block of a GPT: causal attention of several heads, then feed-forward neurons."""

    def __init__(self, wide: int, heads: int, neurons: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.attention = nn.MultiheadAttention(wide, heads, batch_first=True)
        self.up, self.down = nn.Linear(wide, neurons), nn.Linear(neurons, wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        seen = self.norm1(x)
        x = x + self.attention(seen, seen, seen, attn_mask=later, need_weights=False)[0]
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """Tokens to what comes after the last of them."""

    def __init__(self, tokens: int, length: int, wide: int = 64, heads: int = 4, neurons: int = 256) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, wide)
        self.place = nn.Parameter(0.02 * torch.randn(length, wide))
        self.blocks = nn.Sequential(*(Attending(wide, heads, neurons) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, tokens)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.token(tokens) + self.place))[:, -1])


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def resnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


VALUES, ANCHORS, LENGTH = 12, 3, 6


def gpt() -> nn.Module:
    return Gpt(VALUES + ANCHORS, LENGTH)


def digits(seed: int) -> tuple[Rows, Rows, Rows]:
    """The 1797 handwritten digits of 8 x 8 in scikit-learn: 1000, 300 and 497 of them."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    x = torch.tensor(images[order].reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    return _parts(Rows(x, torch.tensor(labels[order])), 1000, 300)


def anchors(seed: int) -> tuple[Rows, Rows, Rows]:
    """Sequences of values with two anchors side by side: the value before them, moved by what both stand for.

    The anchor functions of Zhang et al. 2024 (arXiv 2401.08309), modulo the number of values.
    """
    rng, rows = np.random.default_rng(seed), 8000
    tokens = rng.integers(VALUES, size=(rows, LENGTH))
    pair, place = rng.integers(ANCHORS, size=(rows, 2)), rng.integers(1, LENGTH - 1, size=rows)
    moves = np.array([1, 4, 6])
    every = np.arange(rows)
    tokens[every, place], tokens[every, place + 1] = VALUES + pair.T
    moved = (tokens[every, place - 1] + moves[pair].sum(axis=1)) % VALUES
    return _parts(Rows(torch.tensor(tokens), torch.tensor(moved)), 6000, 1000)


def _parts(rows: Rows, training: int, validation: int) -> tuple[Rows, Rows, Rows]:
    return rows[:training], rows[training : training + validation], rows[training + validation :]


TASKS = {
    "CNN": Task(cnn, digits, epochs=20),
    "ResNet": Task(resnet, digits, epochs=10),
    "GPT": Task(gpt, anchors, epochs=6),
}


def train(module: nn.Module, rows: Rows, epochs: float, rate: float = 2e-3, seed: int = 0) -> None:
    """Adam on mini-batches, in place; part of an epoch where that is asked for."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), rate)
    module.train()
    batches = [
        batch
        for _ in range(int(np.ceil(epochs)))
        for batch in torch.randperm(len(rows.y), generator=order).split(BATCH)
    ]
    for batch in batches[: round(epochs * len(rows.y) / BATCH)]:
        optimizer.zero_grad()
        functional.cross_entropy(module(rows.x[batch]), rows.y[batch]).backward()
        optimizer.step()
    module.eval()


@torch.no_grad()
def accuracy(module: nn.Module, rows: Rows) -> float:
    module.eval()
    return float((module(rows.x).argmax(dim=1) == rows.y).float().mean())
