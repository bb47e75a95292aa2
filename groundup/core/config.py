"""Configurations: frozen, keyword-only records that reject unknown keys with a helpful error.

A stage has one `Config` subclass; each field has a docstring with its meaning and unit.
Values come from defaults, then a TOML file, then `key=value` settings, in that order.
"""

import ast
import difflib
import inspect
import json
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from .errors import ConfigError

ConfigType = TypeVar("ConfigType", bound="Config")
ChoiceType = TypeVar("ChoiceType", bound=str)
TOML_NULL = "null"
"""How None is written in TOML."""


@dataclass(frozen=True)
class InputFile:
    """Marks a setting that names a file or folder whose content affects the result.

    A key made of the configuration must also hash that content: see corpus/engine/specs.py.
    """

    prefix: str = ""
    """Prefix of values that name a file; empty: every value names one."""


InputPath = Annotated[Path, InputFile()]
"""Type of such a setting; use `Annotated[str, InputFile("@")]` for a word or `@FILE`."""


@dataclass(frozen=True)
class Unhashed:
    """Marks a setting that affects how a stage runs or is monitored, but not its result.

    It is not hashed into the artifact's key, so it may change when a stopped run resumes.
    """


class Config(BaseModel):
    """Base class of every configuration."""

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    def __init__(self, **values: Any) -> None:
        """Validate `values`; raise a one-line ConfigError for a wrong or unknown one."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_validation_message(type(self), error)) from None

    @model_validator(mode="before")
    @classmethod
    def parse_null(cls, values: Any) -> Any:
        """TOML has no null: read "null" as None for optional settings that are not text."""
        if not isinstance(values, dict):
            return values
        words = [
            name for name, value in values.items() if isinstance(value, str) and value == TOML_NULL
        ]
        return values | dict.fromkeys(name for name in words if _is_nullable(cls, name))

    @model_validator(mode="before")
    @classmethod
    def accept_old_names(cls, values: Any) -> Any:
        """Read settings by their former names, so that older files and artifacts still open."""
        if not isinstance(values, dict):
            return values
        new = {old: name for name, old in _old_names(cls).items() if name not in values}
        read = {new.get(name, name): value for name, value in values.items()}
        for name in [name for name in new.values() if name in read and "." in name]:
            outer, _, inner = name.partition(".")  # it moved into a nested configuration
            read[outer] = {inner: read.pop(name)} | dict(read.get(outer) or {})
        return read

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON-ready values, every field included."""
        return self.model_dump(mode="json")

    def values_by_old_name(self) -> dict[str, Any]:
        """`hashed_values` by the names before renaming: what older artifacts' keys were made of."""
        values = self.hashed_values()
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Config) and name in values:
                values[name] = value.values_by_old_name()
        old = _old_names(type(self))
        return {old.get(name, name): value for name, value in values.items()}

    def hashed_values(self) -> dict[str, Any]:
        """Values that determine the result: all except those marked `Unhashed`, nested ones too.

        >>> class Run(Config):
        ...     steps: int = 8
        ...     quiet: Annotated[bool, Unhashed()] = False
        >>> Run(quiet=True).hashed_values()
        {'steps': 8}
        """
        values, unhashed = self.to_dict(), unhashed_fields(type(self))
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Config):
                values[name] = value.hashed_values()
        return {name: value for name, value in values.items() if name not in unhashed}


def _old_names(config: type[BaseModel]) -> dict[str, str]:
    """Former names of a configuration's renamed settings, by the present name."""
    tables = [_renamed_settings().get(base.__name__, {}) for base in config.__mro__]
    return {new: old for table in tables for old, new in table.items()}


@cache
def _renamed_settings() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("renamed_settings.toml").read_text("utf-8"))


def _is_nullable(config: type[BaseModel], name: str) -> bool:
    """Whether a setting may be None and "null" is not also a valid text or path."""
    field = config.model_fields.get(name)
    parts = get_args(field.annotation) if field is not None else ()
    kinds = {getattr(part, "__origin__", part) for part in parts}  # Path of Annotated[Path, ...]
    return type(None) in kinds and not {str, Path} & kinds


