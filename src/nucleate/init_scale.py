"""How small a network starts: the field's three conventions for the standard deviation of initial parameters."""

from dataclasses import dataclass
from typing import Literal, get_args

from nucleate._arrays import is_real
from nucleate.errors import ArchitectureError

Convention = Literal["epsilon", "gamma", "gain"]


@dataclass(frozen=True)
class InitScale:
    """Standard deviation of a layer's initial weights and biases, all normal with mean zero.

    Parameters
    ----------
    convention : {"epsilon", "gamma", "gain"}
        - ``epsilon``: std = value, the same for all layers (Chen and Luo, arXiv 2402.15958).
        - ``gamma``: std = m^-value, with ``m`` the width of the hidden layer the weights feed, or for the output layer
          the width they read (Luo et al. 2021, arXiv 2007.07497; Zhou et al. 2022, arXiv 2105.11686).
        - ``gain``: std = value / sqrt(fan_in), so that gain 1 is the usual scaling.
    value : float
        Positive for epsilon and gain; any finite number for gamma.

    Raises
    ------
    ArchitectureError
        For another convention or a value out of range.

    Examples
    --------
    >>> InitScale("gamma", 4.0).std(fan_in=5, fan_out=50, output_layer=False) == 50**-4.0
    True
    >>> InitScale("gain", 0.1).std(fan_in=100, fan_out=7, output_layer=False)
    0.01
    """

    convention: Convention
    value: float

    def __post_init__(self) -> None:
        if self.convention not in get_args(Convention):
            raise ArchitectureError(
                f"There is no init scale convention {self.convention!r}; choose epsilon, gamma or gain."
            )
        # The bounds also turn away NaN and infinity.
        low = -64.0 if self.convention == "gamma" else 0.0
        if not is_real(self.value) or not low < self.value < 1e6:
            bound = "between -64 and 1e6" if self.convention == "gamma" else "positive and below 1e6"
            raise ArchitectureError(f"The init scale {self.convention} is {self.value!r:.60}; it must be {bound}.")

    @property
    def smallness(self) -> float:
        """Grows as the scale gets smaller: a larger gamma is a smaller scale."""
        return self.value if self.convention == "gamma" else -self.value

    def std(self, fan_in: int, fan_out: int, *, output_layer: bool) -> float:
        """The standard deviation for a layer that reads ``fan_in`` numbers and makes ``fan_out``."""
        match self.convention:
            case "epsilon":
                return self.value
            case "gamma":
                return float((fan_in if output_layer else fan_out) ** -self.value)
            case "gain":
                return float(self.value / fan_in**0.5)
