"""From words to a call of a verb's function, and from what it returned to text or JSON.

A stage's artifacts become `--name DIR`, its configuration `--config FILE.toml` and
`--set key=value`, everything else a flag or an argument of its type. Help texts come from the
docstring. Artifacts, answers and configurations print in forms of their own; everything else as it
says, or as JSON of its fields. The verbs are in verbs.py; exit codes in cli.py.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
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

from groundup.core import (
    Answer,
    Artifact,
    Config,
    ConfigError,
    Kind,
    documented_fields,
    load_config,
    record,
)

from .verbs import VERBS, example_and_docs, verbs_below, verbs_table

if TYPE_CHECKING:
    import cyclopts

COMMAND = "groundup"
PARAMETER_KINDS: dict[str, tuple[Kind, ...]] = {
    "base": ("model",),
    "comparisons": ("comparisons",),
    "corpus": ("corpus",),
    "examples": ("examples",),
    "first": ("corpus",),
    "fit": ("report",),
    "forecast": ("report",),
    "model": ("model",),
    "preferences": ("preferences",),
    "rehearse": ("examples",),
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
"""Kinds of artifact that a parameter accepts, by its name; empty: any."""


def import_target(target: str) -> Callable[..., Any]:
    """Import `module:function`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def parse_command(
    name: str, function: Callable[..., Any], words: list[str], example: str = ""
) -> Callable[[], Any] | None:
    """Parse words into a call of the verb's function; print help and return None for --help."""
    import cyclopts

    app = _build_app(name, function)
    try:
        command, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise ConfigError(f"{_usage_message(error, words)} See `groundup {name} --help`.") from None
    if command is not None and getattr(command, "__name__", "") == "help_print":
        command(*bound.args, **bound.kwargs)
        print("\n\n".join(_help_footer(name, function, example)))
        return None
    return lambda: command(*bound.args, **bound.kwargs)


def _build_app(name: str, function: Callable[..., Any]) -> "cyclopts.App":
    import cyclopts

    app = cyclopts.App(
        name=name if name == COMMAND else f"{COMMAND} {name}",
        help=_parse_docstring(function).prose, version_flags=(), result_action="return_value",
        default_parameter=cyclopts.Parameter(negative_iterable=()),
    )  # fmt: skip
    app["--help"].group = app.group_parameters
    app.default(_wrap_with_flags(function))
    return app


def _usage_message(error: "cyclopts.CycloptsError", words: list[str]) -> str:
    """A clearer message than the parser's own for missing and unused arguments."""
    import cyclopts

    argument = error.argument
    if isinstance(error, cyclopts.MissingArgumentError) and argument is not None:
        flag = argument.name
        what = f" ({argument.parameter.help})" if argument.parameter.help else ""
        return f"{flag} {'stands without its value' if flag in words else 'is missing'}{what}."
    if isinstance(error, cyclopts.UnusedCliTokensError):
        unused = " ".join(map(repr, error.unused_tokens or ()))
        return f"Expected no further argument; got {unused}."
    return " ".join(str(error).split())


def _help_footer(name: str, function: Callable[..., Any], example: str) -> Iterator[str]:
    if inside := verbs_below(name):
        yield f"Commands below `groundup {name}`:\n{verbs_table(inside)}"
    yield from example_and_docs(name, example)
    yield from map(_format_settings, _config_parameters(function).values())