def ordered_fields(config: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a configuration, its own before those that it inherits."""
    names = [name for kind in config.__mro__ for name in kind.__dict__.get("__annotations__", {})]
    return {name: config.model_fields[name] for name in names if name in config.model_fields}


def documented_fields(config: type[Config]) -> dict[str, FieldInfo]:
    """`ordered_fields` with their docstrings as descriptions, which are parsed for help alone."""
    texts: dict[str, str] = {}
    for kind in reversed(config.__mro__[: config.__mro__.index(Config)]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        for field, text in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                texts[ast.unparse(field.target)] = inspect.cleandoc(ast.literal_eval(text.value))
    fields = ordered_fields(config)
    for name, field in fields.items():
        field.description = texts.get(name)
    return fields


def unhashed_fields(config: type[BaseModel]) -> list[str]:
    """Names of the settings marked `Unhashed`."""
    fields = config.model_fields.items()
    return [name for name, field in fields if any(isinstance(m, Unhashed) for m in field.metadata)]


def _validation_message(config: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        keys = list(_field_names(config))
        by_name = {key.rpartition(".")[2]: key for key in reversed(keys)}
        by_name |= {old: key for key, old in _old_names(config).items()}
        near = difflib.get_close_matches(where.rpartition(".")[2], by_name, n=3, cutoff=0.6)
        listed = ", ".join(f"`{key}`" for key in dict.fromkeys(by_name[name] for name in near))
        more = "" if len(keys) <= 12 else " `--help` lists all keys."
        every = more.strip() or f"valid keys: {', '.join(keys)}."
        hint = f"did you mean {listed}?{more}" if near else every
        return f"{config.__name__} has no key `{where}`; {hint}"
    if first["type"] == "missing":
        return f"{config.__name__}.{where} is required and was not given."
    value = json.dumps(first.get("input"), default=str)
    message = first["msg"]
    if first["type"] == "tuple_type" and where in config.model_fields:
        message = (
            f"Expected a list, in JSON as {_list_syntax(config.model_fields[where].annotation)}"
        )
    return f"{config.__name__}.{where}: {message}; got {value[:80]}."


def _list_syntax(annotation: Any) -> str:
    kinds = (annotation, *get_args(annotation))  # a tuple, or a tuple and None
    item = next((get_args(kind)[0] for kind in kinds if get_origin(kind) is tuple), None)
    keys = ", ".join(f'"{name}": …' for name in getattr(item, "model_fields", ()))
    return f"[{{{keys}}}, …]" if keys else "[…, …]" if item in (int, float) else '["…", …]'


def _suggest_word(given: str, known: Sequence[str], all_of_them: str) -> str:
    """Hint for an unknown word: the closest known one, or all of them if none is close.

    >>> _suggest_word("higer", ["higher", "low"], "valid"), _suggest_word("x", ["a", "b"], "valid")
    ('did you mean `higher`?', 'valid: a, b.')
    """
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"{all_of_them}: {', '.join(known)}."


def check_choice(name: str, value: ChoiceType, allowed: Iterable[str]) -> ChoiceType:
    """Return the value if it is one of the allowed words.

    Raises ConfigError naming the closest allowed word, or all of them.

    >>> check_choice("better", "lower", ("higher", "lower"))
    'lower'
    """
    known = list(allowed)
    if not isinstance(value, str) or value not in known:
        raise ConfigError(
            f"{name}={value!r} is unknown; {_suggest_word(str(value), known, 'give one of')}"
        )
    return value


def _field_names(config: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, nested ones included.

    >>> class Optim(Config):
    ...     learning_rate: float = 1e-3
    >>> class Run(Config):
    ...     optim: Optim = Optim()
    >>> list(_field_names(Run))
    ['optim.learning_rate']
    """
    for name, field in ordered_fields(config).items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _field_names(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def load_config(
    config: type[ConfigType], file: Path | None = None, settings: Iterable[str] = ()
) -> ConfigType:
    """Build a configuration from defaults, a TOML file and `dotted.key=value` settings.

    A setting overrides the file. Raises ConfigError naming the file, the key and the closest valid
    key, and for a key that is set twice.
    """
    values: dict[str, Any] = {}
    if file is not None:
        if file.exists() and not file.is_file():  # reading a pipe might never end
            raise ConfigError(f"Expected a TOML file as configuration; {file} is no regular file.")
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"Cannot read the configuration {file}: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not valid TOML: {error}.") from None
    keys = list[str]()
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals:
            raise ConfigError(f"--set expects key=value; got {setting!r}.")
        if any(other == key or other.startswith(f"{key}.") for other in keys):
            raise ConfigError(f"--set {setting} replaces what an earlier --set gave; give one.")
        keys.append(key)
        _set_nested(values, key, _parse_value(text.strip()))
    return config(**values)


def _parse_value(text: str) -> Any:
    """Parse a setting's value as JSON, or return the string if it is not JSON.

    >>> _parse_value("3e-4"), _parse_value("true"), _parse_value("adamw")
    (0.0003, True, 'adamw')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _set_nested(values: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for part in outer:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {key}: `{part}` is a value, not a group of keys.")
    values[last] = value


def changed_settings(config: Config) -> Mapping[str, tuple[Any, Any]]:
    """Return the dotted keys that differ from their defaults, as (default, value)."""
    changes: dict[str, tuple[Any, Any]] = {}
    for name, field in type(config).model_fields.items():
        value, default = getattr(config, name), field.get_default(call_default_factory=True)
        if isinstance(value, Config):
            changes |= {f"{name}.{key}": pair for key, pair in changed_settings(value).items()}
        elif value != default:
            changes[name] = (default, value)
    return changes


class SettingDifference(NamedTuple):
    """A setting that differs between two configurations; a missing value is None."""

    name: str
    """Dotted."""
    old: Any
    new: Any


def setting_differences(old: Any, new: Any, name: str = "") -> Iterator[SettingDifference]:
    """Yield the differences between two JSON values, key by key.

    >>> old, new = {"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}
    >>> [tuple(each) for each in setting_differences(old, new)]
    [('a.b', 1, 3)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from setting_differences(
                old.get(key), new.get(key), f"{name}.{key}" if name else key
            )
    elif old != new:
        yield SettingDifference(name, old, new)


def format_toml(value: Any) -> str:
    """Format a value as one line of TOML; None is "null", or omitted inside a table."""
    if isinstance(value, Config):
        value = value.to_dict()
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {format_toml(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_toml, value)) + "]"
    if value is None:
        return json.dumps(TOML_NULL)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
