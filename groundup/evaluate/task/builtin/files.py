"""Finding the files of built-in tasks, in the data folder or in an installed package.

Nothing is downloaded; a missing file is an error that names the package.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from groundup.core import ConfigError


def find_data_file(
    data: Path | None, names: Sequence[str], package: str, folder: str, command: str
) -> Path:
    """The first existing file with one of these names, below `data` or in a package.

    Raises ConfigError with the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    roots = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or ()]
    in_data = [path for name in names for path in sorted(data.rglob(name))] if data else []
    in_package = [root / folder / name for root in roots for name in names]
    for path in (*in_data, *in_package):
        if path.is_file():
            return path
    where = f" in {data}" if data else ""
    raise ConfigError(f"Found no {names[0]}{where}; run: {command}, or pass its folder as --data.")
