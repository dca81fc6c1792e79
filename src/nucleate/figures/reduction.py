"""The network before and after its reduction."""

from matplotlib.figure import Figure

from nucleate.figures.style import BLUE, GREY, ORANGE, for_print, quiet
from nucleate.reduction import Reduction


@for_print
def before_and_after(reduction: Reduction) -> Figure:
    """Hidden widths, parameters and test metric of the network before and after, the metric beside simpler models.

    Parameters
    ----------
    reduction : Reduction

    Returns
    -------
    matplotlib Figure
    """
    figure = Figure(figsize=(7.0, 2.2), layout="constrained")
    widths, parameters, metric = figure.subplots(1, 3, width_ratios=(len(reduction.hidden.before), 1, 2))
    layers = range(1, len(reduction.hidden.before) + 1)
    for layer, before, after in zip(layers, reduction.hidden.before, reduction.hidden.after, strict=True):
        for offset, count, color in ((-0.2, before, GREY), (0.2, after, BLUE)):
            widths.bar(layer + offset, count, 0.36, color=color)
            widths.text(layer + offset, count, f"{count}", ha="center", va="bottom", fontsize="small")
    widths.set(title="hidden neurons", yscale="log", ylim=(0.7, 2.2 * max(reduction.hidden.before)))
    widths.set_xticks(layers, [f"layer {layer}" for layer in layers])
    counts = (reduction.parameters.before, reduction.parameters.after)
    parameters.bar(["before", "after"], counts, color=[GREY, BLUE], width=0.6)
    for place, count in enumerate(counts):
        parameters.text(place, count, f"{count:,}", ha="center", va="bottom", fontsize="small")
    parameters.set(title="parameters", yscale="log", ylim=(0.7, 2.2 * max(counts)))
    models = {"before": (reduction.test.before, GREY), "after": (reduction.test.after, BLUE)}
    models |= {baseline.name: (baseline.test, ORANGE) for baseline in reduction.baselines}
    for place, (value, color) in enumerate(models.values()):
        metric.plot(value, place, "o", color=color, ms=5)
        metric.annotate(
            f"{value:#.4g}", (value, place), (0, 5), textcoords="offset points", ha="center", fontsize="small"
        )
    metric.set_yticks(range(len(models)), list(models))
    metric.set(title=f"test {reduction.metric.name}", ylim=(len(models) - 0.5, -0.7))
    metric.margins(x=0.25)
    for panel in (widths, parameters, metric):
        quiet(panel)
    return figure
