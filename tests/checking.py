"""What jaxtyping's hook puts around every function of groundup under pytest.

Types and shapes are checked as written; an int is a float where a float is asked for, as in Python.
While torch.compile traces a function there are no tensors to check, so the checks step aside; so
they do for a test that asks what a user gets, who runs without them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from beartype import BeartypeConf, beartype
from jaxtyping import config

is_off = ContextVar("is_off", default=False)

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
type(config).jaxtyping_disable = property(
    lambda self: is_off.get() or torch.compiler.is_compiling()
)


@contextmanager
def unchecked() -> Iterator[None]:
    """Run groundup as a user does, to see what its own checks say of a wrong argument."""
    token = is_off.set(True)
    try:
        yield
    finally:
        is_off.reset(token)
