"""An ONNX file run by onnxruntime on raw rows."""

import json
import time

import numpy as np
import onnxruntime
import polars as pl
from jaxtyping import Float

from nucleate.exports.graph import NUMBERS, TEXTS
from nucleate.problems import Preprocessing
from nucleate.problems.checks import numbers_in, refuse_missing

_TIMED_CALLS = 30


def on_one_thread(content: bytes) -> onnxruntime.InferenceSession:
    """What runs an ONNX file of this content on one thread of the CPU, and logs errors alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class Session:
    """An ONNX file run by onnxruntime on one thread.

    Parameters
    ----------
    content : bytes
        The file's, as by `onnx_bytes`.
    """

    def __init__(self, content: bytes) -> None:
        self._session = on_one_thread(content)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return self._session.get_modelmeta().custom_metadata_map

    def __call__(self, rows: pl.DataFrame) -> dict[str, np.ndarray]:
        """The graph's outputs for raw rows, by name."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, self.feeds(rows)), strict=True))

    def predictions(self, rows: pl.DataFrame) -> Float[np.ndarray, "n c"]:
        """The predictions for raw rows, in the targets' own units, or class probabilities.

        Parameters
        ----------
        rows : polars DataFrame
            With the raw columns by name.

        Returns
        -------
        array of shape (n, c)
        """
        answers = self(rows)
        return answers["probabilities" if "probabilities" in answers else "prediction"]

    def feeds(self, rows: pl.DataFrame) -> dict[str, np.ndarray]:
        """Raw rows as the graph's inputs.

        Parameters
        ----------
        rows : polars DataFrame
            With the raw columns by name.

        Returns
        -------
        dict of str to array

        Raises
        ------
        DataError
            If a value is missing, and the graph does not impute.
        """
        numbers, texts = (rows.select(json.loads(self.metadata[name])) for name in (NUMBERS, TEXTS))
        if Preprocessing.from_json(self.metadata["preprocessing"]).impute is None:
            refuse_missing(rows.select(*numbers.columns, *texts.columns), "Input")
        feeds: dict[str, np.ndarray] = {}
        if numbers.width:
            # Row by row in memory: columns would be copied in every call.
            feeds[NUMBERS] = np.ascontiguousarray(numbers_in(numbers).T)
        if texts.width:
            feeds[TEXTS] = np.array(
                [["" if value is None else str(value) for value in row] for row in texts.iter_rows()], object
            )
        return feeds

    def seconds(self, rows: pl.DataFrame) -> float:
        """The median time of a call on these rows.

        Parameters
        ----------
        rows : polars DataFrame
            With the raw columns by name.

        Returns
        -------
        float
        """
        feeds, times = self.feeds(rows), []
        for _ in range(_TIMED_CALLS + 3):
            started = time.perf_counter()
            self._session.run(None, feeds)
            times.append(time.perf_counter() - started)
        return float(np.median(times[3:]))
