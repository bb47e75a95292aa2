"""Code that task files name by `!function`: found, and run only when the caller trusts it.

    process_docs: !function utils.process_docs        the function of utils.py beside the YAML file

Such code can do all that the user can, so a file that needs it is refused until `trust_code` is
given. Most of it imports `datasets` only to name a type; where that package is absent, a module
with Dataset = Rows stands in for it while the file is read.
"""

import hashlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core import ConfigError, DataError, record

from .rows import Rows


@dataclass(frozen=True)
class Function:
    """A `!function` as it stands in a YAML file, not yet run."""

    file: Path
    """The YAML file that names it."""
    name: str
    """`module.function`, the module being a Python file beside the YAML file."""


@dataclass(frozen=True)
class Code:
    """A function of a task's own code, trusted and read."""

    name: str
    digest: str
    """sha256 hex of the file that defines it, shortened."""
    call: Callable[..., Any]

    def __str__(self) -> str:
        """As signatures show it: `utils.process_docs@1f0c22ab90de`."""
        return f"{self.name}@{self.digest}"


def trusted(value: Any, trust_code: bool) -> Any:
    """The value with every Function in it read into Code.

    Raises ConfigError naming the file if code is named but not trusted, or cannot be read.
    """
    if isinstance(value, Function):
        return read(value, trust_code)
    if isinstance(value, dict):
        return {key: trusted(inner, trust_code) for key, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner, trust_code) for inner in value]
    return value


def read(function: Function, trust_code: bool) -> Code:
    """Run the Python file and return the function it defines."""
    module_name, _, name = function.name.rpartition(".")
    path = (function.file.parent / f"{module_name.replace('.', '/')}.py").resolve()
    if not module_name or not path.is_file():
        raise ConfigError(
            f"{function.file} names `!function {function.name}`; expected FILE.FUNCTION with "
            f"{path.name if module_name else 'FILE.py'} beside it, and there is none."
        )
    if not trust_code:
        raise ConfigError(
            f"{function.file} runs code of {path}; read that file, then allow it by "
            "--set trust_code=true."
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    found = getattr(module(path, digest), name, None)
    if not callable(found):
        raise ConfigError(f"{path} has no function `{name}`, which {function.file} names.")
    return Code(function.name, digest, found)


def run(code: Code, file: Path, on: str, call: Callable[[], Any]) -> Any:
    """Call a task's own code; whatever it raises becomes a DataError that names it."""
    try:
        return call()
    except Exception as error:
        said = record.one_line(f"{type(error).__name__}: {error}")
        raise DataError(f"{file}: {code.name} failed on {on} ({said}).") from error


def module(path: Path, digest: str) -> types.ModuleType:
    """The module of a Python file; the same file with the same content is run once."""
    name = f"groundup_task_code_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    try:
        with datasets_stand_in():
            spec.loader.exec_module(found)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"The task's code {path} cannot be run ({type(error).__name__}: {error}); "
            "install what it imports, or take the task without it."
        ) from error
    return found


@contextmanager
def datasets_stand_in() -> Iterator[None]:
    """Let `import datasets` work while task code is read, if the package itself is absent."""
    if "datasets" in sys.modules or importlib.util.find_spec("datasets") is not None:
        yield
        return
    stand_in = types.ModuleType("datasets")
    stand_in.Dataset = Rows  # type: ignore[attr-defined]
    sys.modules["datasets"] = stand_in
    try:
        yield
    finally:
        del sys.modules["datasets"]
