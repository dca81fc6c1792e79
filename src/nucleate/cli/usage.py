"""What parsing refuses, in sentences that name the flag, the value and the remedy."""

import re
from collections.abc import Callable
from typing import Any

from nucleate._wording import did_you_mean, say_invalid
from nucleate.init_scale import CONVENTIONS


def as_flag(name: str) -> str:
    """A parameter of Python's as its flag is written."""
    return f"--{name.replace('_', '-')}"


def is_usage_error(error: BaseException) -> bool:
    """Whether parsing raised it; typer does not export the class."""
    return any(one.__name__ == "UsageError" for one in type(error).__mro__)


def say_usage(error: Any) -> str:
    """A usage error of the parser's, typer's own click, which does not export its classes, as one sentence."""
    context, kind = error.ctx, type(error).__name__
    command = "nucleate" if context is None else context.command_path
    see = f"see `{command} --help`."
    if kind == "NoSuchOption":
        flags = [flag for one in context.command.params for flag in (*one.opts, *one.secondary_opts) if flag[:1] == "-"]
        return (
            f"There is no flag {error.option_name} of `{command}`{did_you_mean(error.option_name, flags) or f'; {see}'}"
        )
    if kind == "BadOptionUsage":
        needs = "takes no value; leave it out" if "not take" in error.message else "needs a value; give one"
        return f"The flag {error.option_name} {needs}."
    if kind == "MissingParameter":
        return f"`{command}` needs {_name(error.param)}; {see}"
    if kind == "BadParameter":
        return _say_bad_value(error, see)
    if hasattr(context.command, "commands"):
        given = _found(error.message, r"'(.*?)'\.")
        return f"There is no command {given!r}{did_you_mean(given, context.command.commands) or f'; {see}'}"
    more = _found(error.message, r"argument\(s\) \((.*)\)$")
    return f"`{command}` has no use for {more!r}; leave it out, or {see}"


def _found(message: str, pattern: str) -> str:
    found = re.search(pattern, message, re.DOTALL)
    return found[1] if found else message


def _say_bad_value(error: Any, see: str) -> str:
    name = _name(error.param)
    if hasattr(error.__cause__, "errors"):
        return say_invalid(error.__cause__.errors(include_url=False)[0], name)
    return f"{name} {error.message}" if error.message.startswith("is ") else f"{name} cannot be as given; {see}"


def _name(parameter: Any) -> str:
    """A flag as it is written, an argument as the help writes it."""
    return (
        str(parameter.opts[0]) if parameter.opts[0].startswith("-") else (parameter.metavar or parameter.name).upper()
    )


def flag_of(command: Any, arguments: list[str]) -> Callable[[str], str | None]:
    """What the command given calls a parameter of Python's; None for one that it lacks."""
    given = next((command.commands[word] for word in arguments if word in command.commands), None)
    parameters = {one.name: one for one in ([] if given is None else given.params)}

    def flag(name: str) -> str | None:
        known = parameters.get(name) or parameters.get(ONE_OF.get(name, ""))
        return None if known is None else _name(known)

    return flag


ONE_OF = {f"{name}s": name for name in (*CONVENTIONS, "lr", "weight_decay", "seed")}
"""The flags of one run that stand for a field of the spec with several values."""
