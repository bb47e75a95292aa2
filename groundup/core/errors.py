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
Kinds of artifacts and the commands that produce them are here for the messages about them.
"""

import errno
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal


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


class RunStopped(GroundupError):
    """A model or people give no further answers now; those so far are stored."""


class MissingExtra(GroundupError):
    """An optional dependency that is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package}, which is not installed; "
            f"run: pip install 'groundup[{extra}]'"
        )


def import_extra(module: str, extra: str, package: str = "") -> Any:
    """Import an optional module; MissingExtra if its package is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra(package or module, extra) from None


def find_extra(error: ModuleNotFoundError) -> MissingExtra | None:
    """The error of the extra that has a missing module; None for a module of no extra."""
    from importlib import metadata  # takes as long as all other imports of this room

    package = (error.name or "").partition(".")[0].replace("_", "-")
    pattern = re.compile(rf"{re.escape(package)}(?![\w-]).*extra == \W([\w-]+)", re.IGNORECASE)
    found = filter(None, map(pattern.match, metadata.requires("groundup") or ()))
    return next((MissingExtra(package, match[1]) for match in found if package), None)


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


Kind = Literal[
    "documents", "corpus", "tokenizer", "tokens", "vectors", "model", "adapter", "examples",
    "comparisons", "preferences", "testset", "index", "prompts", "verdict", "report",
]  # fmt: skip
COMMAND_OF_KIND: dict[str, str] = {
    "corpus": "`groundup corpus` or `groundup prepare`",
    "tokenizer": "`groundup tokenizer`",
    "tokens": "`groundup tokens`",
    "vectors": "`groundup vectors train`",
    "model": "`groundup pretrain`, `groundup finetune` or `groundup import`",
    "examples": "`groundup examples make` or `groundup examples import`",
    "comparisons": "`groundup preferences sample` or `groundup preferences revise`",
    "preferences": "`groundup preferences import` or `groundup preferences apply`",
    "adapter": "`groundup finetune --adapter lora`",
    "testset": "`groundup testset make`",
    "index": "`groundup index`",
    "verdict": "`groundup gate`",
    "report": "`groundup evaluate`",
}
"""Command that produces an artifact of a kind."""


def wrong_kind_message(kinds: Sequence[str], came: str, path: Path | str) -> str:
    """Error message for an artifact of the wrong kind.

    >>> wrong_kind_message(("index",), "a corpus", "runs/corpus")
    'Expected an index artifact, got a corpus (runs/corpus); make one with `groundup index`.'
    """
    makers = [COMMAND_OF_KIND[kind] for kind in kinds if kind in COMMAND_OF_KIND]
    remedy = f"; make one with {' or '.join(makers)}" if makers else ""
    return f"Expected {_with_article(' or '.join(kinds))} artifact, got {came} ({path}){remedy}."


def kind_with_article(kind: str) -> str:
    """A kind with its article, unless it is a plural.

    >>> kind_with_article("index"), kind_with_article("corpus"), kind_with_article("tokens")
    ('an index', 'a corpus', 'tokens')
    """
    return kind if kind.endswith("s") and kind != "corpus" else _with_article(kind)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def describe_path(path: Path) -> str:
    """Describe a path that has no manifest."""
    if (path / "ledger" / "current.jsonl").is_file():
        return "an index"
    if path.is_dir():
        return "a folder without manifest.json, or of a stage that did not finish"
    return "a file" if path.exists() else "nothing: there is no such folder"
