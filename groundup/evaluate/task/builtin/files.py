"""Where the files of built-in tasks lie: in the folder for data, or in a package that carries them.

Nothing is fetched. What is not there is an error that names the package and the folder.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from groundup.core import ConfigError


def found_file(
    data: Path | None, names: Sequence[str], package: str, inner: str, command: str
) -> Path:
    """The first of a file's names, anywhere in the folder for data, then in a package.

    Raises ConfigError with the command that brings it.
    """
    carried = importlib.util.find_spec(package)
    places = [] if carried is None else [Path(p) for p in carried.submodule_search_locations or ()]
    given = [path for name in names for path in sorted(data.rglob(name))] if data else []
    inside = [place / inner / name for place in places for name in names]
    for path in (*given, *inside):
        if path.is_file():
            return path
    where = f"is not in {data}" if data else "is not here"
    raise ConfigError(
        f"This needs {names[0]}, which {where}; run: {command}, or give the folder that holds it "
        "as --data."
    )
