"""The command line: collects the verbs, reads their signatures, prints their results.

A stage function is its verb. Its artifacts become `--name DIR`, its configuration becomes
`--config FILE.toml` and `--set key=value`, everything else a flag or an argument of its type.
Modules are imported when their verb is called, so `groundup --help` is quick.
"""

import inspect
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from groundup import __version__
from groundup.core import (
    Answer,
    Artifact,
    Config,
    ConfigError,
    GroundupError,
    ProcessLost,
    load_config,
    record,
)
from groundup.core import device as machine


class Verb(NamedTuple):
    """One command: its words, where its function is, and one line of help."""

    name: str
    target: str
    """`module:function`."""
    help: str
    computes: bool = False
    """Whether it runs a model, so that the allocator is worth a restart."""


VERBS: tuple[Verb, ...] = (
    Verb("run", "groundup.recipes:run", "a whole recipe, such as `groundup run tiny`", True),
    Verb("doctor", "groundup.recipes.doctor:doctor", "what this machine has, does and lacks"),
    Verb("show", "groundup.recipes.show:show", "what an artifact is, holds and came from"),
    Verb("corpus", "groundup.corpus:corpus", "documents of a folder, split, without duplicates"),
    Verb("prepare", "groundup.corpus:prepare", "a corpus by a pipeline, every removal explained"),
    Verb("corpus report", "groundup.corpus:report", "a page: what came, what went and why"),
    Verb("corpus why", "groundup.corpus:why", "what became of one document, step by step"),
    Verb("corpus classifier", "groundup.corpus:train_classifier_folders",
         "a classifier of good and bad texts, for the step quality.classifier"),
    Verb("corpus diff", "groundup.corpus:compare_runs", "two runs: settings, counts, documents"),
    Verb("corpus withdraw", "groundup.corpus:withdraw",
         "without a document, source or licence; who was made from it"),
    Verb("tokenizer", "groundup.tokenizer:train_tokenizer", "a byte-level vocabulary of a corpus"),
    Verb("tokens", "groundup.tokenizer:tokens", "a corpus as shards of token ids"),
    Verb("tokens mix", "groundup.tokenizer:mix_named", "several tokens as one, by shares"),
    Verb("import", "groundup.model:import_model", "a model of others, checked, with its licence"),
    Verb("model describe", "groundup.model:describe", "parameters, FLOPs and cache of a model"),
    Verb("model routing", "groundup.model:routing", "which expert computes which token", True),
    Verb("vectors train", "groundup.embeddings:train_vectors", "vectors of a text's words"),
    Verb("vectors neighbours", "groundup.embeddings.verbs:neighbours", "words nearest to a word"),
    Verb("vectors analogy", "groundup.embeddings.verbs:analogy", "man king woman: the fourth word"),
    Verb("vectors similarity", "groundup.embeddings.verbs:similarity", "vectors held to people"),
    Verb("vectors plot", "groundup.embeddings.verbs:plot", "words in two dimensions, as a page"),
    Verb("vectors context", "groundup.embeddings.verbs:context",
         "one word in different sentences, as a model sees it"),
    Verb("vectors export", "groundup.embeddings.verbs:export", "a file that gensim opens"),
    Verb("pretrain", "groundup.recipes.pretraining:pretrain", "a base model from tokens", True),
    Verb("plan", "groundup.train:plan", "what training takes of memory, and what fits"),
    Verb("checkpoints", "groundup.train:list_checkpoints", "a run's checkpoints; --check hashes"),
    Verb("checkpoints export", "groundup.train:export_checkpoint",
         "a model of a checkpoint, while the run goes on"),
    Verb("benchmark train", "groundup.train.levers.ladder:benchmark_train",
         "how fast training is here, lever by lever"),
    Verb("scaling sweep", "groundup.train.scaling.sweep:sweep",
         "a ladder of models, sizes by budgets", True),
    Verb("scaling fit", "groundup.train.scaling.fit:fit_sweep", "laws of a ladder, with intervals"),
    Verb("scaling forecast", "groundup.train.scaling.forecast:forecast",
         "a larger run's loss, told before it begins"),
    Verb("scaling check", "groundup.train.scaling.check:check_forecast",
         "the run held to its forecast"),
    Verb("scaling table", "groundup.train.scaling.budget:table", "the best size for a budget"),
    Verb("generate", "groundup.generate:generate", "continue a prompt", True),
    Verb("chat", "groundup.generate:chat", "talk to a model", True),
    Verb("examples make", "groundup.align:make_examples", "conversations from a corpus"),
    Verb("examples show", "groundup.align:show_examples", "conversations, trained tokens marked"),
    Verb("finetune", "groundup.align:finetune", "a chat model from a base and examples", True),
    Verb("quantize", "groundup.compress:quantize", "an 8-bit copy of a model"),
    Verb("export", "groundup.model:export_gguf", "a model as one GGUF file for llama.cpp"),
    Verb("index", "groundup.retrieve:index", "an index of a folder; again: what changed"),
    Verb("ask", "groundup.retrieve:ask", "an answer with exact quotes, or a refusal"),
    Verb("tasks", "groundup.evaluate.task.catalogue:list_tasks", "what `evaluate` can ask"),
    Verb("tasks overlap", "groundup.evaluate.task.overlap:overlap", "questions trained on"),
    Verb("evaluate", "groundup.evaluate:evaluate", "a model on tasks, a test set or texts", True),
    Verb("compare", "groundup.evaluate.compare.verb:compare", "runs against the first, and a page"),
    Verb("testset make", "groundup.corpus:make_questions",
         "questions about documents, answers quoted"),
    Verb("testset show", "groundup.corpus:show_testset",
         "a test set's card, its flaws, what was trained on"),
    Verb("testset review", "groundup.measure.review.verb:review_testset",
         "look at samples, blind: accept, mend or drop"),
    Verb("testset apply", "groundup.measure:apply_review",
         "a test set as its reviewers mended it"),
    Verb("gate", "groundup.evaluate:gate", "a verdict on an evaluation; exit 3 unless it passed"),
    Verb("release", "groundup.measure:release", "a label moved on a verdict, or back; the labels"),
    Verb("diff", "groundup.recipes.keep:diff", "how two artifacts differ"),
    Verb("du", "groundup.recipes.keep:du", "the room that artifacts take, by kind"),
    Verb("gc", "groundup.recipes.keep:gc", "what no release, report or verdict needs"),
)  # fmt: skip

