"""The fields of an lm-eval task file (0.4.13), checked: unknown ones are errors that help.

What a field means is in lm-eval's docs/task_guide.md; here is said what differs. Fields that only
order files (`tag`, `group`, `task_list`) are read by files.py and stripped before.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, InstanceOf

from groundup.core import Config, ConfigError, Sampling, Stops, digest

from .code import Code
from .task import Kind

Written = str | int | InstanceOf[Code]
"""A column's name, a template, a number, or a function of the row."""

REFUSED = {
    "class": "is a task written in Python against lm-eval's classes; write it as YAML",
    "use_prompt": "takes prompts of promptsource; write doc_to_text and doc_to_target out",
    "doc_to_image": "shows images, and models here read text",
    "doc_to_audio": "plays sound, and models here read text",
}
"""Fields of lm-eval that no task here can have, and why."""

LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names that task files use for the most tokens to generate, the first given wins."""
DEFAULT_LENGTH = 256


class FewShotSettings(Config):
    """`fewshot_config`: how solved examples differ from the question."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    sampler: Literal["default", "first_n"] = "default"
    """`default` draws at random by the seed, `first_n` takes the first ones in order."""
    split: str | None = None
    """Where the examples come from; the task's fewshot_split if not given."""
    samples: list[dict[str, Any]] | InstanceOf[Code] | None = None
    """The examples themselves."""
    process_docs: InstanceOf[Code] | None = None
    """Changes the rows of the examples' split."""
    doc_to_text: Written | None = None
    """The question of an example."""
    doc_to_target: Written | list[Any] | None = None
    """The answer of an example."""
    doc_to_choice: str | list[Any] | dict[str, Any] | InstanceOf[Code] | None = None
    """The options of an example."""
    gen_prefix: str | None = None
    """How the answer of an example starts."""
    target_delimiter: str | None = None
    """Between question and answer."""
    fewshot_delimiter: str | None = None
    """After an answer."""


class TaskSettings(Config):
    """One task of lm-eval, as its YAML file gives it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    task: str
    """The task's name."""
    task_alias: str | None = None
    """Its name for people."""
    dataset_path: str | None = None
    """`json`, `csv`, `parquet`, `text`, a folder, or a data set's name on a hub."""
    dataset_name: str | None = None
    """Part of the data set."""
    dataset_kwargs: dict[str, Any] = {}
    """What the reader of the files takes, such as data_files."""
    custom_dataset: InstanceOf[Code] | None = None
    """Makes the data: a function that returns rows by split."""
    training_split: str | None = None
    """Rows for examples."""
    validation_split: str | None = None
    """Rows that are asked where there is no test split."""
    test_split: str | None = None
    """Rows that are asked."""
    fewshot_split: str | None = None
    """Rows for examples, before the training split."""
    process_docs: InstanceOf[Code] | None = None
    """Changes the rows of a split."""
    doc_to_text: Written | None = None
    """The question; the index of the right option where options are contexts (winogrande)."""
    doc_to_target: Written | list[Any] | None = None
    """The answer: text, several right texts, or the index of the right option."""
    doc_to_choice: str | list[Any] | dict[str, Any] | InstanceOf[Code] | None = None
    """The options."""
    unsafe_code: bool = False
    """Whether scoring runs what the model wrote."""
    process_results: InstanceOf[Code] | None = None
    """Makes the numbers of a row from the answers."""
    description: str = ""
    """Stands before everything."""
    target_delimiter: str = " "
    """Between question and answer or option."""
    fewshot_delimiter: str = "\n\n"
    """Between examples."""
    fewshot_config: FewShotSettings = FewShotSettings()
    """What is different for examples."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """How many examples; 0 written out cannot be overruled."""
    metric_list: list[dict[str, Any]] | None = None
    """What is measured; by default what suits the kind."""
    output_type: Kind = "generate_until"
    """What is asked of the model."""
    generation_kwargs: dict[str, Any] | None = None
    """How to generate."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """How many answers to each question that is generated."""
    filter_list: list[dict[str, Any]] | None = None
    """Pipelines that take the answer out of the text."""
    should_decontaminate: bool = False
    """Whether the task offers a text to look for in training data."""
    doc_to_decontamination_query: str | InstanceOf[Code] | None = None
    """That text; the question if not given."""
    gen_prefix: str | None = None
    """How the answer starts."""
    metadata: dict[str, Any] = {}
    """Its author's notes, of which `version` is read."""

    @property
    def shots(self) -> FewShotSettings:
        """fewshot_config with what it leaves open taken from the task."""
        names = ("process_docs", "doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix",
                 "target_delimiter", "fewshot_delimiter")  # fmt: skip
        given = self.fewshot_config
        open_fields = {n: getattr(self, n) for n in names if n not in given.model_fields_set}
        if "split" not in given.model_fields_set:
            open_fields["split"] = self.fewshot_split
        return given.model_copy(update=open_fields)

    @property
    def asked_split(self) -> str:
        """The split whose rows are asked."""
        return self.test_split or self.validation_split or ""


