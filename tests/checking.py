"""What jaxtyping's hook puts around every function of groundup under pytest.

Types and shapes are checked as written; an int is a float where a float is asked for, as in Python.
While torch.compile traces a function there are no tensors to check, so the checks step aside; so
they do for a test that asks what a user gets, who runs without them.

Most functions name no shape. Those are checked by beartype alone: jaxtyping would bind the
arguments of each call twice and open a scope for sizes that nobody names, at twenty times the cost.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import jaxtyping
import torch
from beartype import BeartypeConf, beartype

is_off = ContextVar("is_off", default=False)

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
shaped = jaxtyping.jaxtyped


def steps_aside(config: Any = None) -> bool:
    """Whether nothing is checked at this moment."""
    return is_off.get() or torch.compiler.is_compiling()


def names_a_shape(hint: Any) -> bool:
    """Whether an annotation has one of jaxtyping's types in it.

    >>> names_a_shape(list[jaxtyping.Float[torch.Tensor, "B"] | None]), names_a_shape(list[int])
    (True, False)
    """
    if isinstance(hint, list | tuple):  # of the arguments of a Callable
        return any(map(names_a_shape, hint))
    inner = (*typing.get_args(hint), getattr(hint, "__bound__", None))
    return type(hint).__module__.startswith("jaxtyping") or any(
        names_a_shape(each) for each in inner if each is not None
    )


def is_plain(function: Any) -> bool:
    """Whether beartype alone finds what jaxtyping would."""
    if not isinstance(function, FunctionType) or inspect.isgeneratorfunction(function):
        return False  # what it gives comes later
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return False
    if any(isinstance(hint, str) for hint in function.__annotations__.values()):
        return False
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:
        return False  # a name that is not known yet, which jaxtyping takes for anything
    return not any(map(names_a_shape, hints.values()))


def jaxtyped(function: Any = None, *, typechecker: Any) -> Any:
    """What the hook calls: beartype's checks where those are all, jaxtyping's elsewhere."""
    if function is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if not is_plain(function):
        return shaped(function, typechecker=typechecker)
    return plain(function)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function checked by beartype, unless the checks step aside."""
    within = checked(function)
    if within is function:
        return function  # it says nothing of its types

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        if is_off.get() or torch.compiler.is_compiling():
            return function(*given, **named)
        return within(*given, **named)

    return call


jaxtyping.jaxtyped = jaxtyped
type(jaxtyping.config).jaxtyping_disable = property(steps_aside)


@contextmanager
def unchecked() -> Iterator[None]:
    """Run groundup as a user does, to see what its own checks say of a wrong argument."""
    token = is_off.set(True)
    try:
        yield
    finally:
        is_off.reset(token)
