"""A full disk, told as what it is wherever something is written."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from groundup.core import CapacityError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""How NumPy says that a file did not take all; it gives no number."""


def full_disk(place: Path | str, error: OSError) -> Exception:
    """The error as one line that helps, if it says that no more can be written."""
    if error.errno not in FULL and not SHORT_WRITE.search(str(error)):
        return error
    return CapacityError(
        f"No space left while writing to {os.fspath(place)} ({error.strerror or error}); free some "
        "and run the same command again: every shard that is complete stays."
    )


@contextlib.contextmanager
def telling_full_disk(place: Path) -> Iterator[None]:
    """Raise CapacityError where the block finds the disk full."""
    try:
        yield
    except OSError as error:
        raise full_disk(place, error) from error
