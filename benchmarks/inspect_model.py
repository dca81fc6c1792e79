"""What it takes to inspect a GPT-2 of 124 million parameters, drawn at random from its configuration.

Needs PyTorch and transformers: pip install 'nucleate[torch]' transformers. Nothing is downloaded.
"""

import resource
import sys
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import nucleate


def memory() -> float:
    """The most that the process has taken so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    nucleate.inspect({"w": torch.eye(3).numpy()})
    before, start = memory(), time.perf_counter()
    found = nucleate.inspect(model)
    seconds, more = time.perf_counter() - start, memory() - before
    sizes = f"{parameters / 1e6:.0f} million | {len(found.layers)} | {found.heads} | {len(found.table):,}"
    print("| parameters | layers | single heads | rows | seconds | GB above the model |")
    print("|---|---|---|---|---|---|")
    print(f"| {sizes} | {seconds:.1f} | {more:.2f} |")
    if "--table" in sys.argv:
        print(found)


if __name__ == "__main__":
    main()
