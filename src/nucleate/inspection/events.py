"""What happens to layers between two records of a training: they condense, split, collapse, die."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nucleate.inspection.inspection import Inspection, Place

CONDENSED, BY_CHANCE = 0.5, 0.25
"""A layer is condensed when this share of its pairs of units point one way, and of random ones not that share."""
FEW = 0.25
"""It is condensed too when it works as fewer than this share of a random one's effective neurons."""
COLLAPSED = 0.5
"""A layer has collapsed when its effective rank is below this share of a random matrix's."""

Measures = Mapping[str, tuple[float, float | None]]
"""Each measure, and what it is by chance."""
Measured = Mapping[Place, Measures]


@dataclass(frozen=True)
class Event:
    """What happened to a layer between two records.

    Parameters
    ----------
    step : int
        Of the record that showed it first.
    layer, kind : str
    what : str
        That it condenses, splits, collapses, spreads, dies or revives; or of the model that it stands still or can no
        longer be measured.
    said : str
        With its numbers.
    """

    step: int
    layer: str
    kind: str
    what: str
    said: str

    def __str__(self) -> str:
        return f"step {self.step:,}: {self.layer} ({self.kind}) {self.what}: {self.said}"


def events_between(step: int, old: Measured, new: Measured) -> Iterator[Event]:
    """What happened to layers between two records, the second of this step, by their measures and what chance gives."""
    for (layer, kind), now in new.items():
        then = old.get((layer, kind), {})
        if (condensed := _is_condensed(now)) != _is_condensed(then):
            by_work = _points_one_way(now) == _points_one_way(then)
            said = (_said_of_work if by_work else _said_of_pairs)(then, now)
            yield Event(step, layer, kind, "condenses" if condensed else "splits", said)
        (rank, random), had = (_beside_random(one, "effective_rank") for one in (now, then))
        collapsed = rank < COLLAPSED * random
        if had[0] and collapsed != (had[0] < COLLAPSED * had[1]):
            ranks = f"the effective rank of its weights was {had[0]:.1f}, now {rank:.1f} (random {random:.1f})"
            yield Event(step, layer, kind, "collapses" if collapsed else "spreads", ranks)
        (constant, _), (before_it, _) = (_beside_random(one, "constant_units") for one in (now, then))
        units = now["units"][0]
        if (constant == units) != (before_it == units):
            said = f"{constant:.0f} of its {units:.0f} units give one value for all inputs"
            yield Event(step, layer, kind, "dies" if constant == units else "revives", said)


def _beside_random(measures: Measures, name: str) -> tuple[float, float]:
    """A measure and what it is by chance, each 0 where it is not known."""
    value, random = measures.get(name, (0.0, None))
    return value, random or 0.0


def _is_condensed(measures: Measures) -> bool:
    return _points_one_way(measures) or _works_as_few(measures)


def _points_one_way(measures: Measures) -> bool:
    pairs, random = _beside_random(measures, "condensed_pairs")
    return pairs > CONDENSED and random < BY_CHANCE


def _works_as_few(measures: Measures) -> bool:
    """By its effective neurons; one whose units are all constant works as none, and is dead."""
    neurons, random = _beside_random(measures, "effective_neurons")
    return 0 < neurons < FEW * random


def _said_of_pairs(then: Measures, now: Measures) -> str:
    (was, _), (pairs, random) = (_beside_random(one, "condensed_pairs") for one in (then, now))
    return f"{was:.0%} of its pairs of units pointed one way, now {pairs:.0%} (by chance {random:.0%})"


def _said_of_work(then: Measures, now: Measures) -> str:
    (was, _), (neurons, random) = (_beside_random(one, "effective_neurons") for one in (then, now))
    return f"it worked as {was:.1f} neurons, now {neurons:.1f} (random {random:.1f})"


def by_layer(found: Inspection) -> Measured:
    """Of each whole layer its measures and what they are by chance."""
    layers: dict[Place, dict[str, tuple[float, float | None]]] = {}
    # Rows as they are: a query would take longer than all of this.
    for layer, kind, units, measure, value, null, _, head in found.table.iter_rows():
        if head is None:
            layers.setdefault((layer, kind), {"units": (float(units), None)})[measure] = value, null
    return layers


def constant_share(measures: Measures) -> float:
    return _beside_random(measures, "constant_units")[0] / measures["units"][0]


def effective_neurons_in(measures: Measures) -> float:
    return measures.get("effective_neurons", measures["units"])[0]
