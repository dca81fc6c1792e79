"""An experiment whose outcome is planted, to test what is made of it."""

from typing import NamedTuple

from matplotlib.figure import Figure

from nucleate.experiments import Criterion, Experiment, Measurement


class Size(NamedTuple):
    numbers: tuple[float, ...]


class Planted:
    """Gives an experiment that counts how often it is measured."""

    def __init__(self, *numbers, name="planted"):
        def measure(size, progress):
            # Counted on the function itself: what it closes over would make it another measurement.
            measure.measured += 1
            progress(1.0)
            figure = Figure()
            figure.subplots().plot(size.numbers)
            return Measurement(size.numbers, figure)

        measure.measured = 0
        self.measure = measure
        self.experiment = Experiment(
            name=name,
            claim="<b>Bold</b> claims & others",
            source="nobody, arXiv 0000.00000",
            setting="numbers {numbers}",
            criteria=(Criterion("first", "at least", 1.0), Criterion("second", "at most", 0.5)),
            quick=Size(numbers),
            full=Size(numbers[::-1]),
            measure=measure,
        )

    @property
    def measured(self):
        return self.measure.measured
