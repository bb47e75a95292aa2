"""lm-eval's record of a run beside ours: what was asked, what was filtered, what it scores."""

import json
import lzma
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from groundup.core import (
    Completion,
    Conversation,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
)
from groundup.evaluate.task.aggregate import aggregate, aggregate_groups
from groundup.evaluate.task.catalogue import TaskOpener
from groundup.evaluate.task.lm_eval import YamlTask
from groundup.evaluate.task.task import (
    ChatOptions,
    EvaluationTask,
    TaskGroup,
    TaskItem,
    TaskMeasure,
    TaskOptions,
    score_key,
)
from groundup.evaluate.task.yaml_files import read_task_index
from groundup.measure import Interval

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "lm_eval"


class Fake:
    """The chat template of the oracle's model; nothing is asked of it."""

    name = digest = signature = "fake"

    def render(self, conversation: Conversation) -> str:
        turns = "".join(f"<{m.role}>{m.content}</{m.role}>" for m in conversation)
        return turns + "<assistant>"

    def loglikelihood(
        self, pairs: Sequence[LoglikelihoodRequest]
    ) -> Iterator[tuple[int, Likelihood | Reason]]:
        raise AssertionError("answers come from the fixture")

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        raise AssertionError("answers come from the fixture")

    def complete(
        self, prompts: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[int, Completion | Reason]]:
        raise AssertionError("answers come from the fixture")


@cache
def expected(file: Path = FIXTURE / "expected.json.xz") -> list[dict[str, Any]]:
    return json.loads(lzma.decompress(file.read_bytes()))


def requests(task: EvaluationTask, item: TaskItem) -> list[Any]:
    """What lm-eval would call the arguments of the item's requests."""
    if task.kind == "loglikelihood_rolling":
        return [[item.prompt]]
    if task.kind == "generate_until":
        return [[item.prompt, {"until": list(task.sampling.stop)}]]
    return [[pair.context, pair.continuation] for pair in item.pairs]


def asked(arguments: list[Any]) -> list[Any]:
    """The oracle's arguments, how to generate reduced to what ends it; see test_settings.py."""
    found = []
    for one in arguments:
        if len(one) == 2 and isinstance(one[1], dict):
            until = one[1]["until"]
            one = [one[0], {"until": until if isinstance(until, list) else [until]}]
        found.append(one)
    return found


def answers(task: EvaluationTask, resps: list[Any]) -> list[Any]:
    """The oracle's answers as a model of ours gives them."""
    if task.kind == "generate_until":
        return [Completion(text, "stop", 1) for text in resps[0]]
    if task.kind == "loglikelihood_rolling":
        return [Likelihood(one[0], False, 1) for one in resps]
    return [Likelihood(one[0][0], one[0][1], 1) for one in resps]


def in_ours(measure: TaskMeasure, value: Any) -> Any:
    """A value of lm-eval's as ours: nats instead of log-likelihoods, Brier's distance at once."""
    if measure.aggregation in ("perplexity", "ratio"):
        total, weight = value if isinstance(value, list) else (value, 1)
        return [-total, weight]
    if measure.name == "brier_score":
        gold, chances = value
        return sum((p - (place == gold)) ** 2 for place, p in enumerate(chances))
    return value


def value_of(result: Interval | Reason | None) -> Any:
    return result.estimate if isinstance(result, Interval) else result


