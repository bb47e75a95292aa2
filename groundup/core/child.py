"""Child processes of this interpreter: they import what this process imports, and nothing else.

Python puts the working directory, or a script's folder, first on the path of what it starts. In a
folder from a stranger that runs the stranger's `mmap.py`. So every Python that groundup starts gets
its command and its environment here: `-P`, the same said to what the child starts in its turn, and
this process's path without the working directory.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
"""The folder that holds the package."""


def python_command(*arguments: str) -> list[str]:
    """The command that starts this interpreter with arguments, nothing put on its path."""
    return [sys.executable, "-P", *arguments]


def python_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, with changes, for a Python that imports what we do."""
    path = os.pathsep.join(import_path())
    return {**os.environ, **(changes or {}), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def import_path() -> list[str]:
    """The folders that this process imports from, absolute, without the working directory.

    It stays if code that runs already came from there: this package, or the script that was
    started (which is no module that `-m` found).
    """
    main = sys.modules.get("__main__")
    script = None if getattr(main, "__spec__", None) else getattr(main, "__file__", None)
    known = {str(PACKAGE), os.path.dirname(os.path.realpath(script)) if script else ""}
    here = os.path.realpath(os.getcwd())
    entries = dict.fromkeys(os.path.abspath(entry) for entry in sys.path)
    return [each for each in entries if (real := os.path.realpath(each)) != here or real in known]
