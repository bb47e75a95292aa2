"""The fields of an lm-eval task file (0.4.13): validated, and evaluated on a row.

lm-eval's docs/task_guide.md explains the fields; unknown ones are errors. yaml_files.py reads and
removes `tag`, `group` and `task_list` before. A field is a column, a literal, a function or a
template in the sandbox of chat templates, with its limits of time and size. As in lm-eval, an
undefined name is an error, a template's last line break is kept, and there is a filter
`regex_replace(pattern, replacement, count)`.
"""

import ast
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import regex
from pydantic import ConfigDict, Field, InstanceOf

from groundup.core import Config, ConfigError, DataError, Sampling, digest

from .task import RequestKind, check_keys
from .yaml_files import TaskCode, call_code

FieldExpression = str | int | InstanceOf[TaskCode]
"""A column's name, a template, a number, or a function of the row."""

UNSUPPORTED_FIELDS = {
    "class": "is a task written in Python against lm-eval's classes; write it as YAML",
    "use_prompt": "needs promptsource; write doc_to_text and doc_to_target out",
    "doc_to_image": "shows images, and models here read text",
    "doc_to_audio": "plays sound, and models here read text",
}
"""Unsupported fields of lm-eval, and why."""

MAX_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the token limit in task files, in order of precedence."""
DEFAULT_MAX_TOKENS = 256


class FewShotSettings(Config):
    """`fewshot_config`: how examples differ from the question."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    sampler: Literal["default", "first_n"] = "default"
    """`default` samples with the seed, `first_n` takes the first rows."""
    split: str | None = None
    """Split of the examples; default: the task's fewshot_split."""
    samples: list[dict[str, Any]] | InstanceOf[TaskCode] | None = None
    """The examples themselves."""
    process_docs: InstanceOf[TaskCode] | None = None
    """Changes the rows of the examples' split."""
    doc_to_text: FieldExpression | None = None
    """The question of an example."""
    doc_to_target: FieldExpression | list[Any] | None = None
    """The answer of an example."""
    doc_to_choice: str | list[Any] | dict[str, Any] | InstanceOf[TaskCode] | None = None
    """The options of an example."""
    gen_prefix: str | None = None
    """How the answer of an example starts."""
    target_delimiter: str | None = None
    """Between question and answer."""
    fewshot_delimiter: str | None = None
    """After an answer."""


class TaskSettings(Config):
    """The fields of one lm-eval task."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    task: str
    """The task's name."""
    task_alias: str | None = None
    """Its display name."""
    dataset_path: str | None = None
    """`json`, `csv`, `parquet`, `text`, a folder, or a data set's name on a hub."""
    dataset_name: str | None = None
    """Configuration of the data set."""
    dataset_kwargs: dict[str, Any] = {}
    """Options of the file reader, such as data_files."""
    custom_dataset: InstanceOf[TaskCode] | None = None
    """A function that returns rows by split."""
    training_split: str | None = None
    """Split of the examples."""
    validation_split: str | None = None
    """Split that is evaluated if there is no test split."""
    test_split: str | None = None
    """Split that is evaluated."""
    fewshot_split: str | None = None
    """Split of the examples, preferred to the training split."""
    process_docs: InstanceOf[TaskCode] | None = None
    """Changes the rows of a split."""
    doc_to_text: FieldExpression | None = None
    """The question; the index of the correct option where options are contexts (winogrande)."""
    doc_to_target: FieldExpression | list[Any] | None = None
    """The target: a text, several texts, or the index of the correct option."""
    doc_to_choice: str | list[Any] | dict[str, Any] | InstanceOf[TaskCode] | None = None
    """The options."""
    unsafe_code: bool = False
    """Whether scoring executes generated code."""
    process_results: InstanceOf[TaskCode] | None = None
    """Computes a row's scores from the answers."""
    description: str = ""
    """Text at the start of the prompt."""
    target_delimiter: str = " "
    """Between question and answer or option."""
    fewshot_delimiter: str = "\n\n"
    """Between examples."""
    fewshot_config: FewShotSettings = FewShotSettings()
    """Overrides for examples."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Number of examples; an explicit 0 cannot be overridden."""
    metric_list: list[dict[str, Any]] | None = None
    """The metrics; defaults depend on output_type."""
    output_type: RequestKind = "generate_until"
    """The kind of request."""
    generation_kwargs: dict[str, Any] | None = None
    """Sampling and stop strings."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """Number of answers to each question of generate_until."""
    filter_list: list[dict[str, Any]] | None = None
    """Pipelines that extract the answer from the text."""
    should_decontaminate: bool = False
    """Whether the task has a text to search for in training data."""
    doc_to_decontamination_query: str | InstanceOf[TaskCode] | None = None
    """That text; default: the question."""
    gen_prefix: str | None = None
    """How the answer starts."""
    metadata: dict[str, Any] = {}
    """The author's notes; `version` and `silence` are read."""

    @property
    def few_shot_settings(self) -> FewShotSettings:
        """fewshot_config with the task's values as defaults."""
        names = ("process_docs", "doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix",
                 "target_delimiter", "fewshot_delimiter")  # fmt: skip
        overrides = self.fewshot_config
        defaults = {n: getattr(self, n) for n in names if n not in overrides.model_fields_set}
        if "split" not in overrides.model_fields_set:
            defaults["split"] = self.fewshot_split
        return overrides.model_copy(update=defaults)

    @property
    def evaluated_split(self) -> str:
        """The split that is evaluated."""
        return self.test_split or self.validation_split or ""


