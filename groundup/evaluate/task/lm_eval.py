"""A task of lm-eval's YAML: its questions to the letter, its numbers to the bit.

What lm-eval 0.4.13 asks and computes, this asks and computes; tests/oracles/lm_eval_tasks.py lays
the two side by side. What is done otherwise is listed in docs/evaluate.md, under "Tasks".
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
    """The task of a YAML file's keys.

    Raises ConfigError naming the file and key for what cannot be, and for code without trust.
    """
    inner = {key: v for key, v in values.items() if key not in ("tag", "group", "task_list")}
    settings = read_settings(trusted(inner, ways.trust_code), file)
    pipelines = read_filters(settings.filter_list, file)
    if settings.output_type != "generate_until" and any(each.steps for each in pipelines):
        raise ConfigError(f"{file}: filters read texts, and {settings.output_type} gives none.")
    return YamlTask(file, settings, ways, pipelines, read_measures(settings, file))


SILENCE = ("wrong", "undefined")


@dataclass
class YamlTask:
    """A task file with the way it is asked; see open_yaml."""

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
        """metadata.version; "" if its author gave none."""
        return str(self.settings.metadata.get("version", ""))

    @property
    def count(self) -> int:
        """Examples before a question; a task that says 0 keeps to it, as in lm-eval."""
        own = self.settings.num_fewshot
        asked = self.ways.few_shot
        return own or 0 if asked is None or own == 0 else asked

    @property
    def signature(self) -> str:
        """Everything but the measures' own that moves a score."""
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
        """metadata.silence: an answer without text is "wrong", or leaves the sample "undefined"."""
        return choice("metadata.silence", self.settings.metadata.get("silence", "wrong"), SILENCE)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Every metric of every filter."""
        return tuple(one.measure(each) for each in self.pipelines for one in self.measured)

    @property
    def functions(self) -> dict[str, Statistic]:
        """Aggregations of the task's own code by name, for `aggregate`."""
        own = [one.function for one in self.measured if one.function is not None]
        return {str(code): code.call for code in own}

    @property
    def stops(self) -> Stops:
        """generation_kwargs."""
        return stops_of(self.settings, self.file)

    @property
    def repeats(self) -> int:
        """How many answers to each prompt."""
        return self.settings.repeats if self.kind == "generate_until" else 1

    @cached_property
    def made(self) -> Mapping[str, Any] | None:
        """What custom_dataset made, by split."""
        code = self.settings.custom_dataset
        if code is None:
            return None
        options = self.settings.metadata | self.settings.dataset_kwargs
        made = run(code, self.file, "options", lambda: code.call(**options))
        if not isinstance(made, Mapping):
            raise DataError(f"{self.file}: {code.name} must return rows by split.")
        return made

    def split(self, name: str, process: Code | None) -> Rows:
        """The rows of a split, changed by the task's own code."""
        if self.made is not None:
            if name not in self.made:
                raise DataError(f"{self.file}: no split `{name}` among {', '.join(self.made)}.")
            rows = rows_of(self.made[name], f"{self.file}: custom_dataset")
        else:
            given = self.settings
            rows = read_split(
                Source(given.task, self.file, given.dataset_path or "", given.dataset_name,
                       given.dataset_kwargs, self.ways.data), name,
            )  # fmt: skip
        if process is not None:
            found = run(process, self.file, f"split {name}", lambda: process.call(rows))
            rows = rows_of(found, f"{self.file}: {process.name}")
        if not len(rows):
            raise DataError(f"{self.file}: the split `{name}` has no rows.")
        return rows

    @cached_property
    def rows(self) -> Rows:
        """The rows that are asked."""
        return self.split(self.settings.asked_split, self.settings.process_docs)

    @cached_property
    def reader(self) -> Reader:
        """Reads fields of rows; a field that names a column is that column."""
        columns = frozenset(self.rows.column_names)
        return Reader(self.file, columns, self.settings.doc_to_choice is not None)

    def examples(self) -> Examples:
        """A fresh source of solved examples."""
        given, shots = self.settings, self.settings.shots
        splits = (shots.split, given.training_split, given.validation_split, given.test_split)
        split = next(name for name in splits if name is not None)
        rows: Sequence[Row] = []
        if self.count and shots.split is None and shots.samples is not None:
            split = ""
            own = shots.samples.call() if isinstance(shots.samples, Code) else shots.samples
            rows = [dict(row) for row in own]
        elif self.count:
            process = given.process_docs if shots.split is None else shots.process_docs
            is_asked = split == given.asked_split and process == given.process_docs
            rows = list(self.rows if is_asked else self.split(split, process))
        may_hold = shots.split == given.test_split or split == given.asked_split
        return Examples(self.name, rows, self.count, shots.sampler, self.ways.seed, may_hold)

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the questions in order.

        Raises DataError naming the row that cannot be asked.
        """
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
        given, reader = self.settings, self.reader
        target = reader.target(given.doc_to_target, row)
        ready = Item(str(number), "", "", (), jsonable(target), jsonable(row))
        if self.kind == "loglikelihood_rolling":
            return ready._replace(prompt=str(target))
        before = self.before(row, examples)
        text = reader.text(given.doc_to_text, row)
        prefix = reader.prefix(given.gen_prefix, row)
        if self.kind == "multiple_choice":
            choices = reader.choices(given.doc_to_choice, row)
            if isinstance(text, int):
                asked = [question(choice, prefix, "") for choice in choices]
                contexts = [rendered([*before, *turns], self.ways.chat, model) for turns in asked]
                pairs = self.pairs([Pair(each, str(target)) for each in contexts], choices)
                return ready._replace(prompt=contexts[0], target=text, pairs=pairs)
        turns = [*before, *question(text, prefix, given.target_delimiter)]
        context = rendered(turns, self.ways.chat, model)
        if self.kind == "multiple_choice":
            pairs = self.pairs([Pair(context, choice) for choice in choices], choices)
            return ready._replace(prompt=context, pairs=pairs)
        if self.kind == "generate_until":
            return ready._replace(prompt=context)
        if not isinstance(target, str):
            raise DataError(f"{self.file}: doc_to_target must be a text; got {target!r}.")
        return ready._replace(prompt=context, pairs=(Pair(context, target),))

    def pairs(self, asked: Sequence[Pair], choices: Sequence[str]) -> tuple[Pair, ...]:
        """What is asked of a multiple choice, with the delimiter between context and text."""
        delimiter, prefix = self.settings.target_delimiter, self.settings.gen_prefix
        if self.ways.chat.template and (not prefix or prefix[-1].isspace()):
            delimiter = ""
        if any(one.name == "acc_mutual_info" for one in self.measured):
            asked = [*asked, *(Pair("", choice) for choice in choices)]
        return tuple(Pair(each.context, delimiter + each.continuation) for each in asked)

    def before(self, row: Row, examples: Examples) -> list[Turn]:
        """What stands before the question: the system's text and the solved examples."""
        given, shots, reader = self.settings, self.settings.shots, self.reader
        description = reader.prefix(given.description, row)
        system = joined(self.ways.chat.system, description, given.fewshot_delimiter)
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
        """The text to look for in training data; None if the task offers none."""
        field = self.settings.doc_to_decontamination_query
        if not self.settings.should_decontaminate:
            return None
        return str(self.reader.text(field or self.settings.doc_to_text, row))

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """The numbers of one question, by every filter."""
        scoring = Scoring(self.file, self.settings, self.reader, self.measured, self.pipelines)
        return scoring.score(item, answers)
