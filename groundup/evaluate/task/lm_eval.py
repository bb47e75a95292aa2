"""Tasks of lm-eval's YAML files, with the requests and scores of lm-eval 0.4.13.

tests/oracles/lm_eval_tasks.py compares the two. Deliberate differences are listed in
docs/reference/evaluate.md, under "Tasks"; one of them is that a question is never among its own
few-shot examples.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from groundup.core import (
    ConfigError,
    DataError,
    LoglikelihoodRequest,
    Sampling,
    TextModel,
    check_choice,
)

from .aggregate import Statistic
from .data import (
    DatasetRows,
    DatasetSource,
    Row,
    read_dataset_split,
    to_dataset_rows,
    to_json_values,
)
from .metrics import TaskMetric, read_metric_list
from .scoring import FilterPipeline, TaskScorer, read_filters
from .settings import (
    FieldReader,
    TaskSettings,
    prompt_digest,
    read_sampling,
    read_task_settings,
)
from .task import (
    ItemScores,
    PromptTurn,
    RequestKind,
    Response,
    TaskItem,
    TaskMeasure,
    TaskOptions,
    example_turns,
    join_texts,
    option_at,
    question_turns,
    render_turns,
)
from .yaml_files import TaskCode, call_code, load_code


@dataclass
class FewShotSampler:
    """A source of examples with its random stream; create one per pass over the questions."""

    task: str
    rows: Sequence[Row]
    count: int
    sampler: Literal["default", "first_n"] = "default"
    seed: int = 1234
    may_hold_question: bool = False
    """Whether the rows may contain the question, which is then removed."""
    stream: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the random stream."""
        self.stream = random.Random(self.seed)

    def sample(self, question: Row) -> list[Row]:
        """The examples of the next question; ConfigError if there are too few rows.

        >>> pool = [{"q": n} for n in range(9)]
        >>> [row["q"] for row in FewShotSampler("t", pool, 3).sample({"q": 9})]
        [7, 1, 0]
        >>> [row["q"] for row in FewShotSampler("t", pool, 2, "first_n", 0, True).sample({"q": 0})]
        [1, 2]
        """
        if not self.count:
            return []
        if self.sampler == "first_n":
            others = self._without_question(question) if self.may_hold_question else self.rows
            return list(self._check_enough(list(islice(others, self.count))))
        if not self.may_hold_question or not question:
            return self.stream.sample(self._check_enough(self.rows), self.count)
        drawn = self.stream.sample(self._check_enough(self.rows, spare=1), self.count + 1)
        examples = [row for row in drawn if row != question][: self.count]
        if len(examples) < self.count:
            examples = self.stream.sample(
                self._check_enough(list(self._without_question(question))), self.count
            )
        return examples

    def _without_question(self, question: Row) -> Iterator[Row]:
        return (row for row in self.rows if row != question)

    def _check_enough(self, rows: Sequence[Row], spare: int = 0) -> Sequence[Row]:
        if len(rows) < (needed := self.count + spare):
            raise ConfigError(
                f"{self.task}: {self.count} examples need {needed} rows; got {len(rows)}."
            )
        return rows


LM_EVAL_VERSION = "0.4.13"


def open_yaml_task(values: Mapping[str, Any], file: Path, options: TaskOptions) -> "YamlTask":
    """Open the task of a YAML file's keys.

    Raises ConfigError naming the file and key for invalid settings and for untrusted code.
    """
    inner = {key: v for key, v in values.items() if key not in ("tag", "group", "task_list")}
    settings = read_task_settings(load_code(inner, options.trust_code), file)
    pipelines = read_filters(settings.filter_list, file)
    if settings.output_type != "generate_until" and any(each.steps for each in pipelines):
        raise ConfigError(f"{file}: filters need texts, and {settings.output_type} generates none.")
    return YamlTask(file, settings, options, pipelines, read_metric_list(settings, file))


SILENCE_CHOICES = ("wrong", "undefined")


