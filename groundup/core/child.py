"""Child Python processes: they import what this process imports, and nothing else.

Python puts the working directory, or a script's folder, first on `sys.path`, so in an untrusted
folder it would run that folder's `mmap.py`. Every Python process that groundup starts therefore
gets `-P` (inherited by its own children) and this process's path without the working directory.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package."""


def python_command(*arguments: str) -> list[str]:
    """Command that starts this interpreter without adding a folder to its path."""
    return [sys.executable, "-P", *arguments]


def python_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with changes, for a child with the same import path."""
    path = os.pathsep.join(_import_path())
    return {**os.environ, **(changes or {}), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _import_path() -> list[str]:
    """Absolute `sys.path` without the working directory.

    The working directory stays if running code came from there: this package, or the script that
    was started (not a module found by `-m`).
    """
    main = sys.modules.get("__main__")
    script = None if getattr(main, "__spec__", None) else getattr(main, "__file__", None)
    known = {str(PACKAGE_ROOT), os.path.dirname(os.path.realpath(script)) if script else ""}
    here = os.path.realpath(os.getcwd())
    # An editable install has an entry that names its import hook and no folder.
    folders = [each for each in sys.path if not each.endswith(".__path_hook__")]
    entries = dict.fromkeys(os.path.abspath(each) for each in folders)
    return [each for each in entries if (real := os.path.realpath(each)) != here or real in known]
