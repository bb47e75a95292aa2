"""Errors that users can act on: what was expected, what came, what to do.

    GroundupError
    ├── ConfigError      a setting or an argument is wrong          exit 2
    ├── ArtifactError    a directory is not what it claims to be    exit 1
    ├── DataError        a document, row or file cannot be used     exit 1
    ├── ShapeError       tensors do not fit each other              exit 1
    ├── CapacityError    memory, disk or context ran out            exit 1
    ├── EndpointError    a server does not answer as asked          exit 1
    ├── ProcessLost      another process of a mesh died or failed   exit 1
    ├── RunStopped       answers are missing that may still come    exit 1
    ├── MissingExtra     an optional package is absent              exit 2
    └── GateFailed       a measured bound is on the wrong side      exit 3
        └── GateUndecided    the data cannot tell on which          exit 4

The command line prints `str(error)` as one line and exits with `exit_code`.
"""

import errno
from pathlib import Path


class GroundupError(Exception):
    """Base class of failures that are reported to the user as one line."""

    exit_code = 1


class ConfigError(GroundupError):
    """An invalid setting, flag or combination of them."""

    exit_code = 2


class ArtifactError(GroundupError):
    """An artifact that is missing, incomplete, damaged or of another kind."""


class DataError(GroundupError):
    """Input data that cannot be used; the message names the file or row."""


class ProcessLost(GroundupError):
    """Another process of a distributed run died or failed; the message names it."""


class ShapeError(GroundupError):
    """Tensors or sizes that do not fit each other."""


class CapacityError(GroundupError):
    """Not enough memory, disk or context; the message says how much is needed."""


class MissingExtra(GroundupError):
    """An optional dependency that is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package}, which is not installed; "
            f"run: pip install 'groundup[{extra}]'"
        )


class GateFailed(GroundupError):
    """A measured bound lies on the wrong side of a gate's threshold; the verdict is on disk."""

    exit_code = 3


class GateUndecided(GateFailed):
    """There is too little data to decide a gate either way; the verdict is on disk."""

    exit_code = 4


def disk_error(out: Path, error: OSError) -> CapacityError | ArtifactError:
    """Turn an operating system error into one with a remedy."""
    if remedy := disk_remedy(error.errno):
        what = "A file is too large" if error.errno == errno.EFBIG else "No space left"
        return CapacityError(
            f"{what} while writing to {out}; {remedy} and run the same command again: "
            "what is complete stays."
        )
    path, why = error.filename or out, error.strerror or str(error)
    if error.errno == errno.ELOOP:
        return ArtifactError(f"{path} is a symbolic link; remove it.")
    if error.errno == errno.ENOENT:  # parents are created too, so this is a special file system
        why = "the system makes no files there"
    return ArtifactError(f"Cannot use {path}: {why}; choose another --out.")


def disk_remedy(number: int | None) -> str:
    """Remedy for a full disk or a file size limit, by errno; empty for other errors.

    >>> disk_remedy(errno.ENOSPC)
    'free some room'
    """
    if number == errno.EFBIG:
        return "raise the limit on the size of files (ulimit -f, or the file system's own)"
    return "free some room" if number in (errno.ENOSPC, errno.EDQUOT) else ""
