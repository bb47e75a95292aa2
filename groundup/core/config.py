"""Configurations: frozen, keyword-only records that reject unknown keys with a helpful error.

A stage has one `Config` subclass; each field has a docstring with its meaning and unit.
Values come from defaults, then a TOML file, then `key=value` settings, in that order.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .errors import ConfigError

ConfigType = TypeVar("ConfigType", bound="Config")
ChoiceType = TypeVar("ChoiceType", bound=str)
NULL = "null"
"""How None is written in TOML."""


@dataclass(frozen=True)
class InputFile:
    """Marks a setting that names a file or folder whose content affects the result.

    A key made of the configuration must also hash that content: see corpus/engine/files.
    """

    sign: str = ""
    """Prefix of values that name a file; empty: every value names one."""


File = Annotated[Path, InputFile()]
"""Type of such a setting; use `Annotated[str, InputFile("@")]` for a word or `@FILE`."""


@dataclass(frozen=True)
class HowRun:
    """Marks a setting that affects how a stage runs or is monitored, but not its result.

    It is not hashed into the artifact's key, so it may change when a stopped run resumes.
    """


class Config(BaseModel):
    """Base class of every configuration."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    def __init__(self, **values: Any) -> None:
        """Validate `values`; raise a one-line ConfigError for a wrong or unknown one."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(explain(type(self), error)) from None

    @model_validator(mode="before")
    @classmethod
    def read_null(cls, values: Any) -> Any:
        """TOML has no null: read "null" as None for optional settings that are not text."""
        if not isinstance(values, dict):
            return values
        words = [name for name, value in values.items() if isinstance(value, str) and value == NULL]
        return values | dict.fromkeys(name for name in words if may_be_null(cls, name))

    def plain(self) -> dict[str, Any]:
        """Return the configuration as JSON-ready values, every field included."""
        return self.model_dump(mode="json")

    def deciding(self) -> dict[str, Any]:
        """Values that determine the result: all except those marked `HowRun`, nested ones too.

        >>> class Run(Config):
        ...     steps: int = 8
        ...     quiet: Annotated[bool, HowRun()] = False
        >>> Run(quiet=True).deciding()
        {'steps': 8}
        """
        values, unhashed = self.plain(), how_run(type(self))
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Config):
                values[name] = value.deciding()
        return {name: value for name, value in values.items() if name not in unhashed}


def may_be_null(config: type[BaseModel], name: str) -> bool:
    """Whether a setting may be None and "null" is not also a valid text or path."""
    field = config.model_fields.get(name)
    parts = get_args(field.annotation) if field is not None else ()
    kinds = {getattr(part, "__origin__", part) for part in parts}  # Path of Annotated[Path, ...]
    return type(None) in kinds and not {str, Path} & kinds


def how_run(config: type[BaseModel]) -> list[str]:
    """Names of the settings marked `HowRun`."""
    fields = config.model_fields.items()
    return [name for name, field in fields if any(isinstance(m, HowRun) for m in field.metadata)]


def explain(config: type[BaseModel], error: ValidationError) -> str:
    """One-line message for the first validation error, with the closest valid key if any."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(field_names(config))
        return f"{config.__name__} has no key `{where}`; {nearest(where, known, 'valid keys')}"
    if first["type"] == "missing":
        return f"{config.__name__}.{where} is required and was not given."
    value = json.dumps(first.get("input"), default=str)
    message = first["msg"]
    if first["type"] == "tuple_type" and where in config.model_fields:
        message = f"Expected a list, in JSON as {list_form(config.model_fields[where].annotation)}"
    return f"{config.__name__}.{where}: {message}; got {value[:80]}."


def list_form(annotation: Any) -> str:
    """How a list setting is written with --set."""
    kinds = (annotation, *get_args(annotation))  # a tuple, or a tuple and None
    item = next((get_args(kind)[0] for kind in kinds if get_origin(kind) is tuple), None)
    keys = ", ".join(f'"{name}": …' for name in getattr(item, "model_fields", ()))
    return f"[{{{keys}}}, …]" if keys else "[…, …]" if item in (int, float) else '["…", …]'


def nearest(given: str, known: Sequence[str], all_of_them: str) -> str:
    """Hint for an unknown word: the closest known one, or all of them if none is close.

    >>> nearest("higer", ["higher", "lower"], "valid"), nearest("x", ["a", "b"], "valid")
    ('did you mean `higher`?', 'valid: a, b.')
    """
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"{all_of_them}: {', '.join(known)}."


def choice(name: str, value: ChoiceType, allowed: Iterable[str]) -> ChoiceType:
    """Return the value if it is one of the allowed words.

    Raises ConfigError naming the closest allowed word, or all of them.

    >>> choice("better", "lower", ("higher", "lower"))
    'lower'
    """
    known = list(allowed)
    if not isinstance(value, str) or value not in known:
        raise ConfigError(
            f"{name}={value!r} is unknown; {nearest(str(value), known, 'give one of')}"
        )
    return value


def field_names(config: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, nested ones included.

    >>> class Optim(Config):
    ...     learning_rate: float = 1e-3
    >>> class Run(Config):
    ...     optim: Optim = Optim()
    >>> list(field_names(Run))
    ['optim.learning_rate']
    """
    for name, field in config.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from field_names(inner, f"{prefix}{name}.")
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
        assign(values, key, parse_value(text.strip()))
    return config(**values)


def parse_value(text: str) -> Any:
    """Parse a setting's value as JSON, or return the string if it is not JSON.

    >>> parse_value("3e-4"), parse_value("true"), parse_value("adamw")
    (0.0003, True, 'adamw')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested dictionaries, creating intermediate ones."""
    *outer, last = key.split(".")
    for part in outer:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {key}: `{part}` is a value, not a group of keys.")
    values[last] = value


def changed(config: Config) -> Mapping[str, tuple[Any, Any]]:
    """Return the dotted keys that differ from their defaults, as (default, value)."""
    changes: dict[str, tuple[Any, Any]] = {}
    for name, field in type(config).model_fields.items():
        value, default = getattr(config, name), field.get_default(call_default_factory=True)
        if isinstance(value, Config):
            changes |= {f"{name}.{key}": pair for key, pair in changed(value).items()}
        elif value != default:
            changes[name] = (default, value)
    return changes


class Difference(NamedTuple):
    """A setting that differs between two configurations; a missing value is None."""

    name: str
    """Dotted."""
    old: Any
    new: Any


def differing(old: Any, new: Any, name: str = "") -> Iterator[Difference]:
    """Yield the differences between two JSON values, key by key.

    >>> [tuple(each) for each in differing({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})]
    [('a.b', 1, 3)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield Difference(name, old, new)


def toml_value(value: Any) -> str:
    """Format a value as one line of TOML; None is "null", or omitted inside a table."""
    if isinstance(value, Config):
        value = value.plain()
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if value is None:
        return json.dumps(NULL)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
