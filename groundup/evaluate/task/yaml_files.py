"""lm-eval's YAML files and the Python code that they name.

`include` chains are resolved, keys of the including file taking precedence. A folder is read once
into an index of tasks, groups and tags. `!function utils.process_docs` names code in utils.py next
to the file; it has all rights of the user, so a file that needs it is rejected without
`trust_code`. Most such code imports `datasets` only for a type annotation; where that package is
missing, a stub module with Dataset = DatasetRows replaces it during the import.
"""

import difflib
import hashlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    ConfigError,
    DataError,
    import_extra,
    is_within,
    record,
    require_regular_file,
)

from .data import DatasetRows


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
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:12]
    function_object = getattr(_import_module(path, source, digest), name, None)
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


def _import_module(path: Path, source: bytes, digest: str) -> types.ModuleType:
    name = f"groundup_task_code_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file always has a loader"
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        with _datasets_stub():
            # Not by the loader: its bytecode may be of a version saved in the same second.
            exec(compile(source, path, "exec"), vars(loaded))
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


YamlMapping = dict[str, Any]


class TaskDefinition(NamedTuple):
    """A task or group that a YAML file defines."""

    file: Path
    settings: YamlMapping


class TaskIndex(NamedTuple):
    """All names that the YAML files of a folder define."""

    tasks: dict[str, TaskDefinition]
    groups: dict[str, TaskDefinition]
    tags: dict[str, list[str]]
    """Sorted names of each tag's tasks."""

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self.tasks, *self.groups, *self.tags})


EMPTY_INDEX = TaskIndex({}, {}, {})
MAX_NODES = 100_000
"""Maximum values in a YAML file; task files have some hundreds."""


def read_yaml(file: Path, roots: tuple[Path, ...] = (), seen: tuple[Path, ...] = ()) -> YamlMapping:
    """Read one file's keys, merged over those of the files it includes.

    roots  folders in addition to its own from which it may include

    Raises ConfigError naming the file and line for invalid YAML, a file that is not a mapping, a
    circular include, or an include outside those folders.
    """
    file = file.resolve()
    roots = roots if seen else (file.parent, *roots)
    if file in seen:
        raise ConfigError(f"{seen[-1]} includes {file.name}, which includes it again.")
    settings = _parse_yaml(file)
    if not isinstance(settings, dict):
        raise ConfigError(f"{file} must be `key: value` lines; got {type(settings).__name__}.")
    merged: YamlMapping = {}
    included = settings.pop("include", [])
    for name in included if isinstance(included, list) else [included]:
        if not any(is_within(file.parent / str(name), root) for root in roots):
            raise ConfigError(
                f"{file} includes {name!r}, which is not below its folder; pass a folder of both "
                "as --include if the task may read it."
            )
        if not isinstance(name, str) or not (file.parent / name).is_file():
            raise ConfigError(f"{file} includes {name!r}, which does not exist.")
        inner = read_yaml(file.parent / name, roots, (*seen, file))
        inner.pop("task_list", None)  # names tasks of the included file alone
        merged |= inner
    return merged | settings


def _parse_yaml(file: Path) -> Any:
    """Parse a file; `!function` is the only tag that is allowed."""
    yaml = import_extra("yaml", "evaluate", "pyyaml")

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        """Bound to one file, which each FunctionReference records."""

    Loader.add_constructor("!function", lambda _, node: FunctionReference(file, str(node.value)))
    try:
        loader = Loader(require_regular_file(file).read_bytes())
        try:
            node = loader.get_single_node()
            _check_expanded_size(node, file)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except OSError as error:
        raise ConfigError(f"Cannot read the task file {file}: {error.strerror}.") from None
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise ConfigError(f"{file} is not valid YAML for a task file: {message}.") from None


def _check_expanded_size(root: Any, file: Path) -> None:
    sizes: dict[int, int] = {}
    stack = [(root, False)] if root is not None else []
    while stack:
        node, is_counted = stack.pop()
        value = node.value if isinstance(node.value, list) else []
        inner = [each for pair in value for each in (pair if isinstance(pair, tuple) else (pair,))]
        if is_counted:
            if any(sizes[id(each)] == 0 for each in inner):
                raise ConfigError(f"{file} has an alias inside its own anchor.")
            sizes[id(node)] = 1 + sum(sizes[id(each)] for each in inner)
            if sizes[id(node)] > MAX_NODES:
                raise ConfigError(f"{file} has more than {MAX_NODES:,} values with its aliases.")
        elif id(node) not in sizes:
            sizes[id(node)] = 0
            stack += [(node, True), *((each, False) for each in inner)]


def read_task_index(folder: Path) -> TaskIndex:
    """Index the names that a folder's YAML files define, subfolders included.

    A file that cannot be read is reported and skipped; of equal names the first is used. Raises
    ConfigError if there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"--include expects a folder of YAML task files; there is no {folder}.")
    index = TaskIndex({}, {}, {})
    for file in sorted(folder.rglob("*.yaml")):
        if {"__pycache__", ".ipynb_checkpoints"}.isdisjoint(file.parts):
            try:
                _add_definition(index, TaskDefinition(file, read_yaml(file, (folder,))))
            except ConfigError as error:
                record.log(f"skipped: {error}")
    for names in index.tags.values():
        names.sort()
    return index


def _add_definition(index: TaskIndex, defined: TaskDefinition) -> None:
    """Add a file's task or group; a file with neither is only included by others."""
    settings = defined.settings
    kind = "group" if "group" in settings and "class" not in settings else "task"
    names, name = (index.groups if kind == "group" else index.tasks), settings.get(kind)
    if not isinstance(name, str):
        return
    if name in names:
        record.log(f"{defined.file}: {kind} {name} is already defined by {names[name].file}.")
        return
    names[name] = defined
    tags = settings.get("tag") if kind == "task" else None
    for tag in tags if isinstance(tags, list) else [tags] if tags else []:
        index.tags.setdefault(str(tag), []).append(name)


def did_you_mean(name: str, names: Mapping[str, Any] | list[str]) -> str:
    """`; did you mean …?` with the most similar name, or an empty string."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else ""