def compare(task: YamlTask, rows: list[dict[str, Any]], model: Any, limit: int | None) -> list[str]:
    """What differs between our run and the oracle's; nothing if all is equal."""
    items = {item.id: item for item in task.items(model, limit)}
    wrong = [] if len(items) == len({row["doc_id"] for row in rows}) else ["number of documents"]
    for row in rows:
        item = items[str(row["doc_id"])]
        if requests(task, item) != asked(row["arguments"]):
            wrong.append(f"{item.id}: {requests(task, item)} != {asked(row['arguments'])}")
            continue
        scored = task.score(item, answers(task, row["resps"]))
        if task.kind == "generate_until":
            filtered = row["filtered"][0]
            mine = scored.filtered[row["filter"]]
            if mine != filtered:
                wrong.append(f"{item.id} {row['filter']}: {mine!r} != {filtered!r}")
        for measure in task.measures:
            if measure.filter != row["filter"] or measure.name not in row["values"]:
                continue
            theirs = in_ours(measure, row["values"][measure.name])
            mine = scored.scores.get(measure.key, scored.undefined.get(measure.key))
            if not close(mine, theirs):
                wrong.append(f"{item.id} {measure.key}: {mine} != {theirs}")
    return wrong


def close(mine: Any, theirs: Any) -> bool:
    """Equal, floats to the last digits that sums in another order move."""
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(close, mine, theirs))
    if isinstance(mine, int | float) and isinstance(theirs, int | float):
        return abs(mine - theirs) <= 1e-12 * max(1.0, abs(theirs))
    return mine == theirs


def totals(
    task: YamlTask, rows: list[dict[str, Any]], model: Any, limit: int | None
) -> dict[str, Interval | Reason]:
    """Our aggregate of every measure."""
    items = {item.id: item for item in task.items(model, limit)}
    by_item = {row["doc_id"]: row for row in rows}
    scored = [task.score(items[str(i)], answers(task, row["resps"])) for i, row in by_item.items()]
    found = {}
    for measure in task.measures:
        values = [one.scores[measure.key] for one in scored if measure.key in one.scores]
        found[measure.key] = aggregate(
            measure, values, [""] * len(values), functions=task.functions
        )
    return found


def groups_in(members: Sequence[EvaluationTask | TaskGroup]) -> list[TaskGroup]:
    """Groups at any depth, outer ones first."""
    found = []
    for member in members:
        if isinstance(member, TaskGroup):
            found += [member, *groups_in(member.members)]
    return found


def open_case(case: dict[str, Any], include: Path, data: Path) -> list[Any]:
    """The tasks and groups of a case of the oracle, opened by us as it opened them."""
    chat = ChatOptions(
        case.get("apply_chat_template", False),
        case.get("fewshot_as_multiturn", False),
        case.get("system_instruction", ""),
    )
    seed = case.get("fewshot_random_seed", 1234)
    opener = TaskOpener(
        index_of(include), TaskOptions(data, case.get("num_fewshot"), chat, True, seed)
    )
    return [one for name in case["tasks"] for one in opener.open(name, {}, include)]


index_of = cache(read_task_index)


def differences(record: dict[str, Any], include: Path, data: Path) -> list[str]:
    """Everything in which our run of a case differs from the oracle's."""
    case, samples, results = record["case"], record["samples"], record["results"]
    opened, model, limit = open_case(case, include, data), Fake(), case.get("limit")
    leaves = [t for one in opened for t in (one.tasks() if isinstance(one, TaskGroup) else [one])]
    tasks = {task.name: task for task in leaves if isinstance(task, YamlTask)}
    wrong = [] if tasks.keys() == samples.keys() else [f"{list(tasks)} != {list(samples)}"]
    mine: dict[str, dict[str, Interval | Reason]] = {}
    for name, task in tasks.items():
        wrong += [f"{name} {line}" for line in compare(task, samples[name], model, limit)]
        mine[name] = totals(task, samples[name], model, limit)
        better = {one.name: one.better == "higher" for one in task.measures}
        theirs = {key: value for key, value in record["better"][name].items() if key in better}
        wrong += [] if better == theirs else [f"{name} better: {better} != {theirs}"]
    for group in groups_in(opened):
        mine[group.name] = {
            score_key(one.name, one.filter): one.result for one in aggregate_groups(group, mine)
        }
    for name, numbers in results.items():
        for key, theirs in numbers.items():
            found = value_of(mine[name].get(score_key(*key.split(","))))
            wrong += [] if close(found, theirs) else [f"{name} {key}: {found} != {theirs}"]
    return wrong