def completion(shell: Literal["bash", "zsh", "fish"]) -> str:
    """Print the shell completion script for verbs, flags and their choices.

    Install it where the shell looks for such scripts; docs/guide/command-line.md says where.

    shell  the shell to generate it for
    """
    import cyclopts

    from groundup.recipes import RECIPES

    app = cyclopts.App(name=COMMAND, version_flags=("--version", "-V"))
    functions = {
        verb.name: (verb.help, import_target(verb.target)) for verb in VERBS if verb.name != "run"
    }
    recipes = import_target("groundup.recipes:run")
    functions |= {f"run {name}": (each.about, recipes(name)) for name, each in RECIPES.items()}
    groups: dict[str, cyclopts.App] = {}
    for name in sorted(functions):  # a verb comes before its subcommands
        about, function = functions[name]
        first, _, second = name.partition(" ")
        if first not in groups:
            groups[first] = cyclopts.App(name=first, help="" if second else about)
            app.command(groups[first])
        if not second:
            groups[first].default(_wrap_with_flags(function))
        else:
            groups[first].command(inner := cyclopts.App(name=second, help=about))
            inner.default(_wrap_with_flags(function))
    return app.generate_completion(prog_name=COMMAND, shell=shell)


class ParsedDocstring(NamedTuple):
    """A docstring split into prose and parameter descriptions."""

    prose: str
    parameters: dict[str, str]
    """Descriptions from the aligned lines, by parameter name."""


def _parse_docstring(function: Callable[..., Any]) -> ParsedDocstring:
    """Split a docstring into prose for the top of the help page and parameter descriptions.

    `Raises` sentences are for programmers and omitted.
    """
    names, prose, descriptions = inspect.signature(function).parameters, [], {}
    for paragraph in (inspect.getdoc(function) or "").split("\n\n"):
        name = ""
        for number, line in enumerate(paragraph.splitlines()):
            start = re.match(r"(\w+)(?: {2,}|: )(\S.*)", line)
            if start and start[1] in names and (name or number == 0):
                name, descriptions[start[1]] = start[1], start[2]
            elif name:
                descriptions[name] += " " + line.strip()
        if not name:
            prose.append(RAISES_SECTION.sub("", paragraph).strip())
    return ParsedDocstring("\n\n".join(filter(None, prose)), descriptions)


RAISES_SECTION = re.compile(r"(?:^|(?<=\.\s))Raises [A-Z].*", re.DOTALL)


def _config_parameters(function: Callable[..., Any]) -> dict[str, type[Config]]:
    parameters = {}
    for name, hint in get_type_hints(function).items():
        kinds = [kind for kind in (get_args(hint) or (hint,)) if inspect.isclass(kind)]
        configs = [kind for kind in kinds if issubclass(kind, Config)]
        if configs and name != "return":
            parameters[name] = configs[0]
    return parameters


def _wrap_with_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a stage so that artifacts are given as paths and configurations as file and settings."""
    import cyclopts

    signature, hints = inspect.signature(function), get_type_hints(function)
    configs = _config_parameters(function)
    help_texts = {"out": OUT_HELP} | _parse_docstring(function).parameters
    parameters, artifacts = [], set()
    for name in [name for name in signature.parameters if name not in configs]:
        parameter, hint = signature.parameters[name], hints.get(name, str)
        if hint in (Artifact, Artifact | None):
            artifacts.add(name)
            help_texts.setdefault(name, f"directory of the {ARTIFACT_NOUNS.get(name, name)}")
            hint = Path if hint is Artifact else Path | None
        # Hide empty defaults, and the --no- flag of what is off by default.
        is_off = parameter.default == "" or parameter.default is False
        options: dict[str, Any] = {"show_default": False, "negative": ()} if is_off else {}
        hint = Annotated[hint, cyclopts.Parameter(help=help_texts.get(name), **options)]
        parameters.append(parameter.replace(annotation=hint))
    if configs:
        keyword = inspect.Parameter.KEYWORD_ONLY
        settings = Annotated[list[str] | None, cyclopts.Parameter(name="--set", help=SET_HELP)]
        file = Annotated[Path | None, cyclopts.Parameter(help="TOML file with settings")]
        parameters += [
            inspect.Parameter("config", keyword, default=None, annotation=file),
            inspect.Parameter("set_", keyword, default=None, annotation=settings),
        ]

    def call(*args: Any, **values: Any) -> Any:
        bound = inspect.Signature(parameters).bind(*args, **values).arguments
        file, settings = bound.pop("config", None), bound.pop("set_", None) if configs else None
        for name, config in configs.items():
            bound[name] = load_config(config, file, settings or ())
        for name in {name for name in artifacts if bound.get(name) is not None}:
            bound[name] = Artifact.open(bound[name], PARAMETER_KINDS.get(name, ()))
        return function(**bound)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__ = function.__name__
    return call


ARTIFACT_NOUNS = {"testset": "test set"}
OUT_HELP = "directory of the result; what is complete there is kept"
SET_HELP = "one setting as key=value, listed below; may be given again"
KEY_WIDTH = 26
"""Longer settings get a line of their own."""


class ConfigSetting(NamedTuple):
    """One key of a configuration."""

    key: str
    default: str
    """As typed after the equals sign."""
    about: str


INTERNAL_SETTINGS = ("source_digest",)
"""Settings that stages fill in themselves, so that the key depends on the source's content."""


