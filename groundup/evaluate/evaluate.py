"""The verb: tasks, a test set or held-out documents on any model, as a report with every sample.

    MODEL   a model directory of ours · hf:DIR, a directory of Transformers · http://HOST/v1#NAME

A directory of Transformers whose model ours computes too is opened by ours, which is faster; every
other by Transformers itself. What is opened and how is in the report's subject.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import Any, Literal, NamedTuple

from pydantic import Field

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    DataError,
    Draft,
    Reason,
    TextModel,
    check_kind,
    digest,
    produce,
    record,
    write_json,
)
from groundup.generate import Endpoint, EndpointConfig
from groundup.measure import look, warn

from .harness.answers import Answers
from .harness.local import LocalModel, Reading
from .harness.report import (
    Access,
    Report,
    Subject,
    read_report,
    remember_baseline,
    setting_of,
    write_report,
)
from .harness.run import Known, Runner, dry, group_reports
from .heldout import HeldOut
from .task.task import Group, Task

VERSION = 4


class EvaluateConfig(Config):
    """How a model is opened and asked."""

    dtype: Literal["float32", "bfloat16", "as_saved"] = "float32"
    """Number format of a local model's weights; bfloat16 is faster where a machine has it."""
    batch_tokens: int = Field(default=0, ge=0)
    """Tokens that a local model computes at a time; 0 is what suits the device."""
    invariant: bool = False
    """Compute each request alone, so that no batch can move a score by a bit; slower."""
    window: int = Field(default=0, ge=0)
    """Most tokens of a long text that are read at a time; 0 is the model's context."""
    stride: int = Field(default=0, ge=0)
    """Tokens between the starts of overlapping windows; 0 is lm-eval's windows without overlap."""
    split: str = "test"
    """Split of --tokens."""
    seed: int = 1234
    """Of the draws of few-shot examples."""
    system: str = ""
    """Text that stands before every prompt, or is the system's turn."""
    trust_code: bool = False
    """Run the Python code that task files name."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the intervals that are shown; a gate makes its own."""
    cache: str = ""
    """Folder of answers that runs share; empty keeps a run's answers to itself."""
    accept_failures: bool = False
    """Report although requests failed for a reason that may pass, such as a server that is away."""
    endpoint: EndpointConfig = EndpointConfig(url="", model="")
    """Of a server: its address and model come from MODEL."""


class Evaluated(NamedTuple):
    """A report and, if asked for, the comparison with a baseline."""

    artifact: Artifact
    report: Report
    against: Any = None

    def __str__(self) -> str:
        """The table of the report, then that of the comparison."""
        head = f"report {self.artifact.id[:12]}  {self.report.subject.name}  {self.artifact.path}"
        parts = [head, str(self.report), *(str(each) for each in (self.against,) if each)]
        return "\n\n".join(parts)


class Asked(NamedTuple):
    """What is evaluated."""

    model: TextModel
    kind: Literal["groundup", "transformers", "endpoint"]
    tasks: Sequence[Task | Group]
    limit: int | None
    warns: bool = True
    """Whether what is wrong with a test set is told; once a run is enough."""
    name: str = ""
    """What reports call it; empty: the model's own name."""


def flat(tasks: Sequence[Task | Group]) -> list[Task]:
    """Every task once, in order."""
    inner = [each.tasks() if isinstance(each, Group) else (each,) for each in tasks]
    return list({task.name: task for some in inner for task in some}.values())


