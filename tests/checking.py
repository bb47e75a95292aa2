"""What jaxtyping's hook puts around every function of groundup under pytest.

Types and shapes are checked as written; an int is a float where a float is asked for, as in Python.
While torch.compile traces a function there are no tensors to check, so the checks step aside; so
they do for a test that asks what a user gets, who runs without them.

Most functions name no shape. Those are checked by beartype alone: jaxtyping would bind the
arguments of each call twice and open a scope for sizes that nobody names, at twenty times the cost.

A loop calls a function with the same kinds of arguments thousands of times, which took a quarter of
the processor time of training's tests. So in each test the first calls of a function are checked,
all of them with GROUNDUP_CHECKED_CALLS=all, and its checks are made when it is first called.
"""

import functools
import inspect
import os
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FunctionType
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
    """What the hook calls: checks around a function, made at its first call."""
    if function is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if not isinstance(function, FunctionType) or inspect.iscoroutinefunction(function):
        return shaped(function, typechecker=typechecker)
    if not function.__annotations__:
        return function
    return checked_at_first(function, typechecker)


class Calls:
    """How many more calls of a function are checked in this test."""

    __slots__ = ("left", "test")
    limit = float(os.environ.get("GROUNDUP_CHECKED_CALLS", "2").replace("all", "inf"))
    current = 0
    """Number of the test that runs."""
    of: dict[CodeType, "Calls"] = {}
    """By code, since a function inside another is a new one at every call of that."""

    def __init__(self) -> None:
        self.left, self.test = 0.0, -1

    def run_out(self) -> bool:
        """Whether none is left; otherwise there is one less."""
        if self.test != Calls.current:
            self.left, self.test = Calls.limit, Calls.current
        self.left -= 1
        return self.left < 0


def checked_at_first(function: Any, typechecker: Any) -> Callable[..., Any]:
    """A function whose first calls in each test are checked, unless the checks step aside."""
    calls = Calls.of.setdefault(function.__code__, Calls())
    is_traced = torch.compiler.is_dynamo_compiling
    within: Any = None

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        nonlocal within
        __tracebackhide__ = True
        if is_traced() or (calls.left < 0 and calls.test == Calls.current):  # most calls
            return function(*given, **named)
        if torch.compiler.is_compiling() or is_off.get() or calls.run_out():
            return function(*given, **named)
        if within is None:
            within = (
                checked(function)
                if is_plain(function)
                else shaped(function, typechecker=typechecker)
            )
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
