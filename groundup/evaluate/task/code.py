"""Python code that task files name by `!function`, run only if the caller trusts it.

    process_docs: !function utils.process_docs        in utils.py next to the YAML file

Such code has all rights of the user, so a file that needs it is rejected without `trust_code`. Most
of it imports `datasets` only for a type annotation; where that package is missing, a stub module
with Dataset = DatasetRows replaces it during the import.
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

from .dataset import DatasetRows


@dataclass(frozen=True)
class FunctionReference:
    """A `!function` of a YAML file, not yet loaded."""

    file: Path
    """The YAML file that names it."""
    name: str
    """`module.function`, the module being a Python file next to the YAML file."""


@dataclass(frozen=True)
class TaskCode:
    """A loaded function of a task's own code."""

    name: str
    digest: str
    """Start of the sha256 of the file that defines it."""
    call: Callable[..., Any]

    def __str__(self) -> str:
        """As in signatures: `utils.process_docs@1f0c22ab90de`."""
        return f"{self.name}@{self.digest}"


def load_code(value: Any, trust_code: bool) -> Any:
    """The value with every FunctionReference in it loaded as TaskCode.

    Raises ConfigError naming the file if code is not trusted or cannot be loaded.
    """
    if isinstance(value, FunctionReference):
        return _load_function(value, trust_code)
    if isinstance(value, dict):
        return {key: load_code(inner, trust_code) for key, inner in value.items()}
    if isinstance(value, list):
        return [load_code(inner, trust_code) for inner in value]
    return value


def _load_function(function: FunctionReference, trust_code: bool) -> TaskCode:
    """Import the Python file and return its function."""
    module_name, _, name = function.name.rpartition(".")
    path = (function.file.parent / f"{module_name.replace('.', '/')}.py").resolve()
    if not module_name or not path.is_file():
        raise ConfigError(
            f"{function.file} names `!function {function.name}`; expected FILE.FUNCTION, and "
            f"{path.name if module_name else 'FILE.py'} next to it."
        )
    if not trust_code:
        raise ConfigError(
            f"{function.file} runs the code of {path}; review that file, then allow it by "
            "--set trust_code=true."
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    function_object = getattr(_import_module(path, digest), name, None)
    if not callable(function_object):
        raise ConfigError(f"{path} has no function `{name}`, which {function.file} names.")
    return TaskCode(function.name, digest, function_object)


def call_code(code: TaskCode, file: Path, subject: str, call: Callable[[], Any]) -> Any:
    """Call a task's own code; any exception becomes a DataError that names it."""
    try:
        return call()
    except Exception as error:
        message = record.single_line(f"{type(error).__name__}: {error}")
        raise DataError(f"{file}: {code.name} failed on {subject} ({message}).") from error


def _import_module(path: Path, digest: str) -> types.ModuleType:
    """Import a Python file; equal files are imported once."""
    name = f"groundup_task_code_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        with _datasets_stub():
            spec.loader.exec_module(loaded)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"The task's code {path} cannot be run ({type(error).__name__}: {error}); "
            "install what it imports."
        ) from error
    return loaded


@contextmanager
def _datasets_stub() -> Iterator[None]:
    """Make `import datasets` work during the import of task code, if the package is missing."""
    if "datasets" in sys.modules or importlib.util.find_spec("datasets") is not None:
        yield
        return
    stand_in = types.ModuleType("datasets")
    stand_in.Dataset = DatasetRows  # type: ignore[attr-defined]
    sys.modules["datasets"] = stand_in
    try:
        yield
    finally:
        del sys.modules["datasets"]
