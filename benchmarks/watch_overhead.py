"""What a watch costs a training, side by side with histograms in TensorBoard and with W&B's watch, on the same steps.

Needs PyTorch and TensorBoard (pip install 'nucleate[torch]' tensorboard), and wandb for its row, which works offline.
What acts after a step alone is called after the steps of one training, and timed by itself: its overhead is all that it
took, with what it does before the first step, as a share of all steps. W&B acts within the steps, so a second model
trains beside the first, step by step, for the first 300 of them. The watch records evenly in the logarithm of the step,
so that its overhead falls with their number: it is measured at two places of the one training, after 500 steps and at
its end, and it is told from which step on it stayed below 1 %. Run it on a machine that does nothing else; as it is set
it takes 12 minutes on 2 cores.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import nucleate

EVERY = 100
"""Steps between histograms, the default of ``wandb.watch``."""
WITHIN, FIRST = 300, 500
"""Steps of what acts within the steps, and those after which the cost is told first."""
SMALL = 0.01
"""The share of the steps that a watch may cost."""


class Block(nn.Module):
    """A transformer's block with the norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        y = self.norm1(x)
        x = x + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class SmallGPT(nn.Module):
    """Next-token logits of sequences of tokens."""

    def __init__(self, width: int, blocks: int, tokens: int = 256, length: int = 64) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*[Block(width, 4) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.token(x) + self.position(torch.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(y))).transpose(1, 2)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def small_resnet(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10),
    )  # fmt: skip


Task = tuple[Callable[[], nn.Module], torch.Tensor, torch.Tensor]
Watcher = Callable[[nn.Module, torch.Tensor, str], Callable[[int, torch.Tensor], object]]


def tasks(small: bool) -> dict[str, Task]:
    draw = torch.Generator().manual_seed(0)
    batch = 8 if small else 32
    tokens = torch.randint(256, (batch, 65), generator=draw)
    images = torch.randn(batch, 3, 32, 32, generator=draw)
    classes = torch.randint(10, (batch,), generator=draw)
    width = 32 if small else 128
    return {
        "small GPT": (lambda: SmallGPT(width, 2 if small else 4), tokens[:, :-1], tokens[:, 1:]),
        "small ResNet": (lambda: small_resnet(8 if small else 32), images, classes),
    }


def plain(model: nn.Module, x: torch.Tensor, folder: str) -> Callable[[int, torch.Tensor], object]:
    return lambda step, loss: None


def watched(model: nn.Module, x: torch.Tensor, folder: str) -> Callable[[int, torch.Tensor], object]:
    watch = nucleate.watch(model)
    return lambda step, loss: watch.step(loss)


def watched_with_inputs(model: nn.Module, x: torch.Tensor, folder: str) -> Callable[[int, torch.Tensor], object]:
    # 8 sequences of 64 tokens are the 512 rows that are looked at.
    watch = nucleate.watch(model, inputs=x[:8])
    return lambda step, loss: watch.step(loss)


def histograms(model: nn.Module, x: torch.Tensor, folder: str) -> Callable[[int, torch.Tensor], object]:
    writer = SummaryWriter(folder)
    WRITERS.append(writer)

    def after(step: int, loss: torch.Tensor) -> None:
        if step % EVERY == 0:
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, step)
                writer.add_histogram(f"{name}/gradient", parameter.grad, step)

    return after


WRITERS: list[SummaryWriter] = []
"""Those to close before their folder goes."""


def wandb_watch(model: nn.Module, x: torch.Tensor, folder: str) -> Callable[[int, torch.Tensor], object]:
    import wandb

    run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True), reinit="finish_previous")
    run.watch(model, log="all", log_freq=EVERY)
    return lambda step, loss: run.log({"loss": loss.item()}) if step % EVERY == 0 else None


WAYS: dict[str, Watcher] = {
    "plain": plain,
    "nucleate.watch": watched,
    "nucleate.watch with inputs": watched_with_inputs,
    f"TensorBoard histograms every {EVERY} steps": histograms,
    "wandb.watch, offline": wandb_watch,
}


