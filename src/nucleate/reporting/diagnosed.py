"""What the page and the commands say of a diagnosis: each finding, what was tried, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from nucleate._wording import say_share
from nucleate.doctor import Diagnosis, Finding, Remedy
from nucleate.reporting.words import Texts, load_texts, say_widths

_SHARES = (
    *("lost", "damped", "top", "jumps", "share", "at_start", "explained", "stuck", "stuck_wider", "spread", "linear"),
    *("network", "forgotten", "gap", "falling", "dropout", "decayed"),
)


def say_finding(finding: Finding, lang: str = "en", *, before: float | None = None) -> str:
    """A finding as sentences: what was measured, and which settings helped, did not, or are to be tried.

    ``before`` is what the run itself explained of the constant's loss on validation, beside which a trial is told.

    >>> say_finding(Finding("initial_plateau", {"steps": 1000}, (Remedy("lr", 0.5),)))
    'The loss is still on its initial plateau after 1,000 steps. To try: a learning rate of 0.5.'
    """
    texts = load_texts(lang)
    sentences = texts["doctor"]
    said = [_verdict(finding, texts)]
    helped = finding.helped
    if helped is not None:
        fields = {"what": _what(helped, texts), "steps": f"{helped.steps:,}"}
        shares = {"explained": helped.explained, "before": before}
        told = {name: _share(share or 0.0) for name, share in shares.items()}
        said.append(sentences["helped"].format(**fields, **told))
    groups: dict[str, Sequence[Remedy]] = {
        "not_helped": [one for one in finding.remedies if one.helped is False],
        "forecast": [one for one in finding.remedies if one.known == "forecast"],
        "rule": [one for one in finding.remedies if one.known == "rule" and helped is None],
    }
    for key, remedies in groups.items():
        if remedies:
            said.append(sentences[key].format(what=sentences["comma"].join(_what(one, texts) for one in remedies)))
    return sentences["space"].join(said)


def say_diagnosis(diagnosis: Diagnosis, lang: str = "en") -> list[str]:
    """The findings in order; behind one that there is nothing to mend by, what is good to know.

    Parameters
    ----------
    diagnosis : Diagnosis
    lang : {"en", "ja"}

    Returns
    -------
    list of str
    """
    before = diagnosis.evidence.kept
    first, *rest = (say_finding(finding, lang, before=before) for finding in diagnosis.findings)
    aside = load_texts(lang)["doctor"]["aside"]
    return [first, *(sentence if diagnosis.holds_back else aside.format(sentence=sentence) for sentence in rest)]


def _verdict(finding: Finding, texts: Texts) -> str:
    evidence, sentences = finding.evidence, texts["doctor"]
    key = finding.verdict
    variants = {
        "unscaled_input": "others" if evidence.get("others") is not None else "",
        "unscaled_target": _of_target(evidence),
        "rate_too_large": "" if evidence.get("by") == "driven" else evidence.get("by", ""),
        "initial_plateau": "ends" if evidence.get("end") is not None else "",
        "rate_too_small": _of_rate(evidence),
        "fine": _of_fine(evidence),
        "stopped_too_early": "" if finding.helped is not None and finding.helped.setting == "steps" else "falling",
        "too_few_units": "chance" if "stuck" in evidence else "",
        "stands_still": "gradients" if evidence.get("gradients") else "",
        "constant_output": _of_constant(evidence),
        "nothing_to_learn": "alone" if evidence.get("linear") is None else "",
    }
    variant = variants.get(key)
    numbers = {name: _say(name, value) for name, value in evidence.items()}
    said = sentences[f"{key}_{variant}" if variant else key].format(**numbers)
    grows = key == "rate_too_large" and evidence.get("watched")
    more = "steps_grow" if grows else "has_decayed" if key == "overfitting" and "decay" in evidence else ""
    return said + sentences["space"] + sentences[more].format(**numbers) if more else said


def _of_target(evidence: Mapping[str, Any]) -> str:
    if not evidence.get("swamped"):
        return ""
    return "swamped_too" if evidence.get("off") else "swamped"


def _of_fine(evidence: Mapping[str, Any]) -> str:
    if evidence.get("beside_constant") == "alike":
        return "alike"
    return "copies" if "steps" in evidence else "watched" if "watched" in evidence else ""


def _of_constant(evidence: Mapping[str, Any]) -> str:
    return "layer" if evidence.get("layer") is not None else "always" if "always" in evidence else ""


def _of_rate(evidence: Mapping[str, Any]) -> str:
    if "scheduled" in evidence:
        return "scheduled"
    return "" if evidence.get("edge") == evidence.get("edge") else "fixed"


def _say(name: str, value: Any) -> str:
    if name in _SHARES and isinstance(value, float):
        return _share(value)
    if isinstance(value, bool | str) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _share(value: float) -> str:
    """To a hundredth of a percent; less than nothing is none."""
    return say_share(round(max(value, 0.0), 4))


def _what(remedy: Remedy, texts: Texts) -> str:
    sentences, value = texts["doctor"], remedy.value
    is_widths = isinstance(value, tuple) and remedy.setting == "hidden"
    said = say_widths(value) if is_widths else _say("", value)
    what = sentences[f"of_{remedy.setting}"].format(value=sentences.get(said, said))
    return what if remedy.end is None else sentences["by_step"].format(what=what, end=f"{remedy.end:,}")