USAGE = """groundup {version}: language models from the ground up, kept grounded

  groundup VERB [--help] [--json] [--trace]

{verbs}

--json prints results as JSON and progress as events; --trace shows where an error came from.
Exit codes: 0 done, 1 failed, 2 wrong use, 3 gate failed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = {flag for flag in ("--json", "--trace") if flag in words}
    words = [word for word in words if word not in flags]
    record.use(record.fitting_voice("--json" in flags))
    typed = sys.argv[1:] if arguments is None else None
    if typed is not None:  # nor do the processes of libraries, torch's and Daft's, import from here
        os.environ["PYTHONSAFEPATH"] = "1"
    try:
        code = dispatch(words, as_json="--json" in flags, typed=typed)
        sys.stdout.flush()
    except GroundupError as error:
        code = fail(error, str(error), error.exit_code, flags)
    except KeyboardInterrupt as error:
        code = fail(error, str(error) or "Stopped.", 130, flags)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except OSError as error:
        what = error.strerror or str(error)
        place = f" ({error.filename})" if error.filename else ""
        code = fail(error, f"The system said: {what}{place}.", 1, flags)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        code = fail(error, f"{said} (a defect; --trace shows where)", 1, flags)
    sys.exit(code)


def fail(error: BaseException, message: str, code: int, flags: set[str]) -> int:
    """Tell an error in one line, or with its trace, and return the exit code."""
    is_own = isinstance(error, GroundupError) and not isinstance(error, ProcessLost)
    if is_own and os.environ.get("RANK", "0") != "0":
        wait_for_first(code)
    if "--trace" in flags:
        import traceback

        traceback.print_exception(error)
    if "--json" in flags:
        record.event("error", message=message, exit_code=code)
    else:
        for note in getattr(error, "__notes__", ()):  # a failed gate's table is a result
            print(record.printable(note), flush=True)
        print(f"groundup: {record.printable(message)}", file=sys.stderr)
    return code


FIRST_SECONDS = 10.0
"""Time for the first process to tell what is wrong with what all were given."""


def wait_for_first(code: int) -> None:
    """Leave with a code when torchrun ends this process, as it does when the first has ended.

    Returns if it does not: then the first found nothing wrong, and this one is to tell.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
    time.sleep(FIRST_SECONDS)
    signal.signal(signal.SIGTERM, before)


def dispatch(words: list[str], as_json: bool, typed: list[str] | None = None) -> int:
    """Find the verb, call it and print its result.

    `typed` is what this process was started with, so that it can be started again; None keeps it.
    """
    if not words or words[0] in ("--help", "-h", "help"):
        print(usage())
        return 0
    if words[0] in ("--version", "-V"):
        print(__version__)
        return 0
    if inside := group(words):
        print(table(inside))
        return 0
    verb, rest = find(words)
    if verb.computes and typed is not None and "--help" not in rest and "-h" not in rest:
        machine.restart_with_allocator()
    function, name = load(verb.target), verb.name
    if name == "run":
        name = " ".join(words[:2])
        function, rest = recipe(function, rest)
    call = parse(name, function, rest)
    if call is None:
        return 0
    if verb.computes:
        machine.use_cores()
    result = call()
    if os.environ.get("RANK", "0") == "0":  # of processes that torchrun started, one speaks
        emit(result, as_json)
    return 0


