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
        rank, had = now.get("effective_rank", (0.0, 0.0)), then.get("effective_rank", (0.0, 0.0))
        if had[0] and _is_collapsed(rank) != _is_collapsed(had):
            ranks = (
                f"the effective rank of its weights was {had[0]:.1f}, now {rank[0]:.1f} (random {rank[1] or 0.0:.1f})"
            )
            yield Event(step, layer, kind, "collapses" if _is_collapsed(rank) else "spreads", ranks)
        constant, before_it = (one.get("constant_units", (0.0, None))[0] for one in (now, then))
        units = now["units"][0]
        if (constant == units) != (before_it == units):
            what = "dies" if constant == units else "revives"
            yield Event(
                step, layer, kind, what, f"{constant:.0f} of its {units:.0f} units give one value for all inputs"
            )


def _is_condensed(measures: Measures) -> bool:
    return _points_one_way(measures) or _works_as_few(measures)


def _points_one_way(measures: Measures) -> bool:
    pairs, random = measures.get("condensed_pairs", (0.0, 0.0))
    return pairs > CONDENSED and (random or 0.0) < BY_CHANCE


def _works_as_few(measures: Measures) -> bool:
    """By its effective neurons; one whose units are all constant works as none, and is dead."""
    neurons, random = measures.get("effective_neurons", (0.0, None))
    return 0 < neurons < FEW * (random or 0.0)


def _said_of_pairs(then: Measures, now: Measures) -> str:
    (was, _), (pairs, random) = (one.get("condensed_pairs", (0.0, 0.0)) for one in (then, now))
    return f"{was:.0%} of its pairs of units pointed one way, now {pairs:.0%} (by chance {random or 0.0:.0%})"


def _said_of_work(then: Measures, now: Measures) -> str:
    (was, _), (neurons, random) = (one.get("effective_neurons", (0.0, 0.0)) for one in (then, now))
    return f"it worked as {was:.1f} neurons, now {neurons:.1f} (random {random or 0.0:.1f})"


def _is_collapsed(rank: tuple[float, float | None]) -> bool:
    return rank[0] < COLLAPSED * (rank[1] or 0.0)


def norms_in(measured: Measured) -> dict[Place, float]:
    """The norm of each layer, which is another once its weights have moved."""
    return {place: measures["norm"][0] for place, measures in measured.items()}


def by_layer(found: Inspection) -> Measured:
    """Of each whole layer its measures and what they are by chance."""
    layers: dict[Place, dict[str, tuple[float, float | None]]] = {}
    # Rows as they are: a query would take longer than all of this.
    for layer, kind, units, measure, value, null, _, head in found.table.iter_rows():
        if head is None:
            layers.setdefault((layer, kind), {"units": (float(units), None)})[measure] = value, null
    return layers


def constant_share(measures: Measures) -> float:
    return measures.get("constant_units", (0.0, None))[0] / measures["units"][0]


def effective_neurons_in(measures: Measures) -> float:
    return measures.get("effective_neurons", measures["units"])[0]
