"""How often a new row moves further than the certificate says, for classes of many kinds.

    make bench BENCHMARK=certificate

Data sets are drawn again and again, split by `nucleate.problems.split_rows`, and followed by one new row. What networks
do is replaced by heavy-tailed deviations, times a size for each class, so that nothing is used but which rows are held
out. Printed is how often the new row moves further than all the held-out rows, beside what the certificate states and
what 1 in N + 1 would; the same against the held-out rows of the new row's own class; and in a second table the same for
the reduction that is the best of several by its held-out rows.

`Problem` refuses classes of fewer than three rows. They are let through here, and only the data sets are left out of
which a class has no row for training.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nucleate import DataError
from nucleate.problems import Sizes, split_rows
from nucleate.reduction import Certificate, OfClass

TRIALS, PART = 4000, 0.2
COMPARED, ROWS = (1, 5, 20), 100


@dataclass(frozen=True)
class Population:
    """Rows and one new row.

    Parameters
    ----------
    name : str
    draw : function of a generator
        The classes of the rows, the last of which is the new one's.
    sizes : array
        How far rows of each class move.
    """

    name: str
    draw: Callable[[np.random.Generator], np.ndarray]
    sizes: np.ndarray


def at_random(shares: np.ndarray, rows: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Every row's class is drawn; some classes may be missing, the new row's among them."""
    return lambda rng: rng.choice(len(shares), rows + 1, p=shares / shares.sum())


def of_sizes(counts: list[int]) -> Callable[[np.random.Generator], np.ndarray]:
    """Every class has its number of rows, and the new row's class is that of a row drawn at random."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return lambda rng: np.append(labels, rng.choice(labels))


LONG_TAIL, HARMONIC = np.array([0.8] + [0.005] * 40), 1 / np.arange(1, 61)
LARGE_TAIL = np.array([1.0] + [1e6] * 40)
POPULATIONS = (
    Population("3 equal classes, alike", at_random(np.ones(3), 100), np.ones(3)),
    Population("3 equal classes, one moves most", at_random(np.ones(3), 100), np.array([1, 1, 1e6])),
    Population("2 classes, 5 % move most", at_random(np.array([0.95, 0.05]), 100), np.array([1, 1e6])),
    Population("40 rare classes make 20 % and move most", at_random(LONG_TAIL, 100), LARGE_TAIL),
    Population("the same", at_random(LONG_TAIL, 300), LARGE_TAIL),
    Population("the same, all alike", at_random(LONG_TAIL, 300), np.ones(41)),
    Population("40 classes of 2 rows make 20 % and move most", of_sizes([320] + [2] * 40), LARGE_TAIL),
    Population("40 classes of 3 rows make 20 % and move most", of_sizes([480] + [3] * 40), LARGE_TAIL),
    Population("60 classes of frequency 1/k, rare ones move most", at_random(HARMONIC, 300), np.arange(1, 61.0) ** 3),
    Population("60 classes of frequency 1/k, common ones move most", at_random(HARMONIC, 300), HARMONIC**3),
)


def certificate_of(labels: np.ndarray, held_out: np.ndarray, moved: np.ndarray) -> Certificate:
    """What would be certified of rows that move so far."""
    classes = []
    for label in np.unique(labels).tolist():
        further = moved[held_out[labels[held_out] == label]]
        largest = float(further.max()) if len(further) else None
        classes.append(OfClass(label, int(np.sum(labels == label)), len(further), largest))
    moved = moved[held_out]
    return Certificate(len(moved), float(moved.max()), float(moved.std()), labels_changed=0, classes=tuple(classes))


def simulate(population: Population) -> str:
    """A row of the first table."""
    rng = np.random.default_rng(0)
    exceeded, stated, exceeded_its_class, stated_of_its_class = [], [], [], []
    for trial in range(TRIALS):
        labels = population.draw(rng)
        moved = population.sizes[labels] * np.abs(rng.standard_cauchy(len(labels)))
        rows = len(labels) - 1
        part = round(PART * rows)
        try:
            held_out = split_rows(Sizes(rows - 2 * part, part, part), trial, labels[:-1]).test
        except DataError:
            continue
        certificate = certificate_of(labels[:-1], held_out, moved)
        exceeded.append(moved[-1] > certificate.largest_deviation)
        stated.append(certificate.probability)
        for its in certificate.classes:
            if its.label == labels[-1] and its.largest_deviation is not None:
                exceeded_its_class.append(moved[-1] > its.largest_deviation)
                stated_of_its_class.append(its.probability)
    return (
        f"| {population.name} | {rows} | {1 / (part + 1):.4f} | {np.mean(stated):.4f} | "
        f"{say(exceeded)} | {np.mean(stated_of_its_class):.4f} | {say(exceeded_its_class)} |"
    )


def best_of(compared: int) -> str:
    """A row of the last table: of so many reductions the one whose largest deviation is smallest is chosen."""
    rng = np.random.default_rng(0)
    moved = np.abs(rng.standard_cauchy((TRIALS, compared, ROWS // 5 + 1)))
    largest = moved[:, :, :-1].max(axis=2)
    chosen = largest.argmin(axis=1)
    each = np.arange(TRIALS)
    exceeded = moved[each, chosen, -1] > largest[each, chosen]
    certificate = Certificate(ROWS // 5, 0.0, 0.0, relative_deviation=0.0)
    stated = certificate.probability_among(compared)
    return f"| {compared} | {certificate.probability:.4f} | {stated:.4f} | {say(exceeded)} |"


def say(happened: list[bool] | np.ndarray) -> str:
    share = float(np.mean(happened))
    return f"{share:.4f} ± {(share * (1 - share) / len(happened)) ** 0.5:.4f}"


def main() -> None:
    print(
        "| classes | rows | 1 in N + 1 | stated | moves further | stated for its class | moves further than that |\n"
        f"|{'---|' * 7}"
    )
    for population in POPULATIONS:
        print(simulate(population), flush=True)
    print(f"\n| reductions compared | stated for one | stated | moves further |\n|{'---|' * 4}")
    for compared in COMPARED:
        print(best_of(compared))


if __name__ == "__main__":
    main()