def _list_settings(
    config: type[Config], nested_default: Any = None, prefix: str = ""
) -> Iterator[ConfigSetting]:
    """Yield every dotted key that users may set; `nested_default` is a nested one's default."""
    for name, field in documented_fields(config).items():
        if name in INTERNAL_SETTINGS:
            continue
        default = getattr(nested_default, name, field.get_default(call_default_factory=True))
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Config):
            yield from _list_settings(field.annotation, default, f"{prefix}{name}.")
            continue
        about, choices = " ".join((field.description or "").split()), get_args(field.annotation)
        if get_origin(field.annotation) is Literal and len(choices) > 1:
            about += f" One of {', '.join(map(str, choices))}."
        text = default if isinstance(default, str) and default else None
        text = text or json.dumps(default, ensure_ascii=False, default=str)
        required = field.is_required() and nested_default is None
        yield ConfigSetting(prefix + name, "VALUE (required)" if required else text, about)


def _format_settings(config: type[Config]) -> str:
    """Help text of the keys for --set and --config, their defaults and meanings."""
    import shutil
    import textwrap

    columns, indent = min(shutil.get_terminal_size().columns, 100), " " * (KEY_WIDTH + 4)
    lines = ["Settings and their defaults, for --set or as TOML in --config:", ""]
    for key, default, about in _list_settings(config):
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


def emit(result: Any, as_json: bool) -> None:
    """Print what a verb returned."""
    if result is None or getattr(result, "is_printed", False):
        return
    if as_json:
        print(json.dumps(_json_ready(result), indent=1, ensure_ascii=False, default=str))
    elif isinstance(result, Artifact):
        print(record.escape_controls(about(result)))
    elif isinstance(result, Answer):
        from groundup.retrieve import answer_to_text

        print(record.escape_controls(answer_to_text(result)))
    elif isinstance(result, str) or "__str__" in vars(type(result)):
        print(record.escape_controls(str(result)))
    else:
        print(json.dumps(_json_ready(result), indent=1, ensure_ascii=False, default=str))


def _json_ready(result: Any) -> Any:
    """A result as plain JSON values."""
    if isinstance(result, Answer):
        from groundup.retrieve import answer_to_json

        return answer_to_json(result)
    if isinstance(result, Artifact):
        return {**asdict(result), "path": str(result.path)}
    if isinstance(result, Config):
        return result.to_dict()
    if hasattr(result, "_asdict"):
        return {name: _json_ready(value) for name, value in result._asdict().items()}
    if is_dataclass(result) and not isinstance(result, type):
        return {name: _json_ready(getattr(result, name)) for name in result.__dataclass_fields__}
    if isinstance(result, Mapping):
        return {str(name): _json_ready(value) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [_json_ready(value) for value in result]
    return result


def about(artifact: Artifact) -> str:
    """An artifact in a few lines."""
    numbers = "  ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in artifact.numbers.items()
        if isinstance(value, (int, float, str))
    )
    size = record.format_bytes(artifact.bytes)
    head = f"{artifact.kind} {artifact.id[:12]}  {size}  {artifact.path}"
    return head + (f"\n  {numbers}" if numbers else "")
