"""What the page and the commands say of forecasts: runs that stayed on their plateau, and which way neurons turn."""

import polars as pl

from nucleate._wording import say_share
from nucleate.errors import NucleateError
from nucleate.forecasting import CLEAR, StepForecast
from nucleate.reporting.words import Texts, load_texts, say_and_rate
from nucleate.studies import Findings, Study, tables
from nucleate.sweeping import Outlook, Remedy
from nucleate.sweeping.forecasts import stairs_of

NO_SECOND = 1e-3
"""A second singular value of a smaller share of the first is rounding: there is one direction."""


def say_outlook(outlook: Outlook, lang: str = "en") -> str:
    """How long runs stood on their plateau, when it is forecast to end, and which settings would end it.

    Parameters
    ----------
    outlook : Outlook
    lang : {"en", "ja"}

    Returns
    -------
    str

    Raises
    ------
    NucleateError
        For an unknown language.

    Examples
    --------
    >>> said = say_outlook(Outlook("gain", 0.01, 0.05, runs=2, steps=1000, end=1557, searched=1000))
    >>> said.split(". ")[1]
    'The forecast: as they are set, the plateau ends by step 1,557.'
    """
    texts = load_texts(lang)
    sentences = texts["stuck"]
    fields = {
        "convention": outlook.convention,
        "scale": f"{outlook.scale:g}",
        "and_rate": say_and_rate(outlook.lr, outlook.weight_decay if outlook.decays else None, texts),
        "runs": str(outlook.runs),
        "steps": f"{outlook.steps:,}",
        "end": "" if outlook.end is None else f"{outlook.end:,}",
        "searched": f"{outlook.searched:,}",
        "followed": f"{outlook.followed:,}",
        "share": say_share(outlook.linear_share or 0.0),
        "remedies": sentences["comma"].join(_say_remedy(remedy, texts) for remedy in outlook.remedies),
        "tried": sentences["comma"].join(_name_setting(setting, texts) for setting in outlook.tried),
    }
    keys = ["took_one" if outlook.runs == 1 else "took", outlook.verdict.replace(" ", "_")]
    if outlook.tried:
        keys.append("helps" if outlook.remedies else "helps_not")
    return sentences["space"].join(sentences[key].format(**fields) for key in keys)


def _say_remedy(remedy: Remedy, texts: Texts) -> str:
    value = remedy.value if isinstance(remedy.value, str) else f"{remedy.value:g}"
    return texts["stuck"]["remedy" if remedy.in_regime else "remedy_rough"].format(
        setting=_name_setting(remedy.setting, texts),
        value=texts["stuck"].get(f"bias_{value}", value),
        end=f"{remedy.end:,}",
    )


def _name_setting(setting: str, texts: Texts) -> str:
    return texts["stuck"].get(setting, setting)


def say_gap(study: Study, texts: Texts) -> str | None:
    """Whether the theory has the neurons turn to the target direction; None where there is no second direction."""
    gaps = study.forecasts.get_column(tables.GAP, default=pl.Series([None])).drop_nulls().to_list()
    gap = max(gaps, default=0.0)
    if gap < NO_SECOND:
        return None
    cosines = study.forecasts[tables.AXIS_COSINE].drop_nulls().to_list()
    key = "gap_clear" if gap <= CLEAR else "gap_near" if len(cosines) else "gap_unknown"
    low, high = (min(cosines), max(cosines)) if len(cosines) else (0.0, 0.0)
    return texts["runs"][key].format(gap=f"{gap:.2f}", low=f"{low:.2f}", high=f"{high:.2f}")


def say_stairs(findings: Findings, texts: Texts) -> str | None:
    """When the stairs of the loss begin and end by the forecast, of the recommended field's first seed.

    None where there are no stairs behind the first descent, or nothing can be forecast.
    """
    if not findings.trained:
        return None
    run, words = findings.recommended.runs[0], texts["runs"]
    try:
        stairs = stairs_of(findings.study, run)
    except NucleateError:
        # Data that moved are not there to forecast from.
        return None

    def say(step: StepForecast | None, in_regime: bool) -> str:
        if step is None:
            return words["stair_not"]
        fields = {name: f"{getattr(step, name):,}" for name in ("estimate", "lower", "upper")}
        return words["stair_step" if in_regime else "stair_rough"].format(**fields)

    told = [stair for stair in stairs if stair.begins is not None]
    if len(told) < 2:
        return None
    each = [
        words["stair"].format(
            place=place, begins=say(stair.begins, stair.in_regime), ends=say(stair.ends, stair.end_in_regime)
        )
        for place, stair in enumerate(told, 1)
    ]
    said = words["stairs"].format(
        run=run, steps=f"{findings.study.spec.steps:,}", each=texts["stuck"]["comma"].join(each)
    )
    rough = not all(stair.in_regime and (stair.end_in_regime or stair.ends is None) for stair in told)
    return texts["stuck"]["space"].join([said, *([words["stairs_rough"]] if rough else [])])
