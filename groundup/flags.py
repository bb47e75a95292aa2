"""A function's parameters as flags: artifacts as directories, a configuration as settings.

A stage's artifacts become `--name DIR`, its configuration `--config FILE.toml` and
`--set key=value`, everything else a flag or an argument of its type. What the docstring says of a
parameter stands beside its flag. The verbs are in verbs.py; knows nothing of exit codes.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    get_args,
    get_origin,
    get_type_hints,
)

from groundup.core import Artifact, Config, ConfigError, Kind, load_config

from .verbs import VERBS, below, example_and_docs, table

if TYPE_CHECKING:
    import cyclopts

COMMAND = "groundup"
KINDS: dict[str, tuple[Kind, ...]] = {
    "base": ("model",),
    "corpus": ("corpus",),
    "examples": ("examples",),
    "first": ("corpus",),
    "fit": ("report",),
    "forecast": ("report",),
    "model": ("model",),
    "run": ("model",),
    "second": ("corpus",),
    "sweep": ("report",),
    "test": ("testset",),
    "testset": ("testset",),
    "tokenizer": ("tokenizer", "model"),
    "tokens": ("tokens",),
    "vectors": ("vectors",),
    "against": (),
}
"""Parameter's name to the kinds of artifact that it takes; none: any."""


def load(target: str) -> Callable[..., Any]:
    """Import `module:function`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def parse(
    name: str, function: Callable[..., Any], words: list[str], example: str = ""
) -> Callable[[], Any] | None:
    """Turn words into a call of the verb's function; None if only help was asked for."""
    import cyclopts

    app = app_of(name, function)
    try:
        command, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise ConfigError(f"{wrong_use(error, words)} See `groundup {name} --help`.") from None
    if command is not None and getattr(command, "__name__", "") == "help_print":
        command(*bound.args, **bound.kwargs)
        print("\n\n".join(below_the_flags(name, function, example)))
        return None
    return lambda: command(*bound.args, **bound.kwargs)


def app_of(name: str, function: Callable[..., Any]) -> "cyclopts.App":
    """The parser of one verb."""
    import cyclopts

    app = cyclopts.App(
        name=name if name == COMMAND else f"{COMMAND} {name}", help=explained(function).prose,
        version_flags=(), default_parameter=cyclopts.Parameter(negative_iterable=()),
        result_action="return_value",
    )  # fmt: skip
    app["--help"].group = app.group_parameters
    app.default(flags_of(function))
    return app


def wrong_use(error: "cyclopts.CycloptsError", words: list[str]) -> str:
    """What is wrong with the words, where the parser's own sentence would not say it."""
    import cyclopts

    said, argument = " ".join(str(error).split()), error.argument
    if isinstance(error, cyclopts.MissingArgumentError) and argument is not None:
        flag = argument.name
        what = f" ({argument.parameter.help})" if argument.parameter.help else ""
        return f"{flag} {'stands without its value' if flag in words else 'is missing'}{what}."
    if isinstance(error, cyclopts.UnusedCliTokensError):
        unused = " ".join(map(repr, error.unused_tokens or ()))
        return f"Expected no further argument; got {unused}."
    return said


def below_the_flags(name: str, function: Callable[..., Any], example: str) -> Iterator[str]:
    """What a help page says after its table: further verbs, an example, the docs, the settings."""
    if inside := below(name):
        yield f"Commands below `groundup {name}`:\n{table(inside)}"
    yield from example_and_docs(name, example)
    yield from map(settings_help, configs_of(function).values())


def completion(shell: Literal["bash", "zsh", "fish"]) -> str:
    """Print the script that completes verbs, flags and their choices in a shell.

    Write it once to where the shell looks for such scripts; docs/command-line.md says where.

    shell  the shell that is to complete
    """
    import cyclopts

    from groundup.recipes import RECIPES

    app = cyclopts.App(name=COMMAND, version_flags=("--version", "-V"))
    functions = {verb.name: (verb.help, load(verb.target)) for verb in VERBS if verb.name != "run"}
    recipes = load("groundup.recipes:run")
    functions |= {f"run {name}": (each.about, recipes(name)) for name, each in RECIPES.items()}
    groups: dict[str, cyclopts.App] = {}
    for name in sorted(functions):  # a verb before those that begin with it
        about, function = functions[name]
        first, _, second = name.partition(" ")
        if first not in groups:
            groups[first] = cyclopts.App(name=first, help="" if second else about)
            app.command(groups[first])
        if not second:
            groups[first].default(flags_of(function))
        else:
            groups[first].command(inner := cyclopts.App(name=second, help=about))
            inner.default(flags_of(function))
    return app.generate_completion(prog_name=COMMAND, shell=shell)


class Explained(NamedTuple):
    """A docstring in parts."""

    prose: str
    parameters: dict[str, str]
    """What each aligned line says, by the parameter's name."""