def usage() -> str:
    """The table of contents, in the order in which data flows."""
    return USAGE.format(version=__version__, verbs=table(VERBS))


def table(verbs: Sequence[Verb]) -> str:
    """A line for every verb."""
    width = max(len(verb.name) for verb in verbs) + 2
    return "\n".join(f"  {verb.name:<{width}}{verb.help}" for verb in verbs)


def group(words: list[str]) -> list[Verb]:
    """The verbs that begin with a word that is none by itself, if it stands alone or with help."""
    is_alone = words[1:] in ([], ["--help"], ["-h"]) and words[0] not in {v.name for v in VERBS}
    return [verb for verb in VERBS if is_alone and verb.name.startswith(f"{words[0]} ")]


def find(words: list[str]) -> tuple[Verb, list[str]]:
    """Match the longest verb; ConfigError naming the nearest one."""
    for count in (2, 1):
        for verb in VERBS:
            if verb.name == " ".join(words[:count]):
                return verb, words[count:]
    import difflib

    names = [verb.name for verb in VERBS]
    inside = [name for name in names if name.startswith(words[0] + " ")]
    near = inside or difflib.get_close_matches(" ".join(words[:1]), names, n=1, cutoff=0.5)
    hint = f"did you mean `groundup {'` or `groundup '.join(near)}`?" if near else "see `--help`."
    raise ConfigError(f"There is no command `{words[0]}`; {hint}")


def load(target: str) -> Callable[..., Any]:
    """Import `module:function`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def recipe(run: Callable[..., Any], words: list[str]) -> tuple[Callable[..., Any], list[str]]:
    """Find the recipe that `run` names: one of ours, or `FILE.py:function`."""
    if not words or words[0].startswith("-"):
        run()  # prints the recipes
        raise SystemExit(0)
    name, rest = words[0], words[1:]
    file, _, function = name.rpartition(":")
    if not file.endswith(".py"):
        return run(name), rest
    spec = spec_from_file_location("recipe", file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise ConfigError(f"There is no recipe file {file}; expected FILE.py:function.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, function):
        raise ConfigError(f"{file} has no function `{function}`.")
    return getattr(module, function), rest


def parse(name: str, function: Callable[..., Any], words: list[str]) -> Callable[[], Any] | None:
    """Turn words into a call of the verb's function; None if only help was asked for."""
    import cyclopts

    app = cyclopts.App(
        name=f"groundup {name}", help=explained(function).prose, version_flags=(),
        default_parameter=cyclopts.Parameter(negative_iterable=()), result_action="return_value",
    )  # fmt: skip
    app["--help"].group = app.group_parameters
    app.default(flags_of(function))
    try:
        command, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{said} See `groundup {name} --help`.") from None
    if command is not None and getattr(command, "__name__", "") == "help_print":
        command(*bound.args, **bound.kwargs)
        for config in configs_of(function).values():
            print(settings_help(config))
        return None
    return lambda: command(*bound.args, **bound.kwargs)


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
            told.setdefault(name, f"directory of the {name}")
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
        for name in artifacts & given.keys():
            given[name] = None if given[name] is None else Artifact.open(given[name])
        return function(**given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__ = function.__name__
    return call


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


def emit(result: Any, as_json: bool) -> None:
    """Print what a verb returned."""
    if result is None:
        return
    if as_json:
        print(json.dumps(json_ready(result), indent=1, ensure_ascii=False, default=str))
    elif isinstance(result, Artifact):
        print(record.printable(about(result)))
    elif isinstance(result, Answer):
        from groundup.retrieve import to_text

        print(record.printable(to_text(result)))
    elif isinstance(result, str) or "__str__" in vars(type(result)):
        print(record.printable(str(result)))
    else:
        print(json.dumps(json_ready(result), indent=1, ensure_ascii=False, default=str))


def json_ready(result: Any) -> Any:
    """A result as plain JSON values."""
    if isinstance(result, Answer):
        from groundup.retrieve import to_json

        return to_json(result)
    if isinstance(result, Artifact):
        return {**asdict(result), "path": str(result.path)}
    if isinstance(result, Config):
        return result.plain()
    if hasattr(result, "_asdict"):
        return {name: json_ready(value) for name, value in result._asdict().items()}
    if is_dataclass(result) and not isinstance(result, type):
        return {name: json_ready(getattr(result, name)) for name in result.__dataclass_fields__}
    if isinstance(result, Mapping):
        return {str(name): json_ready(value) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [json_ready(value) for value in result]
    return result


def about(artifact: Artifact) -> str:
    """An artifact in a few lines."""
    numbers = "  ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in artifact.numbers.items()
        if isinstance(value, (int, float, str))
    )
    head = f"{artifact.kind} {artifact.id[:12]}  {record.size(artifact.bytes)}  {artifact.path}"
    return head + (f"\n  {numbers}" if numbers else "")
