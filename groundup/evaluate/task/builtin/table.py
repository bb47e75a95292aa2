"""The built-in tasks by name: how each is made, under which terms, and what it needs."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..prompt import Chat
from ..task import Task


class Asking(NamedTuple):
    """What the caller decides for every task; a task takes what has a meaning for it."""

    data: Path | None = None
    """Folder with rows of data sets."""
    few_shot: int | None = None
    """Solved examples before a question; None leaves it to the task."""
    chat: Chat = Chat()
    """Whether and how the model's chat template is used."""
    seed: int = 1234
    """Of draws."""


class BuiltIn(NamedTuple):
    """One built-in task."""

    make: Callable[[Asking], Task]
    about: str
    """One line for people."""
    licence: str
    """Terms of its data."""
    needs: str = ""
    """What must be there: a package, a sandbox; empty if nothing."""


BUILTIN: dict[str, BuiltIn] = {}
"""Filled by the families; the order is the order in which they are listed."""