def read_task_settings(values: Mapping[str, Any], file: Path) -> TaskSettings:
    """Validate a task file's fields.

    Raises ConfigError naming the file, the key and the most similar known key.
    """
    values = {key: value for key, value in values.items() if value is not None}
    for key, why in UNSUPPORTED_FIELDS.items():
        if key in values:
            raise ConfigError(f"{file}: `{key}` {why}.")
    try:
        settings = TaskSettings(**values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    if settings.unsafe_code:
        raise ConfigError(
            f"{file}: `unsafe_code` needs a sandbox; use the built-in task humaneval."
        )
    if not settings.evaluated_split:
        raise ConfigError(f"{file}: expected a test_split or a validation_split.")
    if settings.dataset_path is None and settings.custom_dataset is None:
        raise ConfigError(f"{file}: expected dataset_path (such as `json`) or custom_dataset.")
    needed = ["doc_to_target"]
    needed += ["doc_to_text"] if settings.output_type != "loglikelihood_rolling" else []
    needed += ["doc_to_choice"] if settings.output_type == "multiple_choice" else []
    for name in needed:
        if getattr(settings, name) is None:
            raise ConfigError(f"{file}: output_type {settings.output_type} needs `{name}`.")
    return settings


def read_sampling(settings: TaskSettings, file: Path) -> Sampling:
    """The stop criteria of generation_kwargs; ConfigError for an unsupported key."""
    kwargs = {"until": settings.fewshot_delimiter} | (settings.generation_kwargs or {})
    known = ("until", "do_sample", "temperature", "top_p", "top_k", *MAX_TOKENS_KEYS)
    check_keys(kwargs, known, f"{file}: generation_kwargs")
    until = kwargs["until"] if isinstance(kwargs["until"], list) else [kwargs["until"]]
    temperature = float(kwargs.get("temperature", 0.0))
    if kwargs.get("do_sample") and "temperature" not in kwargs:
        temperature = 1.0
    sampling = Sampling(
        temperature=temperature if kwargs.get("do_sample", True) else 0.0,
        top_k=int(kwargs.get("top_k") or 0),
        top_p=float(kwargs.get("top_p", 1.0)),
        max_tokens=int(
            next((kwargs[name] for name in MAX_TOKENS_KEYS if name in kwargs), DEFAULT_MAX_TOKENS)
        ),
    )
    return sampling.model_copy(update={"stop": tuple(str(text) for text in until if text)})


def _digest_values(value: Any) -> Any:
    if isinstance(value, TaskCode):
        return str(value)
    if isinstance(value, Config):
        return {name: _digest_values(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _digest_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_digest_values(inner) for inner in value]
    return value


NOT_IN_DIGEST = (
    "task",
    "task_alias",
    "metadata",
    "metric_list",
    "should_decontaminate",
    "num_fewshot",
    "doc_to_decontamination_query",
    "dataset_kwargs",
)


def prompt_digest(settings: TaskSettings) -> str:
    """Twelve hex digits that change with the questions, their form or their source."""
    fields = {
        name: value for name, value in _digest_values(settings).items() if name not in NOT_IN_DIGEST
    }
    return digest(fields)[:12]


REGEX_SECONDS = 2.0
"""Time limit of one `regex_replace`, against catastrophic backtracking."""


@cache
def _jinja_environment() -> Any:
    from jinja2 import StrictUndefined

    from groundup.tokenizer import TemplateSandbox

    sandbox = TemplateSandbox((), "task template")
    sandbox.undefined, sandbox.keep_trailing_newline = StrictUndefined, True
    sandbox.trim_blocks = sandbox.lstrip_blocks = False
    sandbox.filters["regex_replace"] = sandbox.wrap_filter("regex_replace", regex_replace)
    return sandbox


def regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    r"""The template filter: re.sub.

    >>> regex_replace("Cook [title] well", r"\[.*?\]", "")
    'Cook  well'
    """
    try:
        return regex.sub(pattern, replacement, text, count=count, timeout=REGEX_SECONDS)
    except TimeoutError:
        raise ConfigError(f"regex_replace took more than {REGEX_SECONDS:g} seconds.") from None


@cache
def _compile_template(template: str) -> Any:
    return _jinja_environment().from_string(template)


def _fill_template(template: str, row: Mapping[str, Any]) -> str:
    r"""Fill a template with the row's columns.

    >>> _fill_template("Q: {{q|trim}}\nA:\n", {"q": " 1+1? "})
    'Q: 1+1?\nA:\n'
    """
    return _jinja_environment().render(_compile_template(template), row)


@dataclass(frozen=True)
class FieldReader:
    """Evaluates a task file's fields on rows."""

    file: Path
    columns: frozenset[str]
    """Columns of the evaluated rows; a field that equals one of them gives that column."""
    has_choices: bool
    """Whether the task has options, so that a text of digits is an option's index."""

    def text(self, field: Any, row: Mapping[str, Any]) -> Any:
        """doc_to_text: a text, or an index where options are contexts."""
        value = self.value("doc_to_text", field, row)
        return self.index(value) if self._is_template(field) else value

    def target(self, field: Any, row: Mapping[str, Any]) -> Any:
        """doc_to_target: a text, several texts, or an index."""
        value = self.value("doc_to_target", field, row)
        if not self._is_template(field):
            return value
        value = self.index(value)
        if isinstance(value, str) and len(value) >= 2 and value[0] == "[" and value[-1] == "]":
            try:
                return ast.literal_eval(value)
            except (SyntaxError, ValueError):
                return value
        return value

    def choices(self, field: Any, row: Mapping[str, Any]) -> list[str]:
        """doc_to_choice: the options' texts.

        Raises DataError if they are not texts: YAML reads an unquoted `yes` as a boolean.
        """
        value = self.value("doc_to_choice", field, row)
        if self._is_template(field):
            try:
                value = ast.literal_eval(value)
            except (SyntaxError, ValueError):
                raise DataError(
                    f"{self.file}: doc_to_choice must give a list such as {{{{[a, b]}}}}; "
                    f"got {value[:60]!r}."
                ) from None
        value = list(value.values()) if isinstance(value, Mapping) else value
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise DataError(
                f"{self.file}: doc_to_choice must give a list of texts (quote `yes` and `no` in "
                f"YAML); got {str(value)[:60]}."
            )
        return value

    def prefix(self, field: str | None, row: Mapping[str, Any]) -> str:
        """gen_prefix or description: the column of that name, else the template filled."""
        if not field:
            return ""
        if field in row:
            return str(row[field] or "")
        return self._filled("gen_prefix or description", field, row)

    def value(self, name: str, field: Any, row: Mapping[str, Any]) -> Any:
        """The value of a field for a row, before conversion."""
        if isinstance(field, TaskCode):
            return call_code(field, self.file, "a row", lambda: field.call(deepcopy(row)))
        if not isinstance(field, str):
            return field
        return row[field] if field in self.columns else self._filled(name, field, row)

    def _is_template(self, field: Any) -> bool:
        return isinstance(field, str) and field not in self.columns

    def index(self, text: str) -> Any:
        """A text of digits as an index, if the task has options."""
        if not self.has_choices or not text.isdigit():
            return text
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            raise DataError(f"{self.file}: {text!r} is not the index of an option.") from None

    def _filled(self, name: str, template: str, row: Mapping[str, Any]) -> str:
        try:
            _compile_template(template)
        except ConfigError as error:
            raise ConfigError(f"{self.file}: {name}: {error}") from None
        try:
            return _fill_template(template, row)
        except Exception as error:
            raise DataError(
                f"{self.file}: {name} cannot be filled in ({error}); the row has the columns "
                f"{', '.join(map(str, row))}."
            ) from None
