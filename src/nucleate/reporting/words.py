"""Words for numbers and things, in the language of a page: a share, a metric, a setting, a cell."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import polars as pl

from nucleate._wording import choose_one, in_digits
from nucleate.baselines import Baseline
from nucleate.errors import NucleateError
from nucleate.problems import LOSSES, Metric
from nucleate.studies import Cell, StudySpec
from nucleate.studies.summary import counted

LANGUAGES = ("en", "ja")
Texts = Mapping[str, Mapping[str, str]]


def load_texts(lang: str) -> dict[str, dict[str, str]]:
    """The texts of one of `LANGUAGES`, by section and name, with the fields to fill in braces.

    >>> load_texts("ja")["answer"]["heading"]
    '結論'
    """
    if lang not in LANGUAGES:
        raise NucleateError(f"There is no language {lang!r}{choose_one(lang, LANGUAGES)}.")
    return tomllib.loads((files("nucleate.reporting") / "texts" / f"{lang}.toml").read_text("utf-8"))


def say(value: float) -> str:
    """A number in four digits, for people: no exponent, thousands apart."""
    if not math.isfinite(value):
        return "—"
    return in_digits(value, 4) if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"


def say_neurons(counts: Sequence[float]) -> str:
    """Numbers of neurons, a layer each: ``3.3 + 1.0``; a dash where one is not known."""
    return " + ".join(f"{count:.1f}" if math.isfinite(count) else "—" for count in counts)


def say_widths(widths: Sequence[int]) -> str:
    """Widths, a layer each: ``100 + 100``."""
    return " + ".join(f"{width:,}" for width in widths)


def say_milliseconds(seconds: float) -> str:
    """A duration in milliseconds, without the unit."""
    return say(float(f"{1000 * seconds:.3g}"))


def say_times(ratio: float) -> str:
    """How many times as fast: ``1.0``, ``5.5``, ``123``."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def say_metric(metric: Metric, value: float) -> str:
    """A share as a percentage, another metric as it is."""
    if not math.isfinite(value):
        return "—"
    if metric.is_share:
        return f"{100 * value:.1f} %"
    # Zeros at the end are kept, as the numbers of a column have them.
    return f"{value:#.4g}".rstrip(".") if abs(value) < 999.5 else in_digits(value, 4)


def say_further(name: str, value: float) -> str:
    """A further metric, of which a study keeps the name alone: a share as a percentage, another as it is."""
    shares = [metric for loss in LOSSES.values() for metric in loss.further if metric.is_share]
    return next((say_metric(metric, value) for metric in shares if _kind(metric.name) == _kind(name)), say(value))


def name_metric(metric: Metric | str, texts: Texts) -> str:
    """The words for a metric, or its own name where there are none; behind a colon it has what it is held against."""
    name = metric if isinstance(metric, str) else metric.name
    kind, _, level = name.partition(":")
    return texts["metric"].get(kind, name).replace("{level}", level)


def _kind(name: str) -> str:
    return name.partition(":")[0]


def say_setting(value: Any) -> str:
    """A setting of a spec: an object by its name, with its parameters; several values with commas.

    >>> say_setting({"name": "momentum", "momentum": 0.9}), say_setting((50, 50)), say_setting(None)
    ('momentum (momentum 0.9)', '50, 50', '—')
    """
    if value is None or value == ():
        return "—"
    if isinstance(value, Mapping):
        parameters = ", ".join(f"{name} {say_setting(said)}" for name, said in value.items() if name != "name")
        return f"{value['name']} ({parameters})" if parameters else str(value["name"])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(say_setting, value))
    return str(getattr(value, "name", value))


def name_baseline(baseline: Baseline, texts: Texts) -> str:
    """The words for a baseline, or its own name where there are none."""
    return texts["baseline"].get(baseline.name.replace(" ", "_"), baseline.name)


def say_difference(metric: Metric, difference: float, texts: Texts) -> str:
    """How far apart two values of a metric are: of shares in percentage points."""
    if metric.is_share:
        return texts["metric"]["points"].format(points=f"{100 * difference:.1f}")
    return in_digits(difference, 3)


def say_statuses(runs: pl.DataFrame, texts: Texts) -> str:
    """How runs ended, and how many so."""
    ended = pl.when(pl.col("stage") == "rise").then(pl.lit("risen")).otherwise(pl.col("status"))
    return ", ".join(
        texts["answer"]["ended"].format(status=texts["status"][status], count=count)
        for status, count in counted(runs.select(ended).to_series())
    )


def name_cell(spec: StudySpec, cell: Cell, texts: Texts) -> str:
    """Init scale and learning rate, and where there are weight decays that too."""
    rate = say_rate(spec, cell.lr, cell.weight_decay, texts)
    return texts["runs"]["cell"].format(convention=spec.convention, scale=f"{cell.scale:g}", lr=rate)


def say_rate(spec: StudySpec, rate: float, weight_decay: float, texts: Texts) -> str:
    """A learning rate, and where a study has weight decays the one beside it."""
    return f"{rate:g}{texts['runs']['and_decay'].format(decay=f'{weight_decay:g}') if spec.decays else ''}"


def say_and_rate(rate: float, weight_decay: float | None, texts: Texts) -> str:
    """What follows an init scale within a sentence: the learning rate, and a weight decay where there is one."""
    if weight_decay is None:
        return texts["runs"]["and_rate"].format(lr=f"{rate:g}")
    return texts["runs"]["and_rate_and_decay"].format(lr=f"{rate:g}", decay=f"{weight_decay:g}")
