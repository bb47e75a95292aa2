"""Tasks of lm-eval's YAML files, with the requests and scores of lm-eval 0.4.13.

tests/oracles/lm_eval_tasks.py compares the two. Deliberate differences are listed in
docs/evaluate.md, under "Tasks".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.core import ConfigError, DataError, Pair, Stops, TextModel, choice

from .aggregate import Statistic
from .code import Code, run, trusted
from .data import Source, read_split
from .few_shot import Examples
from .filters import Pipeline, read_filters
from .measures import Measured, read_measures
from .prompt import Turn, Ways, example, joined, option, question, rendered
from .rows import Row, Rows, jsonable, rows_of
from .scoring import Scoring
from .settings import TaskSettings, prompt_digest, read_settings, stops_of
from .task import Asked, Item, Kind, Measure, Scored
from .template import Reader

PEER = "0.4.13"


def open_yaml(values: Mapping[str, Any], file: Path, ways: Ways) -> "YamlTask":
    """Open the task of a YAML file's keys.

    Raises ConfigError naming the file and key for invalid settings and for untrusted code.
    """
    inner = {key: v for key, v in values.items() if key not in ("tag", "group", "task_list")}
    settings = read_settings(trusted(inner, ways.trust_code), file)
    pipelines = read_filters(settings.filter_list, file)
    if settings.output_type != "generate_until" and any(each.steps for each in pipelines):
        raise ConfigError(f"{file}: filters need texts, and {settings.output_type} generates none.")
    return YamlTask(file, settings, ways, pipelines, read_measures(settings, file))


SILENCE = ("wrong", "undefined")


@dataclass
class YamlTask:
    """A task file with the caller's options; see open_yaml."""

    file: Path
    settings: TaskSettings
    ways: Ways
    pipelines: tuple[Pipeline, ...]
    measured: tuple[Measured, ...]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.settings.task

    @property
    def kind(self) -> Kind:
        """lm-eval's output_type."""
        return self.settings.output_type

    @property
    def version(self) -> str:
        """metadata.version; "" if missing."""
        return str(self.settings.metadata.get("version", ""))

    @property
    def count(self) -> int:
        """Number of few-shot examples; a task's own 0 cannot be overridden, as in lm-eval."""
        own = self.settings.num_fewshot
        requested = self.ways.few_shot
        return own or 0 if requested is None or own == 0 else requested

    @property
    def signature(self) -> str:
        """Everything that affects a score, except the measures' own options."""
        sampler = self.settings.shots.sampler
        is_drawn = self.count > 0 and sampler == "default"
        parts = [
            f"lm_eval:{PEER}",
            f"shots:{self.count}",
            f"draw:{f'random[{self.ways.seed}]' if is_drawn else 'first' if self.count else 'no'}",
            self.ways.chat.signature(),
            f"prompt:{prompt_digest(self.settings)}",
        ]
        if self.kind == "generate_until":
            sampling = self.stops.sampling
            parts += [f"temperature:{sampling.temperature:g}", f"max_tokens:{sampling.max_tokens}"]
            parts += [f"silence:{self.silence}"] if self.silence != "wrong" else []
        return "|".join(parts)

    @property
    def silence(self) -> str:
        """metadata.silence: an answer without text is "wrong" or "undefined"."""
        return choice("metadata.silence", self.settings.metadata.get("silence", "wrong"), SILENCE)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Every metric of every filter."""
        return tuple(m.measure(pipeline) for pipeline in self.pipelines for m in self.measured)

    @property
    def functions(self) -> dict[str, Statistic]:
        """Aggregations of the task's own code by name, for `aggregate`."""
        return {str(m.function): m.function.call for m in self.measured if m.function is not None}

    @property
    def stops(self) -> Stops:
        """generation_kwargs."""
        return stops_of(self.settings, self.file)

    @property
    def repeats(self) -> int:
        """Number of answers to each prompt."""
        return self.settings.repeats if self.kind == "generate_until" else 1

    @cached_property
    def made(self) -> Mapping[str, Any] | None:
        """The splits of custom_dataset."""
        code = self.settings.custom_dataset
        if code is None:
            return None
        options = self.settings.metadata | self.settings.dataset_kwargs
        splits = run(code, self.file, "options", lambda: code.call(**options))
        if not isinstance(splits, Mapping):
            raise DataError(f"{self.file}: {code.name} must return rows by split.")
        return splits

    def split(self, name: str, process: Code | None) -> Rows:
        """The rows of a split, processed by the task's own code."""
        if self.made is not None:
            if name not in self.made:
                raise DataError(f"{self.file}: no split `{name}` among {', '.join(self.made)}.")
            rows = rows_of(self.made[name], f"{self.file}: custom_dataset")
        else:
            settings = self.settings
            rows = read_split(
                Source(settings.task, self.file, settings.dataset_path or "", settings.dataset_name,
                       settings.dataset_kwargs, self.ways.data), name,
            )  # fmt: skip
        if process is not None:
            processed = run(process, self.file, f"split {name}", lambda: process.call(rows))
            rows = rows_of(processed, f"{self.file}: {process.name}")
        if not len(rows):
            raise DataError(f"{self.file}: the split `{name}` has no rows.")
        return rows

    @cached_property
    def rows(self) -> Rows:
        """The rows of the evaluated split."""
        return self.split(self.settings.asked_split, self.settings.process_docs)

    @cached_property
    def reader(self) -> Reader:
        """Evaluates fields on rows; a field that is a column's name gives that column."""
        columns = frozenset(self.rows.column_names)
        return Reader(self.file, columns, self.settings.doc_to_choice is not None)

    def examples(self) -> Examples:
        """A new source of few-shot examples."""
        settings, shots = self.settings, self.settings.shots
        splits = (
            shots.split,
            settings.training_split,
            settings.validation_split,
            settings.test_split,
        )
        split = next(name for name in splits if name is not None)
        rows: Sequence[Row] = []
        if self.count and shots.split is None and shots.samples is not None:
            split = ""
            samples = shots.samples.call() if isinstance(shots.samples, Code) else shots.samples
            rows = [dict(row) for row in samples]
        elif self.count:
            process = settings.process_docs if shots.split is None else shots.process_docs
            is_evaluated = split == settings.asked_split and process == settings.process_docs
            rows = list(self.rows if is_evaluated else self.split(split, process))
        may_hold = shots.split == settings.test_split or split == settings.asked_split
        return Examples(self.name, rows, self.count, shots.sampler, self.ways.seed, may_hold)

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the questions in order; DataError naming an invalid row."""
        examples = self.examples()
        for number, row in enumerate(self.rows):
            if limit is not None and number >= limit:
                return
            try:
                yield self.item(number, row, examples, model)
            except DataError as error:
                raise DataError(f"{error} (row {number})") from None

    def item(self, number: int, row: Row, examples: Examples, model: TextModel | None) -> Item:
        """One question."""
        settings, reader = self.settings, self.reader
        target = reader.target(settings.doc_to_target, row)
        base = Item(str(number), "", "", (), jsonable(target), jsonable(row))
        if self.kind == "loglikelihood_rolling":
            return base._replace(prompt=str(target))
        before = self.before(row, examples)
        text = reader.text(settings.doc_to_text, row)
        prefix = reader.prefix(settings.gen_prefix, row)
        if self.kind == "multiple_choice":
            choices = reader.choices(settings.doc_to_choice, row)
            if isinstance(text, int):
                turns_by_choice = [question(choice, prefix, "") for choice in choices]
                contexts = [
                    rendered([*before, *turns], self.ways.chat, model) for turns in turns_by_choice
                ]
                pairs = self.pairs([Pair(each, str(target)) for each in contexts], choices)
                return base._replace(prompt=contexts[0], target=text, pairs=pairs)
        turns = [*before, *question(text, prefix, settings.target_delimiter)]
        context = rendered(turns, self.ways.chat, model)
        if self.kind == "multiple_choice":
            pairs = self.pairs([Pair(context, choice) for choice in choices], choices)
            return base._replace(prompt=context, pairs=pairs)
        if self.kind == "generate_until":
            return base._replace(prompt=context)
        if not isinstance(target, str):
            raise DataError(f"{self.file}: doc_to_target must be a text; got {target!r}.")
        return base._replace(prompt=context, pairs=(Pair(context, target),))

    def pairs(self, asked: Sequence[Pair], choices: Sequence[str]) -> tuple[Pair, ...]:
        """The requests of a multiple choice, with the delimiter between context and option."""
        delimiter, prefix = self.settings.target_delimiter, self.settings.gen_prefix
        if self.ways.chat.template and (not prefix or prefix[-1].isspace()):
            delimiter = ""
        if any(metric.name == "acc_mutual_info" for metric in self.measured):
            asked = [*asked, *(Pair("", choice) for choice in choices)]
        return tuple(Pair(each.context, delimiter + each.continuation) for each in asked)

    def before(self, row: Row, examples: Examples) -> list[Turn]:
        """The turns before the question: system text and few-shot examples."""
        settings, shots, reader = self.settings, self.settings.shots, self.reader
        description = reader.prefix(settings.description, row)
        system = joined(self.ways.chat.system, description, settings.fewshot_delimiter)
        turns = [Turn("system", system)] if system else []
        for shown in examples.of(row):
            text = reader.text(shots.doc_to_text, shown)
            choices = reader.choices(shots.doc_to_choice, shown) if shots.doc_to_choice else None
            answer = reader.target(shots.doc_to_target, shown)
            if isinstance(text, int) and choices is not None:
                text, choices = option(choices, text), None
            turns += example(
                text, answer, choices, reader.prefix(shots.gen_prefix, shown),
                shots.target_delimiter or "", shots.fewshot_delimiter or "",
            )  # fmt: skip
        return turns

    def query(self, row: Row) -> str | None:
        """The text to search for in training data; None if the task has none."""
        field = self.settings.doc_to_decontamination_query
        if not self.settings.should_decontaminate:
            return None
        return str(self.reader.text(field or self.settings.doc_to_text, row))

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """The scores of one question, for every filter."""
        scoring = Scoring(self.file, self.settings, self.reader, self.measured, self.pipelines)
        return scoring.score(item, answers)
