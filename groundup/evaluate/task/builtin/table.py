"""What a built-in task is made of, under which terms, and what it needs; see families.py."""

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
    level: int | None = None
    """The number after the name, as in `arithmetic.4`; None leaves it to the task."""


class BuiltIn(NamedTuple):
    """One built-in task."""

    make: Callable[[Asking], Task]
    about: str
    """One line for people."""
    licence: str
    """Terms of its data."""
    needs: str = ""
    """What must be there: a package, a sandbox; empty if nothing."""
