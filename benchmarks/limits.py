"""What a small start costs, and what simpler models do: test error by init scale, beside a narrow network and a line.

    make bench BENCHMARK=limits

Six problems (four real), five splits each: tanh networks of two hidden layers of 50 with first-layer bias under
full-batch gradient descent, at five gains, each judged at the step of its best validation. Beside them the gain chosen
on validation; narrow networks from gain 1, their width of 2, 4 or 8 chosen on validation; a ridge or logistic
regression whose penalty is. Printed is the test metric, its mean and standard error over the splits, and for gain 0.01
the difference to gain 1 on the same split.
"""

import numpy as np

from nucleate import InitScale, Network, Run, get_activation, load_problem, train_many
from nucleate.baselines import Baseline, linear, narrow
from nucleate.models import count_parameters
from nucleate.problems import Problem

# Learning rates at which all gains train.
PROBLEMS = {"diabetes": 0.05, "breast_cancer": 0.2, "wine": 0.2, "digits": 0.5, "teacher-3": 0.1, "sine-5d": 0.01}
GAINS = (1.0, 0.3, 0.1, 0.03, 0.01)
WIDTH, NARROW, SPLITS, STEPS = 50, (2, 4, 8), 5, 3000


def trained(problem: Problem, rate: float, seed: int) -> list[Baseline]:
    """The network of every gain, at the step of its best validation."""
    shape, bias = (problem.inputs, [WIDTH] * 2, problem.outputs), [True, False, False]
    networks = [Network.create(*shape, scale=InitScale("gain", gain), bias=bias, seed=seed) for gain in GAINS]
    runs = train_many(networks, problem, learning_rates=[rate] * len(GAINS), steps=STEPS, evaluations=40)
    return [judged(problem, f"gain {gain:g}", run) for gain, run in zip(GAINS, runs, strict=True)]


def judged(problem: Problem, name: str, run: Run) -> Baseline:
    validation, test = (problem.metric(run.best(part.x), part.y) for part in (problem.validation, problem.test))
    return Baseline(name, run.best.hidden, count_parameters(run.best), validation, test)


def best(problem: Problem, name: str, models: list[Baseline]) -> tuple[str, float]:
    """The test metric of the model that is best on validation."""
    return name, min(models, key=lambda model: problem.loss.metric.cost(model.validation)).test


def one_split(name: str, rate: float, split: int) -> dict[str, float]:
    problem = load_problem(name, split_seed=split)
    wide, tanh = trained(problem, rate, split), get_activation("tanh")
    narrower = [narrow(problem, (width, width), tanh).alone(problem) for width in NARROW]
    chosen = [best(problem, "gain chosen", wide), best(problem, "narrow", narrower)]
    return {model.name: model.test for model in wide} | dict(chosen) | {"linear": linear(problem).alone(problem).test}


def say(values: np.ndarray, sign: str = "") -> str:
    return f"{values.mean():{sign}.3g} ± {values.std(ddof=1) / len(values) ** 0.5:.1g}"


def main() -> None:
    for number, (name, rate) in enumerate(PROBLEMS.items()):
        splits = [one_split(name, rate, split) for split in range(SPLITS)]
        columns = {column: np.array([split[column] for split in splits]) for column in splits[0]}
        if number == 0:
            print(f"| problem, metric | {' | '.join(columns)} | 0.01 less 1 |\n|{'---|' * (len(columns) + 2)}")
        cells = [say(column) for column in columns.values()] + [say(columns["gain 0.01"] - columns["gain 1"], "+")]
        print(f"| {name}, {load_problem(name).metric_name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
