"""Compiling: whether a run's blocks are compiled, and that it is said if they are not."""

from groundup.core import device, record
from groundup.model import Transformer

from ..checkpoint.store import Resumed


def compiling(model: Transformer, resumed: Resumed) -> bool:
    """Compile for training as the run that is resumed did; say so and return False if it cannot be.

    GROUNDUP_COMPILE=0 turns compiling off.
    """
    wanted = bool(device.compiler()) and bool(resumed.contract.get("compiled", True))
    if wanted and model.compile_blocks():
        return True
    record.say("Training runs uncompiled, slower but right: no C++ compiler, or it is turned off.")
    return False
