"""Real data that ship with scikit-learn and matplotlib; nothing is downloaded."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from nucleate.problems._tables import table_from_array

ELEVATION_ROWS = 5000

Table = tuple[pl.DataFrame, tuple[str, ...]]
"""Raw columns, and which of them are the target."""


def _scikit_learn(name: str, *targets: str, **options: Any) -> Table:
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(**options)
    values = bunch.target
    if values.dtype.kind == "i":
        values = np.asarray(bunch.target_names, str)[values]
    inputs = table_from_array(bunch.data, [str(feature) for feature in bunch.feature_names])
    return inputs.hstack(table_from_array(values.reshape(len(values), -1), targets)), targets


def _elevation() -> Table:
    """5000 points of the digital elevation model, the same at every call.

    The surface is rough at every scale, so a network that condenses onto few directions is not expected to do well.
    """
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as model:
        height = model["elevation"]
        latitude = np.linspace(model["ymin"], model["ymax"], height.shape[0])
        longitude = np.linspace(model["xmin"], model["xmax"], height.shape[1])
    points = np.sort(np.random.default_rng(0).permutation(height.size)[:ELEVATION_ROWS])
    row, column = np.unravel_index(points, height.shape)
    table = {"longitude": longitude[column], "latitude": latitude[row], "height": height[row, column]}
    return pl.DataFrame(table), ("height",)


BUNDLED: dict[str, Callable[[], Table]] = {
    "diabetes": partial(_scikit_learn, "diabetes", "progression", scaled=False),
    "breast_cancer": partial(_scikit_learn, "breast_cancer", "diagnosis"),
    "wine": partial(_scikit_learn, "wine", "cultivar"),
    "digits": partial(_scikit_learn, "digits", "digit"),
    "iris": partial(_scikit_learn, "iris", "species"),
    "linnerud": partial(_scikit_learn, "linnerud", "weight", "waist", "pulse"),
    "elevation": _elevation,
}
