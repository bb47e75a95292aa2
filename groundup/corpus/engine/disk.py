"""Full disks, reported as CapacityError wherever the engine writes."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from groundup.core import CapacityError

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""NumPy's message for a short write; its OSError has no errno."""


def as_capacity_error(path: Path | str, error: OSError) -> Exception:
    """A CapacityError if the disk is full, else the error itself."""
    if error.errno not in DISK_FULL_ERRNOS and not SHORT_WRITE.search(str(error)):
        return error
    return CapacityError(
        f"No space left while writing to {os.fspath(path)} ({error.strerror or error}); free some "
        "and run the same command again: complete shards are kept."
    )


@contextlib.contextmanager
def catch_full_disk(path: Path) -> Iterator[None]:
    """Raise CapacityError if the block finds the disk full."""
    try:
        yield
    except OSError as error:
        raise as_capacity_error(path, error) from error
