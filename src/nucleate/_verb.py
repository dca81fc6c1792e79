"""A verb is a folder and a function of one name: this lets ``nucleate.sweep`` be both."""

from types import ModuleType
from typing import Any


class Verb(ModuleType):
    """A module that, called, calls the function of its own name in it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)
