"""The page of a run's checkpoints: pictures of every matrix over the steps, those of arXiv 2510.06954 among them.

Of a watch the loss with its stages, and what happened to layers, stand there too.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from nucleate._files import check_file
from nucleate.inspection import Checkpoints, Picture
from nucleate.observe import stages
from nucleate.observe.snapshots import spaced
from nucleate.reporting.payload import encoded, neurons_shown, pictures
from nucleate.reporting.templates import write_page
from nucleate.reporting.words import Texts, load_texts

_MOST_MAPS = 40
_ROUNDING = 1e-6
"""Cosines in single precision tell directions below this share of the largest variance from nothing no more."""
_CURVES = ("norm", "effective_rank", "condensed_pairs", "relative_distance", "effective_neurons")


def report_checkpoints(found: Checkpoints, lang: str = "en", out: str | Path = "report.html") -> Path:
    """Write the page of a run's checkpoints: directions, cosines, singular values, norms and ranks over the steps.

    The page holds all it needs, opens from disk and asks no network for anything.

    Parameters
    ----------
    found : Checkpoints
        What `nucleate.inspect` gave for a pattern, or `Watch.checkpoints`.
    lang : {"en", "ja"}
    out : path
        The HTML file; it appears whole or not at all.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    NucleateError
        For an unknown language, or if the page cannot be written.
    """
    texts, out = load_texts(lang), Path(out)
    check_file(out)
    data, t = _payload(found, texts), _words(found, texts)
    first, last = found.steps[0], found.steps[-1]
    write_page(
        out,
        "checkpoints",
        texts,
        data,
        lang=lang,
        t=t,
        title=t["title"].format(name=found.name),
        lead=t["lead"].format(first=f"{first:,}", last=f"{last:,}", count=len(found.steps)),
        noscript=texts["page"]["noscript"],
        found=found,
        reasons=[
            (_translated(reason, "reasons", texts), names)
            for reason, names in found.left_out.group_by("reason", maintain_order=True).agg("parameter").iter_rows()
        ],
        notes=[_translated(note, "notes", texts) for note in found.notes],
        stages=_say_stages(data["loss"]["stages"], texts) if data["loss"] else [],
        events=[
            event | {"what": texts["events"][event["what"]], "said": _translated(event["said"], "said", texts)}
            for event in map(asdict, found.events)
        ],
        rows=_rows(data),
    )
    return out


def _translated(said: str, section: str, texts: Texts) -> str:
    """A sentence that was said in English, in the language of the page; one that is not known stays as it is."""
    for key, pattern in load_texts("en")[section].items():
        found = re.fullmatch(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(pattern)), said)
        if found is not None:
            return texts[section][key].format(**found.groupdict())
    return said


def _words(found: Checkpoints, texts: Texts) -> dict[str, str]:
    """What the page is in: a watch has records of its own training, and no files."""
    return dict(texts["checkpoints"]) | (dict(texts["watch"]) if found.watched else {})


def _loss(found: Checkpoints) -> dict[str, Any] | None:
    """The losses over the steps whose weights they are of, and the stages between them."""
    known = sorted((step - 1, loss) for step, loss in found.losses.items() if np.isfinite(loss))
    if len(known) < 2:
        return None
    steps, losses = (np.array(column) for column in zip(*known, strict=True))
    between: list[dict[str, Any]] = []
    # A host that tells means of many steps tells nothing of the start, from which stages are read.
    if steps[0] == 0:
        read = stages(steps, losses)
        for index, (start, end) in enumerate(pairwise([0.0, *read.boundaries, float(steps[-1])])):
            name = "initial" if index == 0 else "descent" if index % 2 else "secondary"
            between.append({"name": name, "start": start, "end": end})
        if read.risen:
            between[-1]["name"] = "rise"
    return {
        "steps": [int(step) for step in steps],
        "values": [float(f"{loss:.6g}") for loss in losses],
        "stages": between,
    }


def _say_stages(between: list[dict[str, Any]], texts: Texts) -> list[str]:
    t = texts["watch"]
    return [
        t["stage"].format(stage=t[f"stage_{one['name']}"], start=f"{one['start']:,.0f}", end=f"{one['end']:,.0f}")
        for one in between
    ]


def _payload(found: Checkpoints, texts: Texts) -> dict[str, Any]:
    """What the script draws: of every whole matrix its curves, and its pictures at up to 40 of the steps."""
    whole = found.table.filter(pl.col("head").is_null())
    shown = spaced(len(found.steps), _MOST_MAPS)
    places = list(found.pictures[0])
    neurons = neurons_shown(len(places) * len(shown))
    curves = {
        measure: whole.filter(pl.col("measure") == measure).partition_by("layer", "kind", as_dict=True)
        for measure in _CURVES
    }
    works = curves["effective_neurons"]
    return {
        "texts": _words(found, texts),
        "loss": _loss(found),
        "steps": list(found.steps),
        "shown": [int(index) for index in shown],
        "works": bool(works),
        "layers": [
            {
                "name": f"{layer} ({kind})",
                **{measure: _along(found.steps, of.get((layer, kind)), "value") for measure, of in curves.items()},
                "random_rank": _along(found.steps, curves["effective_rank"][layer, kind], "null"),
                "random_neurons": _along(found.steps, works.get((layer, kind)), "null"),
                **_pictures([found.pictures[index][layer, kind] for index in shown], neurons),
            }
            for layer, kind in places
        ],
    }


def _along(steps: Sequence[int], rows: pl.DataFrame | None, column: str) -> list[float | None]:
    """A measure at each step; None where it was not measured, or is not finite."""
    known = {} if rows is None else dict(rows.select("step", column).iter_rows())
    values = [known.get(step) for step in steps]
    return [float(f"{value:.6g}") if value is not None and np.isfinite(value) else None for value in values]


def _pictures(taken: list[Picture], neurons: int) -> dict[str, Any]:
    """What is drawn of a matrix at each step, and the singular values of a random one."""
    rows = spaced(len(taken[0].cosine), neurons)
    cosines = [one.cosine[np.ix_(rows, rows)].astype(np.float64) for one in taken]
    sizes = [one.sizes[rows].astype(np.float64) for one in taken]
    singular, random = (np.stack([getattr(one, of) for one in taken]) for of in ("singular", "random"))
    drawn = pictures(cosines, in_planes(cosines, sizes), np.array(sizes), singular)
    return drawn | {"random": encoded(random.astype("<f4"))}


def in_planes(
    cosines: Sequence[Float[np.ndarray, "k k"]], sizes: Sequence[Float[np.ndarray, " k"]]
) -> Float[np.ndarray, "snapshots k 2"]:
    """Unit vectors, of which the cosines are known, each time in the plane of the two leading directions then.

    As in `nucleate.figures.run.in_plane` sizes weigh, so that the plane is that of the units that do the work. Each
    picture is turned, and reflected where need be, to be as near the one before it as it can; all are inside the unit
    circle.
    """
    planes: list[np.ndarray] = []
    for cosine, size in zip(cosines, sizes, strict=True):
        values, vectors = np.linalg.eigh(size[:, None] * cosine * size)
        leading = np.argsort(-values)[:2]
        lengths = np.sqrt(np.where(values[leading] > _ROUNDING * values.max(), values[leading], np.inf))
        plane = np.zeros((len(cosine), 2))
        plane[:, : len(leading)] = cosine @ (size[:, None] * vectors[:, leading]) / lengths
        # Rounding may carry a point over the rim.
        plane /= np.maximum(np.linalg.norm(plane, axis=1, keepdims=True), 1.0)
        if planes:
            left, _, right = np.linalg.svd(plane.T @ planes[-1])
            plane = plane @ left @ right
        planes.append(plane)
    return np.stack(planes)


def _rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The table under the pictures: every matrix at the first step, where it is most condensed, and at the last."""
    return [
        {
            "name": layer["name"],
            "pairs": _ends_and(max, layer["condensed_pairs"]),
            "rank": _ends_and(min, layer["effective_rank"]),
            "random": layer["random_rank"][-1],
            "norm": layer["norm"][-1] / layer["norm"][0] - 1 if layer["norm"][0] else None,
            "moved": layer["relative_distance"][-1],
            "works": _ends_and(min, layer["effective_neurons"]),
        }
        for layer in data["layers"]
    ]


def _ends_and(extreme: Callable[[Sequence[float]], float], values: Sequence[float | None]) -> tuple[float, ...] | None:
    """The first, an extreme and the last of what was measured: what condensed on the way may have split again."""
    known = [value for value in values if value is not None]
    return (known[0], extreme(known), known[-1]) if known else None