def evaluate(
    model: str, *, config: EvaluateConfig, tasks: str = "", test: Artifact | None = None,
    tokens: Artifact | None = None, against: str = "", out: Path | None = None,
    limit: int | None = None, few_shot: int | None = None, chat_template: bool = False,
    include: Path | None = None, data: Path | None = None, dry_run: bool = False, name: str = "",
) -> Evaluated | str:  # fmt: skip
    """Measure a model on tasks, a test set or held-out documents; every number has an interval.

    The same command goes on after a kill and asks nothing twice. Looks at a test set are recorded,
    before the first sample is read.

    model          a model directory, hf:DIR for one of Transformers, or http://HOST/v1#NAME
    tasks          names of tasks, YAML files of lm-eval or test sets, with commas between them
    test           a test set
    tokens         tokens whose test split is scored in bits per byte
    against        a report, or a model to evaluate likewise, that the result is compared with
    limit          most samples of each task
    few_shot       examples before each question, where the task leaves it open
    chat_template  ask through the model's chat format
    include        folder with YAML files of tasks
    data           folder with the data sets that tasks name
    dry_run        show the first prompts and count the requests; ask nothing
    name           what the report calls the model, such as "support bot, March"

    Raises ConfigError if nothing is asked for, ArtifactError for what cannot be opened.
    """
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not (names or test or tokens):
        raise ConfigError(
            "Expected something to evaluate on: --tasks NAMES, --test TESTSET or --tokens TOKENS."
        )
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit} leaves no sample; give 1 or more.")
    if out is None and not dry_run:
        raise ConfigError("Expected --out DIR for the report, or --dry-run.")
    if tokens is not None:
        tokens.require_kind("tokens")
    names += [str(test.path)] if test else []
    opened: list[Task | Group] = []
    if names:
        from .task.catalogue import open_tasks  # here: comparing and scoring texts need no tasks

        opened += open_tasks(
            names, include=include, data=data, few_shot=few_shot, chat_template=chat_template,
            trust_code=config.trust_code, seed=config.seed, system=config.system,
        )  # fmt: skip
    opened += [HeldOut(tokens, config.split)] if tokens else []
    asked = opened_model(model, config, opened, limit, sends=not dry_run)._replace(name=name)
    if dry_run:
        return "\n\n".join(dry(task, asked.model, limit) for task in flat(asked.tasks))
    assert out is not None
    baseline = opened_baseline(against, asked, config)
    artifact = reported(asked, config, Path(out))
    return Evaluated(artifact, read_report(artifact), compared(artifact, baseline, config))


def opened_model(
    name: str, config: EvaluateConfig, tasks: Sequence[Task | Group], limit: int | None,
    *, sends: bool = True,
) -> Asked:  # fmt: skip
    """Open a model by what its name says it is; `sends`: a server is asked whether it has it."""
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        if not model:
            shown = "http://HOST/v1" if "@" in url else url  # no password is repeated
            raise ConfigError(f"MODEL is a server's address; add its model, as in {shown}#NAME.")
        settings = config.endpoint.model_copy(update={"url": url, "model": model})
        server = Endpoint.open(settings) if sends else Endpoint(settings)
        return Asked(server, "endpoint", tasks, limit)
    path = Path(name.removeprefix("hf:"))
    if not path.is_dir():
        raise ArtifactError(f"{path} is no directory; expected a model, hf:DIR or http://…#NAME.")
    chat = any("template:" in t.signature and "template:no" not in t.signature for t in flat(tasks))
    if not name.startswith("hf:"):
        try:
            return Asked(open_local(path, config, chat), "groundup", tasks, limit)
        except (ArtifactError, DataError) as error:
            if (path / MANIFEST).is_file():
                raise
            record.say(f"Opened by Transformers: {error}")
    from .harness.foreign import open_foreign

    foreign = open_foreign(path, dtype=dtype_of(config), reading=reading(config))
    return Asked(foreign, "transformers", tasks, limit)


def open_local(path: Path, config: EvaluateConfig, chat: bool) -> LocalModel:
    """Open a directory by our own model."""
    from .harness.ours import open_ours

    return open_ours(path, dtype=dtype_of(config), chat=chat, reading=reading(config))


def dtype_of(config: EvaluateConfig) -> Any:
    """The torch type that a configuration names; None is the saved one."""
    import torch

    return None if config.dtype == "as_saved" else getattr(torch, config.dtype)


def reading(config: EvaluateConfig) -> Reading:
    """How a local model reads."""
    return Reading(config.batch_tokens, config.invariant, config.window, config.stride)


class Evaluation(Config):
    """All that decides a report: the key of its artifact."""

    model: str
    """The subject's digest and signature."""
    tasks: list[list[str]]
    """Name, version and signature of each task."""
    limit: int | None
    """Most samples of each task."""
    confidence: float
    """Of the intervals."""
    accept_failures: bool
    """Whether requests may be without an answer."""
    name: str = ""
    """What the report calls the model, if not by its own name."""