def explained(function: Callable[..., Any]) -> Explained:
    """Part a docstring into what help says above its table and what it says in it.

    What it raises is for programmers and left out.
    """
    names, prose, found = inspect.signature(function).parameters, [], {}
    for paragraph in (inspect.getdoc(function) or "").split("\n\n"):
        name = ""
        for number, line in enumerate(paragraph.splitlines()):
            start = re.match(r"(\w+)(?: {2,}|: )(\S.*)", line)
            if start and start[1] in names and (name or number == 0):
                name, found[start[1]] = start[1], start[2]
            elif name:
                found[name] += " " + line.strip()
        if not name:
            prose.append(RAISES.sub("", paragraph).strip())
    return Explained("\n\n".join(filter(None, prose)), found)


RAISES = re.compile(r"(?:^|(?<=\.\s))Raises [A-Z].*", re.DOTALL)


def configs_of(function: Callable[..., Any]) -> dict[str, type[Config]]:
    """The parameters that are configurations, optional ones too."""
    found = {}
    for name, hint in get_type_hints(function).items():
        kinds = [kind for kind in (get_args(hint) or (hint,)) if inspect.isclass(kind)]
        configs = [kind for kind in kinds if issubclass(kind, Config)]
        if configs and name != "return":
            found[name] = configs[0]
    return found


def flags_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a stage so that its artifacts are paths and its configuration a file and settings."""
    import cyclopts

    signature, hints = inspect.signature(function), get_type_hints(function)
    configs, told = configs_of(function), {"out": OUT_HELP} | explained(function).parameters
    parameters, artifacts = [], set()
    others = {name: one for name, one in signature.parameters.items() if name not in configs}
    for name, parameter in others.items():
        hint = hints.get(name, str)
        if hint in (Artifact, Artifact | None):
            artifacts.add(name)
            told.setdefault(name, f"directory of the {NOUNS.get(name, name)}")
            hint = Path if hint is Artifact else Path | None
        # An empty default says nothing, and nobody needs the flag that switches off what is off.
        is_plain = parameter.default == "" or parameter.default is False
        plain: dict[str, Any] = {"show_default": False, "negative": ()} if is_plain else {}
        hint = Annotated[hint, cyclopts.Parameter(help=told.get(name), **plain)]
        parameters.append(parameter.replace(annotation=hint))
    if configs:
        keyword = inspect.Parameter.KEYWORD_ONLY
        options = Annotated[list[str] | None, cyclopts.Parameter(name="--set", help=SET_HELP)]
        file = Annotated[Path | None, cyclopts.Parameter(help="TOML file with settings")]
        parameters += [
            inspect.Parameter("config", keyword, default=None, annotation=file),
            inspect.Parameter("set_", keyword, default=None, annotation=options),
        ]

    def call(*args: Any, **values: Any) -> Any:
        given = inspect.Signature(parameters).bind(*args, **values).arguments
        file, settings = given.pop("config", None), given.pop("set_", None) if configs else None
        for name, config in configs.items():
            given[name] = load_config(config, file, settings or ())
        for name in {name for name in artifacts if given.get(name) is not None}:
            given[name] = Artifact.open(given[name], KINDS.get(name, ()))
        return function(**given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__ = function.__name__
    return call


NOUNS = {"testset": "test set"}
OUT_HELP = "directory of the result; what is complete there is kept"
SET_HELP = "one setting as key=value, listed below; may be given again"
KEY_WIDTH = 26
"""Settings that are longer stand on a line of their own."""


class Setting(NamedTuple):
    """One key of a configuration."""

    key: str
    default: str
    """As it is typed after the equals sign."""
    about: str


FILLED_IN = ("source_digest",)
"""Settings that stages fill in themselves, so that other content is another result."""


def settings_of(config: type[Config], given: Any = None, prefix: str = "") -> Iterator[Setting]:
    """Yield every dotted key that is the user's.

    `given` is a nested configuration's default, which sets its own.
    """
    for name, field in config.model_fields.items():
        if name in FILLED_IN:
            continue
        default = getattr(given, name, field.get_default(call_default_factory=True))
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Config):
            yield from settings_of(field.annotation, default, f"{prefix}{name}.")
            continue
        about, choices = " ".join((field.description or "").split()), get_args(field.annotation)
        if get_origin(field.annotation) is Literal and len(choices) > 1:
            about += f" One of {', '.join(map(str, choices))}."
        text = default if isinstance(default, str) and default else None
        text = text or json.dumps(default, ensure_ascii=False, default=str)
        required = field.is_required() and given is None
        yield Setting(prefix + name, "VALUE (required)" if required else text, about)


def settings_help(config: type[Config]) -> str:
    """The keys that --set and --config take, their defaults and meanings, for a narrow terminal."""
    import shutil
    import textwrap

    columns, indent = min(shutil.get_terminal_size().columns, 100), " " * (KEY_WIDTH + 4)
    lines = ["Settings and their defaults, for --set or as TOML in --config:", ""]
    for key, default, about in settings_of(config):
        head = f"  {key}={default}"
        if len(head) > KEY_WIDTH + 2:
            lines.append(head)
            head = ""
        head = head.ljust(len(indent))
        text = textwrap.wrap(
            about, max(columns, 60), initial_indent=head, subsequent_indent=indent,
            break_on_hyphens=False,
        )  # fmt: skip
        lines += text or [head.rstrip()]
    return "\n".join(lines) + "\n"