@dataclass
class YamlTask:
    """A task file with the caller's options; see open_yaml_task."""

    file: Path
    settings: TaskSettings
    options: TaskOptions
    pipelines: tuple[FilterPipeline, ...]
    metrics: tuple[TaskMetric, ...]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.settings.task

    @property
    def kind(self) -> RequestKind:
        """lm-eval's output_type."""
        return self.settings.output_type

    @property
    def version(self) -> str:
        """metadata.version; "" if missing."""
        return str(self.settings.metadata.get("version", ""))

    @property
    def num_fewshot(self) -> int:
        """Number of few-shot examples; a task's own 0 cannot be overridden, as in lm-eval."""
        own = self.settings.num_fewshot
        requested = self.options.few_shot
        return own or 0 if requested is None or own == 0 else requested

    @property
    def signature(self) -> str:
        """Everything that affects a score, except the measures' own options."""
        sampler = self.settings.few_shot_settings.sampler
        is_drawn = self.num_fewshot > 0 and sampler == "default"
        undrawn = "first" if self.num_fewshot else "no"
        drawn = f"random[{self.options.seed}]" if is_drawn else undrawn
        parts = [f"lm_eval:{LM_EVAL_VERSION}", f"shots:{self.num_fewshot}", f"draw:{drawn}"]
        parts += [self.options.chat.signature(), f"prompt:{prompt_digest(self.settings)}"]
        if self.kind == "generate_until":
            sampling = self.sampling
            parts += [f"temperature:{sampling.temperature:g}", f"max_tokens:{sampling.max_tokens}"]
            parts += [f"silence:{self.silence}"] if self.silence != "wrong" else []
        return "|".join(parts)

    @property
    def silence(self) -> str:
        """metadata.silence: an answer without text is "wrong" or "undefined"."""
        return check_choice(
            "metadata.silence", self.settings.metadata.get("silence", "wrong"), SILENCE_CHOICES
        )

    @property
    def measures(self) -> tuple[TaskMeasure, ...]:
        """Every metric of every filter."""
        return tuple(
            m.measure(each.name, each.signature) for each in self.pipelines for m in self.metrics
        )

    @property
    def functions(self) -> dict[str, Statistic]:
        """Aggregations of the task's own code by name, for `aggregate`."""
        return {
            str(m.aggregation_code): m.aggregation_code.call
            for m in self.metrics
            if m.aggregation_code is not None
        }

    @property
    def sampling(self) -> Sampling:
        """generation_kwargs."""
        return read_sampling(self.settings, self.file)

    @property
    def repeats(self) -> int:
        """Number of answers to each prompt."""
        return self.settings.repeats if self.kind == "generate_until" else 1

    @cached_property
    def _custom_splits(self) -> Mapping[str, Any] | None:
        code = self.settings.custom_dataset
        if code is None:
            return None
        options = self.settings.metadata | self.settings.dataset_kwargs
        splits = call_code(code, self.file, "options", lambda: code.call(**options))
        if not isinstance(splits, Mapping):
            raise DataError(f"{self.file}: {code.name} must return rows by split.")
        return splits

    def _read_split(self, name: str, process: TaskCode | None) -> DatasetRows:
        if self._custom_splits is not None:
            if name not in self._custom_splits:
                raise DataError(
                    f"{self.file}: no split `{name}` among {', '.join(self._custom_splits)}."
                )
            rows = to_dataset_rows(self._custom_splits[name], f"{self.file}: custom_dataset")
        else:
            settings = self.settings
            source = DatasetSource(
                settings.task, self.file, settings.dataset_path or "", settings.dataset_name,
                settings.dataset_kwargs, self.options.data,
            )  # fmt: skip
            rows = read_dataset_split(source, name)
        if process is not None:
            processed = call_code(process, self.file, f"split {name}", lambda: process.call(rows))
            rows = to_dataset_rows(processed, f"{self.file}: {process.name}")
        if not len(rows):
            raise DataError(f"{self.file}: the split `{name}` has no rows.")
        return rows

    @cached_property
    def rows(self) -> DatasetRows:
        """The rows of the evaluated split."""
        return self._read_split(self.settings.evaluated_split, self.settings.process_docs)

    @cached_property
    def reader(self) -> FieldReader:
        """Evaluates fields on rows; a field that is a column's name gives that column."""
        columns = frozenset(self.rows.column_names)
        return FieldReader(self.file, columns, self.settings.doc_to_choice is not None)

    def examples(self) -> FewShotSampler:
        """A new source of few-shot examples."""
        settings, shots = self.settings, self.settings.few_shot_settings
        splits = (settings.training_split, settings.validation_split, settings.test_split)
        split = next(name for name in (shots.split, *splits) if name is not None)
        rows: Sequence[Row] = []
        if self.num_fewshot and shots.split is None and shots.samples is not None:
            split = ""
            samples = shots.samples.call() if isinstance(shots.samples, TaskCode) else shots.samples
            rows = [dict(row) for row in samples]
        elif self.num_fewshot:
            process = settings.process_docs if shots.split is None else shots.process_docs
            is_evaluated = split == settings.evaluated_split and process == settings.process_docs
            rows = list(self.rows if is_evaluated else self._read_split(split, process))
        may_hold = shots.split == settings.test_split or split == settings.evaluated_split
        return FewShotSampler(
            self.name, rows, self.num_fewshot, shots.sampler, self.options.seed, may_hold
        )

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the questions in order; DataError naming an invalid row."""
        examples = self.examples()
        for number, row in enumerate(self.rows):
            if limit is not None and number >= limit:
                return
            try:
                yield self._build_item(number, row, examples, model)
            except DataError as error:
                raise DataError(f"{error} (row {number})") from None

    def _build_item(
        self, number: int, row: Row, examples: FewShotSampler, model: TextModel | None
    ) -> TaskItem:
        settings, reader = self.settings, self.reader
        target = reader.target(settings.doc_to_target, row)
        base = TaskItem(str(number), "", "", (), to_json_values(target), to_json_values(row))
        if self.kind == "loglikelihood_rolling":
            return base._replace(prompt=str(target))
        before = self._context_turns(row, examples)
        text = reader.text(settings.doc_to_text, row)
        prefix = reader.prefix(settings.gen_prefix, row)
        if self.kind == "multiple_choice":
            choices = reader.choices(settings.doc_to_choice, row)
            if isinstance(text, int):
                turns_by_choice = [question_turns(choice, prefix, "") for choice in choices]
                contexts = [
                    render_turns([*before, *turns], self.options.chat, model)
                    for turns in turns_by_choice
                ]
                pairs = self._option_pairs(
                    [LoglikelihoodRequest(each, str(target)) for each in contexts], choices
                )
                return base._replace(prompt=contexts[0], target=text, pairs=pairs)
        turns = [*before, *question_turns(text, prefix, settings.target_delimiter)]
        context = render_turns(turns, self.options.chat, model)
        if self.kind == "multiple_choice":
            pairs = self._option_pairs(
                [LoglikelihoodRequest(context, choice) for choice in choices], choices
            )
            return base._replace(prompt=context, pairs=pairs)
        if self.kind == "generate_until":
            return base._replace(prompt=context)
        if not isinstance(target, str):
            raise DataError(f"{self.file}: doc_to_target must be a text; got {target!r}.")
        return base._replace(prompt=context, pairs=(LoglikelihoodRequest(context, target),))

    def _option_pairs(
        self, requests: Sequence[LoglikelihoodRequest], choices: Sequence[str]
    ) -> tuple[LoglikelihoodRequest, ...]:
        """The requests of a multiple choice, with the delimiter between context and option."""
        delimiter, prefix = self.settings.target_delimiter, self.settings.gen_prefix
        if self.options.chat.apply_template and (not prefix or prefix[-1].isspace()):
            delimiter = ""
        if any(metric.name == "acc_mutual_info" for metric in self.metrics):
            requests = [*requests, *(LoglikelihoodRequest("", choice) for choice in choices)]
        return tuple(
            LoglikelihoodRequest(each.context, delimiter + each.continuation) for each in requests
        )

    def _context_turns(self, row: Row, examples: FewShotSampler) -> list[PromptTurn]:
        settings, shots, reader = self.settings, self.settings.few_shot_settings, self.reader
        description = reader.prefix(settings.description, row)
        system = join_texts(self.options.chat.system, description, settings.fewshot_delimiter)
        turns = [PromptTurn("system", system)] if system else []
        for shown in examples.sample(row):
            text = reader.text(shots.doc_to_text, shown)
            choices = reader.choices(shots.doc_to_choice, shown) if shots.doc_to_choice else None
            answer = reader.target(shots.doc_to_target, shown)
            if isinstance(text, int) and choices is not None:
                text, choices = option_at(choices, text), None
            turns += example_turns(
                text, answer, choices, reader.prefix(shots.gen_prefix, shown),
                shots.target_delimiter or "", shots.fewshot_delimiter or "",
            )  # fmt: skip
        return turns

    def decontamination_query(self, row: Row) -> str | None:
        """The text to search for in training data; None if the task has none."""
        field = self.settings.doc_to_decontamination_query
        if not self.settings.should_decontaminate:
            return None
        return str(self.reader.text(field or self.settings.doc_to_text, row))

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """The scores of one question, for every filter."""
        scoring = TaskScorer(self.file, self.settings, self.reader, self.metrics, self.pipelines)
        return scoring.score(item, answers)