def reported(asked: Asked, config: EvaluateConfig, out: Path) -> Artifact:
    """The report of all tasks, made unless it is there."""
    model = asked.model
    tasks = flat(asked.tasks)
    decides = Evaluation(
        model=f"{model.digest} {model.signature}", limit=asked.limit, confidence=config.confidence,
        tasks=[[task.name, task.version, task.signature] for task in tasks],
        accept_failures=config.accept_failures, name=asked.name,
    )  # fmt: skip
    return produce(
        out, kind="report", stage="evaluate", version=VERSION, config=decides,
        parents=parents(asked, tasks), write=lambda draft: write(draft, asked, config),
    )  # fmt: skip


def parents(asked: Asked, tasks: Sequence[Task]) -> dict[str, Artifact]:
    """The artifacts among what a report is made of."""
    found = {}
    if asked.kind == "groundup" and (Path(asked.model.name) / MANIFEST).is_file():
        found["model"] = Artifact.open(asked.model.name, "model")
    for task in tasks:
        for name in ("testset", "tokens"):
            if isinstance(made_of := getattr(task, name, None), Artifact):
                found[f"{made_of.kind} of {task.name}"] = made_of
    return found


def write(draft: Draft, asked: Asked, config: EvaluateConfig) -> None:
    """Run the tasks and write the report; the body of the stage."""
    started, model = perf_counter(), asked.model
    accesses = recorded(draft, asked)
    identity = digest([model.digest, model.signature])
    with ExitStack() as open_files:
        own = open_files.enter_context(Answers(draft.scratch / "answers.jsonl"))
        shared = None
        if config.cache:
            path = Path(config.cache) / f"{identity[:32]}.jsonl"
            shared = open_files.enter_context(Answers(path))
        runner = Runner(model, Known(own, shared), confidence=config.confidence)
        try:
            reports = [runner.run(task, draft, asked.limit) for task in flat(asked.tasks)]
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Stopped; {len(own)} answers are kept, and the same command goes on."
            ) from None
        if not config.accept_failures:
            runner.check_answered()
    subject = Subject(asked.name or model.name, model.digest, model.signature, asked.kind)
    groups = group_reports(asked.tasks, reports)
    seconds = round(perf_counter() - started, 3)
    report = Report(subject, tuple(reports), groups, runner.cost(), seconds, accesses)
    write_report(draft, report)
    draft.numbers |= {"model": subject.name, "samples": sum(task.samples for task in reports)}
    for task in reports:
        for one in task.measures[:1]:
            result = one.result
            shown = result.code if isinstance(result, Reason) else str(result)
            draft.numbers[f"{task.name} {one.key}"] = shown


def recorded(draft: Draft, asked: Asked) -> tuple[Access, ...]:
    """Record the looks at test sets, once for a run however often it is taken up again.

    It comes before the first sample is read: whoever stops a run has seen some. A server's weights
    are not known, so each of its runs is a candidate of its own.
    """
    kept, model = draft.scratch / "accesses.json", asked.model
    if kept.is_file():
        return tuple(Access(**row) for row in json.loads(kept.read_text(encoding="utf-8")))
    found, run = [], token_hex(8) if asked.kind == "endpoint" else ""
    for task in flat(asked.tasks):
        sealed = getattr(task, "testset", None)
        if sealed is None:
            continue
        if asked.warns and sealed.kind == "testset":
            warn(sealed)
        setting = setting_of(model.signature, task.signature, asked.limit)
        made = look(sealed, "evaluate", model.digest, setting, run=run)
        found.append(Access(sealed.id, made.candidate, made.line))
    write_json(kept, [each._asdict() for each in found])
    return tuple(found)


def opened_baseline(against: str, asked: Asked, config: EvaluateConfig) -> Artifact | Asked | None:
    """The report or model to compare with; opened first, so that a wrong one costs no look."""
    if not against:
        return None
    path = Path(against)
    check_kind(path, "report", "model")
    if (path / MANIFEST).is_file() and (found := Artifact.open(path)).kind == "report":
        read_report(found)
        return found
    return opened_model(against, config, asked.tasks, asked.limit)._replace(warns=False)


def compared(artifact: Artifact, baseline: Artifact | Asked | None, config: EvaluateConfig) -> Any:
    """The comparison with a report, or with a model evaluated likewise beside this one's report."""
    if baseline is None:
        return None
    if isinstance(baseline, Asked):
        place = artifact.path.with_name(f"{artifact.path.name}-against")
        baseline = reported(baseline, config, place)
    remember_baseline(artifact, baseline)
    from .compare.verb import compare

    return compare([baseline.path, artifact.path])