def time_steps(
    task: Task, ways: dict[str, Watcher], lengths: list[int]
) -> tuple[list[dict[str, float]], dict[str, int]]:
    """Seconds that each way took in all after so many steps, by its name; within steps, beyond as many plain ones.

    Beside it, of what acts after the steps, the last one at whose end the way had cost 1 % of all steps or more.
    """
    make, x, y = task
    found: list[dict[str, float]] = []
    costly = {name: 0 for name in ways if ways[name] not in (plain, wandb_watch)}
    seconds, beside_plain = dict.fromkeys(ways, 0.0), 0.0
    within = {name: ways[name] for name in ways if ways[name] is wandb_watch}

    def trained() -> tuple[nn.Module, Callable[[], torch.Tensor]]:
        torch.manual_seed(0)
        model = make()
        optimizer, criterion = torch.optim.AdamW(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()

        def step() -> torch.Tensor:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    def timed(name: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        seconds[name] += time.perf_counter() - start
        return result

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model, step = trained()
        beside = [(name, trained()) for name in within]
        after = {
            name: timed(name, partial(way, of, x, folder))
            for name, way, of in [(name, way, model) for name, way in ways.items() if name not in within]
            + [(name, within[name], other) for name, (other, _) in beside]
        }
        for index in range(1, lengths[-1] + 1):
            loss = timed("plain", step)
            for name in after:
                if name not in within:
                    timed(name, partial(after[name], index, loss))
            for name, (_, other_step) in beside if index <= WITHIN else ():
                other_loss = timed(name, other_step)
                timed(name, partial(after[name], index, other_loss))
            if index <= WITHIN:
                beside_plain = seconds["plain"]
            for name in costly:
                if seconds[name] >= SMALL * seconds["plain"]:
                    costly[name] = index
            if index in lengths:
                share = index / min(WITHIN, index)
                found.append(seconds | {name: share * (seconds[name] - beside_plain) for name in within})
        while WRITERS:
            WRITERS.pop().close()
    return found, costly


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=3000)
    arguments.add_argument("--model", choices=("gpt", "resnet"), help="only this one")
    arguments.add_argument("--small", action="store_true", help="tiny models, to see that it works")
    asked = arguments.parse_args()
    os.environ["WANDB_SILENT"] = "true"
    ways = {name: way for name, way in WAYS.items() if way is not wandb_watch or find_spec("wandb")}
    lengths = sorted({min(FIRST, asked.steps), asked.steps})
    print(f"{torch.get_num_threads()} threads\n")
    told = " | ".join(f"ms a step | overhead over {steps:,} steps" for steps in lengths)
    notes: list[str] = []
    print(f"| model | way | {told} | below {SMALL:.0%} |")
    print("|---|---|" + "---|---|" * len(lengths) + "---|")
    for name, task in tasks(asked.small).items():
        if asked.model is not None and asked.model not in name.lower():
            continue
        # What is compiled and imported on first use is no part of a step.
        time_steps(task, ways, [2])
        found, costly = time_steps(task, ways, lengths)
        for way in WAYS:
            if way not in ways:
                print(f"| {name} | {way} | not installed |")
                continue
            cells = [
                f"{1000 * seconds[way] / steps:.2f} | "
                + ("" if way == "plain" else f"{seconds[way] / seconds['plain']:+.2%}")
                for steps, seconds in zip(lengths, found, strict=True)
            ]
            last = costly.get(way)
            since = "" if last is None else "at no step" if last == lengths[-1] else f"from step {last + 1:,} on"
            print(f"| {name} | {way} | {' | '.join(cells)} | {since} |", flush=True)
        others = [way for way in ways if ways[way] in (histograms, wandb_watch)]
        beside = ", ".join(f"{found[-1]['nucleate.watch'] / found[-1][way]:.1%} of {way}" for way in others)
        notes.append(f"{name}: nucleate.watch takes {beside}")
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
