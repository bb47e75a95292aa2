"""The fields of an lm-eval task file (0.4.13), validated; unknown fields are errors.

lm-eval's docs/task_guide.md explains the fields. yaml_files.py reads and removes `tag`,
`group` and `task_list` before.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, InstanceOf

from groundup.core import Config, ConfigError, Sampling, StopCriteria, digest

from .code import TaskCode
from .task import RequestKind

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
            f"{file}: `unsafe_code` would run generated code without a sandbox; use the built-in "
            "task humaneval."
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


def read_stop_criteria(settings: TaskSettings, file: Path) -> StopCriteria:
    """The stop criteria of generation_kwargs; ConfigError for an unsupported key."""
    kwargs = {"until": settings.fewshot_delimiter} | (settings.generation_kwargs or {})
    known = ("until", "do_sample", "temperature", "top_p", "top_k", *MAX_TOKENS_KEYS)
    for key in kwargs:
        if key not in known:
            raise ConfigError(
                f"{file}: generation_kwargs does not support `{key}`; it takes {', '.join(known)}."
            )
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
    return StopCriteria(sampling, tuple(str(text) for text in until if text))


def _digest_values(value: Any) -> Any:
    """Settings as JSON values for a digest, code as its name and digest."""
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
