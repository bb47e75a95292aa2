"""How many steps Python takes for a piece of work: lines run and functions called.

The count is the same on every machine and under every load, so that growth can be asserted. What a
function in C does inside, such as a regular expression, is one step here.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.checking import unchecked


class Counter:
    """Counts events of the interpreter."""

    def __init__(self) -> None:
        self.steps = 0

    def trace(self, frame: FrameType, event: str, value: Any) -> Callable[..., Any]:
        """Count a line, a call or a return."""
        self.steps += 1
        return self.trace


def steps_of(work: Callable[[], object]) -> int:
    """Steps that the work takes, without the checks of types that tests add."""
    counter, before = Counter(), sys.gettrace()
    with unchecked():
        sys.settrace(counter.trace)
        try:
            work()
        finally:
            sys.settrace(before)
    return counter.steps
