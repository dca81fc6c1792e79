"""Small linear algebra beside other work."""

from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController

_BLAS = ThreadpoolController().select(user_api="blas")


def single_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread.

    OpenBLAS threads wait by spinning: where training shares the cores, two of them made a call of 2 ms take 340.
    """
    return _BLAS.limit(limits=1)