def read_settings(values: Mapping[str, Any], file: Path) -> TaskSettings:
    """A task file's fields, checked.

    Raises ConfigError naming the file, the key and the nearest known key.
    """
    values = {key: value for key, value in values.items() if value is not None}
    for key, why in REFUSED.items():
        if key in values:
            raise ConfigError(f"{file}: `{key}` {why}.")
    try:
        settings = TaskSettings(**values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    if settings.unsafe_code:
        raise ConfigError(
            f"{file}: `unsafe_code` runs what the model writes without a sandbox; "
            "use the built-in task humaneval, or score the answers another way."
        )
    if not settings.asked_split:
        raise ConfigError(f"{file}: expected a test_split or a validation_split to ask.")
    if settings.dataset_path is None and settings.custom_dataset is None:
        raise ConfigError(f"{file}: expected dataset_path (such as `json`) or custom_dataset.")
    needed = ["doc_to_target"]
    needed += ["doc_to_text"] if settings.output_type != "loglikelihood_rolling" else []
    needed += ["doc_to_choice"] if settings.output_type == "multiple_choice" else []
    for name in needed:
        if getattr(settings, name) is None:
            raise ConfigError(f"{file}: output_type {settings.output_type} needs `{name}`.")
    return settings


def stops_of(settings: TaskSettings, file: Path) -> Stops:
    """generation_kwargs as the model is asked.

    Raises ConfigError for a key that has no meaning here.
    """
    given = {"until": settings.fewshot_delimiter} | (settings.generation_kwargs or {})
    known = ("until", "do_sample", "temperature", "top_p", "top_k", *LENGTHS)
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{file}: generation_kwargs has no key `{key}` here; it takes {', '.join(known)}."
            )
    until = given["until"] if isinstance(given["until"], list) else [given["until"]]
    temperature = float(given.get("temperature", 0.0))
    if given.get("do_sample") and "temperature" not in given:
        temperature = 1.0
    sampling = Sampling(
        temperature=temperature if given.get("do_sample", True) else 0.0,
        top_k=int(given.get("top_k") or 0),
        top_p=float(given.get("top_p", 1.0)),
        max_tokens=int(next((given[name] for name in LENGTHS if name in given), DEFAULT_LENGTH)),
    )
    return Stops(sampling, tuple(str(text) for text in until if text))


def plain(value: Any) -> Any:
    """Settings as JSON values, code as its name and digest: what a digest is made of."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Config):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


SILENT = ("task", "task_alias", "metadata", "metric_list", "should_decontaminate", "num_fewshot",
          "doc_to_decontamination_query", "dataset_kwargs")  # fmt: skip


def prompt_digest(settings: TaskSettings) -> str:
    """Twelve hex digits that change when the questions, their form or their source change."""
    fields = {name: value for name, value in plain(settings).items() if name not in SILENT}
    return digest(fields)[:12]
