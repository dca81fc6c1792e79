"""How often two kinds of models that are equally good are told apart, where 5 % is stated.

    make bench BENCHMARK=comparisons

Both kinds are drawn alike, so that any difference is chance: of each seed errors (or right labels) that rows have in
part in common, and a skill of the seed's own. `nucleate.baselines` compares them as it compares the cells of a study.
In a second table the seeds of one kind end alike, and those of the other do not. The last two have single models on few
rows: how often the interval holds the difference that they have on all rows, where 95 % is stated.
"""

import argparse

import numpy as np

from nucleate.baselines import Entrant, compare_entrants, judge
from nucleate.problems import ACCURACY, MAE, RMSE

CELLS = [(40, 1), (200, 1), (40, 2), (40, 5), (60, 3), (200, 2), (200, 3), (200, 5)]
UNLIKE, SPREADS = [(5, 1), (5, 2), (2, 2), (3, 3), (5, 5)], (0.02, 0.3)
FEW = (10, 30, 100)
# Of mean 0 and variance 1.
ERRORS = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "heavy tails (Student, 5)": lambda random, shape: random.standard_t(5, shape) / (5 / 3) ** 0.5,
    "skewed (exponential)": lambda random, shape: random.exponential(size=shape) - 1,
    "very skewed (log-normal)": lambda random, shape: (
        (random.lognormal(size=shape) - np.e**0.5) / (np.e * (np.e - 1)) ** 0.5
    ),
}
LARGER = (1.0, 1.5)
RIGHT = [(0.7, 0.7), (0.95, 0.95), (0.99, 0.99), (0.9, 0.7), (1.0, 0.9)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1500)
    given = parser.parse_args()
    print("| rows | seeds | RMSE | accuracy |\n|---|---|---|---|")
    for rows, seeds in CELLS:
        shares = [told_apart(draw, rows, seeds, given.pairs) for draw in (errors, labels)]
        print(f"| {rows} | {seeds} | {shares[0]:.1%} | {shares[1]:.1%} |", flush=True)
    print(f"\n| seeds whose skill varies by {SPREADS[0]} | by {SPREADS[1]} | RMSE, 200 rows |\n|---|---|---|")
    for seeds in UNLIKE:
        print(f"| {seeds[0]} | {seeds[1]} | {told_apart(unlike, 200, seeds, given.pairs):.1%} |", flush=True)
    print("\n| rows | errors | RMSE, equal | one 1.5 times the other | MAE, equal | one 1.5 times the other |")
    print("|---|---|---|---|---|---|")
    for rows in FEW:
        for name, draw in ERRORS.items():
            shares = [held(metric, draw, larger, rows, given.pairs) for metric in (RMSE, MAE) for larger in LARGER]
            print(f"| {rows} | {name} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)
    print(f"\n| rows | {' | '.join(f'{ours:.0%} and {theirs:.0%} right' for ours, theirs in RIGHT)} |")
    print("|---" * (1 + len(RIGHT)) + "|")
    for rows in FEW:
        shares = [held_of_shares(right, rows, given.pairs) for right in RIGHT]
        print(f"| {rows} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)


def told_apart(draw, rows: int, seeds: int | tuple[int, int], pairs: int) -> float:
    """The share of the pairs of models that are called better or worse."""
    random, told = np.random.default_rng(rows + np.sum(seeds)), 0
    for _ in range(pairs):
        metric, true, models = draw(random, rows, seeds)
        entrants = [Entrant([judge(metric, predicted, true) for predicted in model]) for model in models]
        told += compare_entrants(metric, rows, *entrants).verdict != "alike"
    return told / pairs


def held(metric, draw, larger: float, rows: int, pairs: int) -> float:
    """How often the interval holds what a model's errors are more than another's; half of either is common to both."""
    random, share = np.random.default_rng(rows), 0
    many = np.zeros((10**6, 1))
    whole = (larger - 1) * metric(draw(np.random.default_rng(0), many.shape), many)
    true = np.zeros((rows, 1))
    for _ in range(pairs):
        own, easy = draw(random, (2, rows, 1)), random.random((rows, 1)) < 0.5
        ours, theirs = own[0], larger * np.where(easy, *own)
        comparison = compare_alone(metric, true, ours, theirs)
        share += comparison.lower <= whole <= comparison.upper
    return share / pairs


def held_of_shares(right: tuple[float, float], rows: int, pairs: int) -> float:
    """The same of shares; a row that is right for the worse one is for the better one too in half of the cases."""
    random, share, true = np.random.default_rng(rows), 0, np.eye(2)[np.zeros(rows, int)]
    for _ in range(pairs):
        chance, own, common = random.random(rows), random.random(rows), random.random(rows) < 0.5
        ours, theirs = chance < right[0], np.where(common, chance, own) < right[1]
        comparison = compare_alone(ACCURACY, true, *(np.eye(2)[np.where(one, 0, 1)] for one in (ours, theirs)))
        share += comparison.lower <= right[0] - right[1] <= comparison.upper
    return share / pairs


def compare_alone(metric, true, ours, theirs):
    """Two given models."""
    entrants = [Entrant([judge(metric, one, true)], varies=False) for one in (ours, theirs)]
    return compare_entrants(metric, len(true), *entrants)


def errors(random: np.random.Generator, rows: int, seeds: int):
    """Normal errors around zero; some rows are hard for all, and half of each error is common to all."""
    hard, common = np.exp(0.5 * random.standard_normal((rows, 1))), random.standard_normal((rows, 1))
    skill = np.exp(0.1 * random.standard_normal((2, seeds, 1, 1)))
    return RMSE, np.zeros((rows, 1)), skill * hard * (common + random.standard_normal((2, seeds, rows, 1))) / 2**0.5


def unlike(random: np.random.Generator, rows: int, seeds: tuple[int, int]):
    """As `errors`, but the skill of one kind's seeds varies far more than that of the other's; in the mean it is 1."""
    hard, common = np.exp(0.5 * random.standard_normal((rows, 1))), random.standard_normal((rows, 1))
    models = [
        [
            np.exp(spread * random.standard_normal() - spread**2 / 2)
            * (hard * (common + random.standard_normal((rows, 1))) / 2**0.5)
            for _ in range(count)
        ]
        for count, spread in zip(seeds, SPREADS, strict=True)
    ]
    return RMSE, np.zeros((rows, 1)), models


def labels(random: np.random.Generator, rows: int, seeds: int):
    """Labels of which half are easy for all, and the others right in about one case of two."""
    chance = 0.5 + 0.1 * random.standard_normal((2, seeds, 1))
    right = (random.random(rows) < 0.5) | (random.random((2, seeds, rows)) < chance)
    return ACCURACY, np.eye(2)[np.zeros(rows, int)], np.eye(2)[np.where(right, 0, 1)]


if __name__ == "__main__":
    main()
