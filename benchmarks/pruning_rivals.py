"""What reductions are held against, in PyTorch: pruning to given widths, and one fine-tuning for all contenders."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch_pruning
from torch import nn

from nucleate import Network
from nucleate.problems import Problem, Split

# These networks are too small for two threads to share.
torch.set_num_threads(1)

_MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU}
_RATES = (0.01, 0.003, 0.001)
_STAGES = 5
"""In so many prunings, each followed by its share of the fine-tuning, an iterative baseline reaches its widths."""


def to_torch(network: Network) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weights, bias in zip(network.weights, network.biases, strict=True):
        linear = nn.Linear(weights.shape[1], weights.shape[0])
        linear.weight.data = torch.tensor(np.asarray(weights))
        linear.bias.data = torch.zeros(len(weights)) if bias is None else torch.tensor(np.asarray(bias))
        modules += [linear, _MODULES[network.activation.name]()]
    return nn.Sequential(*modules[:-1])


def from_torch(module: nn.Sequential, like: Network) -> Network:
    layers = _linear(module)
    weights = tuple(layer.weight.detach().numpy() for layer in layers)
    biases = tuple(layer.bias.detach().numpy() for layer in layers)
    return Network(weights, biases, like.activation)


def fine_tune(module: nn.Sequential, problem: Problem, steps: int) -> nn.Sequential:
    """Adam on all training rows at three rates; of the start and every third step of all, the best on validation."""
    x, y = _tensors(problem.train)
    best, lowest = module, _validation_loss(module, problem)
    for rate in _RATES if steps else ():
        trained = deepcopy(module)
        optimizer = torch.optim.Adam(trained.parameters(), rate)
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss_of(problem, trained(x), y).backward()
            optimizer.step()
            if step % 3 == 0 and (loss := _validation_loss(trained, problem)) < lowest:
                best, lowest = deepcopy(trained), loss
    return best


def by_norm(module: nn.Sequential, widths: tuple[int, ...], problem: Problem, steps: int) -> nn.Sequential:
    """Keep the neurons with the longest input weights."""
    layers = [(layer.weight.detach(), layer.bias.detach()) for layer in _linear(module)]
    for at, width in enumerate(widths):
        weights, bias = layers[at]
        norms = torch.cat([weights, bias[:, None]], dim=1).norm(dim=1)
        kept = norms.topk(width).indices.sort().values
        layers[at] = weights[kept], bias[kept]
        layers[at + 1] = layers[at + 1][0][:, kept], layers[at + 1][1]
    pruned = deepcopy(module)
    for linear, (weights, bias) in zip(_linear(pruned), layers, strict=True):
        linear.weight, linear.bias = nn.Parameter(weights.clone()), nn.Parameter(bias.clone())
    return fine_tune(pruned, problem, steps)


def by_torch_pruning(kind: str, stages: int) -> Callable[..., nn.Sequential]:
    """Torch-Pruning (Fang et al. 2023, arXiv 2301.12900) by ``l2`` or ``taylor`` importance, in one or more stages."""

    def prune(module: nn.Sequential, widths: tuple[int, ...], problem: Problem, steps: int) -> nn.Sequential:
        module = deepcopy(module)
        for stage in range(1, stages + 1):
            targets = [
                round(layer.out_features * (width / layer.out_features) ** (1 / (stages - stage + 1)))
                for layer, width in zip(_linear(module), widths, strict=False)
            ]
            module = fine_tune(_pruned(module, targets, kind, problem), problem, steps // stages)
        assert tuple(layer.out_features for layer in _linear(module)[:-1]) == widths
        return module

    return prune


RIVALS: dict[str, Callable[..., nn.Sequential]] = {
    "L2 norm": by_norm,
    "Torch-Pruning L2": by_torch_pruning("l2", 1),
    "Torch-Pruning L2, iterative": by_torch_pruning("l2", _STAGES),
    "Torch-Pruning Taylor": by_torch_pruning("taylor", 1),
    "Torch-Pruning Taylor, iterative": by_torch_pruning("taylor", _STAGES),
}


def with_weight_decay(network: Network, problem: Problem, rate: float, decay: float, steps: int) -> Network:
    """AdamW from the network on all training rows; the best on validation of every 25th step."""
    module, (x, y) = to_torch(network), _tensors(problem.train)
    optimizer = torch.optim.AdamW(module.parameters(), rate, weight_decay=decay)
    best, lowest = module, float("inf")
    for step in range(steps + 1):
        if step % 25 == 0 and (loss := _validation_loss(module, problem)) < lowest:
            best, lowest = deepcopy(module), loss
        optimizer.zero_grad()
        loss_of(problem, module(x), y).backward()
        optimizer.step()
    return from_torch(best, network)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "squared": lambda outputs, y: 0.5 * (outputs - y).square().sum(dim=1).mean(),
    "cross_entropy": nn.functional.cross_entropy,
}
"""Those of `nucleate.problems`, in PyTorch."""


def loss_of(problem: Problem, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return LOSSES[problem.loss.name](outputs, y)


def _pruned(module: nn.Sequential, widths: list[int], kind: str, problem: Problem) -> nn.Sequential:
    x, y = _tensors(problem.train)
    layers = _linear(module)
    # Half a neuron more than wanted, as the ratio is rounded down to whole neurons.
    ratios = {
        layer: max(0.0, 1 - (width + 0.5) / layer.out_features) for layer, width in zip(layers, widths, strict=False)
    }
    importance = (
        torch_pruning.importance.MagnitudeImportance(p=2)
        if kind == "l2"
        else torch_pruning.importance.TaylorImportance()
    )
    pruner = torch_pruning.pruner.BasePruner(
        module, x[:2], importance, pruning_ratio=0.0, pruning_ratio_dict=ratios, ignored_layers=[layers[-1]]
    )
    module.zero_grad()
    loss_of(problem, module(x), y).backward()
    pruner.step()
    return module


def _linear(module: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in module if isinstance(layer, nn.Linear)]


def _tensors(part: Split) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(part.x, dtype=torch.float32), torch.tensor(part.y, dtype=torch.float32)


def _validation_loss(module: nn.Sequential, problem: Problem) -> float:
    x, y = _tensors(problem.validation)
    with torch.no_grad():
        return float(loss_of(problem, module(x), y))
