"""The share of first-layer neuron pairs with |cos| > 0.9 over time, in a public notebook's setting, beside PyTorch.

    make bench BENCHMARK=condensation_notebook

Setting (github.com/dlphenomena/condensation): tanh, five inputs, 80 points uniform on [-4, 2]^5, first-layer bias, all
parameters N(0, (50^-gamma)^2), full-batch Adam 0.001. Each line is one draw of the points, nucleate and PyTorch
starting from the same parameters; gamma is 4, and 0.5 in the last lines of each architecture.
"""

import numpy as np
import torch

from nucleate import InitScale, Network
from nucleate.observe import condensed_pairs, neurons
from nucleate.optimizers import ADAM
from nucleate.problems import Problem, load_problem
from nucleate.training import train

EPOCHS = (0, 20, 50, 100, 200, 500, 1000)


def ours(start: Network, problem: Problem) -> list[float]:
    # Evaluated at every epoch, so that those of interest are among them.
    run = train(start, problem, learning_rate=1e-3, optimizer=ADAM, steps=EPOCHS[-1], evaluations=2 * EPOCHS[-1] + 4)
    course = run.trajectory
    return [course["condensed_pairs_1"][epoch] for epoch in EPOCHS]


def baselines(start: Network, problem: Problem) -> list[float]:
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(start.weights, start.biases, strict=True):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.weight.data = torch.tensor(np.asarray(weight))
        if bias is not None:
            layer.bias.data = torch.tensor(np.asarray(bias))
        layers += [layer, torch.nn.Tanh()]
    network = torch.nn.Sequential(*layers[:-1])
    x, y = (torch.tensor(part, dtype=torch.float32) for part in (problem.train.x, problem.train.y))
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    shares = []
    for epoch in range(EPOCHS[-1] + 1):
        if epoch in EPOCHS:
            first = network[0]
            shares.append(condensed_pairs(torch.cat([first.weight, first.bias[:, None]], 1).detach().numpy()))
        adam.zero_grad()
        ((network(x) - y) ** 2).mean().backward()
        adam.step()
    return shares


def main() -> None:
    print("| hidden | gamma | draw | by | " + " | ".join(f"epoch {epoch}" for epoch in EPOCHS) + " |")
    print("|---" * (4 + len(EPOCHS)) + "|")
    for hidden in ([50], [50, 50]):
        for gamma, draw in [(4.0, draw) for draw in range(5)] + [(0.5, 0)]:
            bias = [True] + [False] * len(hidden)
            start = Network.create(5, hidden, 1, scale=InitScale("gamma", gamma), bias=bias)
            problem = load_problem("sine-5d", split_seed=draw)
            assert condensed_pairs(neurons(start, 1)) < 0.05
            for name, shares in (("nucleate", ours(start, problem)), ("PyTorch", baselines(start, problem))):
                cells = [",".join(map(str, hidden)), f"{gamma:g}", str(draw), name, *(f"{s:.2f}" for s in shares)]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
