"""The verb `evaluate`: score tasks, a test set or held-out documents on any model, into a report.

    MODEL   a groundup model directory · hf:DIR, a Transformers directory · http://HOST/v1#NAME

A Transformers directory of a supported architecture is loaded by groundup, which is faster; any
other by Transformers itself. The report's subject records which.
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
from groundup.generate import Endpoint, EndpointConfig, endpoint_settings
from groundup.measure import log_findings, record_access

from .harness.answer_cache import AnswerCache
from .harness.local import ScoringOptions
from .harness.report import (
    EvaluationReport,
    RecordedAccess,
    Subject,
    read_report,
    record_baseline,
    setting_digest,
    write_evaluation_report,
)
from .harness.runner import TaskRunner, describe_requests, report_groups
from .task.task import EvaluationTask, TaskGroup

VERSION = 4


class EvaluateConfig(Config):
    """How a model is opened and scored."""

    dtype: Literal["float32", "bfloat16", "as_saved"] = "float32"
    """dtype of a local model's weights; bfloat16 is faster on machines that support it."""
    batch_tokens: int = Field(default=0, ge=0)
    """Tokens that a local model computes at a time; 0 chooses by device."""
    invariant: bool = False
    """Compute each request alone, so that scores do not depend on batching; slower."""
    window: int = Field(default=0, ge=0)
    """Window of long texts in tokens; 0 is the model's context."""
    stride: int = Field(default=0, ge=0)
    """Tokens between the starts of overlapping windows; 0 is lm-eval's windows without overlap."""
    split: str = "test"
    """Split of --tokens."""
    seed: int = 1234
    """Seed of the few-shot examples."""
    system: str = ""
    """Text before every prompt, or the system message of a chat."""
    trust_code: bool = False
    """Run the Python code that task files name."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Confidence of the reported intervals; a gate computes its own."""
    cache: str = ""
    """Folder of answers shared between runs; empty shares none."""
    accept_failures: bool = False
    """Report although requests failed for a transient reason, such as an unreachable server."""
    endpoint: EndpointConfig = EndpointConfig(url="", model="")
    """Settings of a server; its address and model come from MODEL."""


class EvaluateResult(NamedTuple):
    """A report and, if requested, the comparison with a baseline."""

    artifact: Artifact
    report: EvaluationReport
    against: Any = None

    def __str__(self) -> str:
        """The tables of the report and of the comparison."""
        head = f"report {self.artifact.id[:12]}  {self.report.subject.name}  {self.artifact.path}"
        parts = [head, str(self.report), *(str(each) for each in (self.against,) if each)]
        return "\n\n".join(parts)


class EvaluationTarget(NamedTuple):
    """A model and the tasks to evaluate it on."""

    model: TextModel
    kind: Literal["groundup", "transformers", "endpoint"]
    tasks: Sequence[EvaluationTask | TaskGroup]
    limit: int | None
    warns: bool = True
    """Whether problems of a test set are reported; once per run is enough."""
    name: str = ""
    """Display name in reports; empty is the model's own name."""


def _unique_tasks(tasks: Sequence[EvaluationTask | TaskGroup]) -> list[EvaluationTask]:
    inner = [each.tasks() if isinstance(each, TaskGroup) else (each,) for each in tasks]
    return list({task.name: task for some in inner for task in some}.values())


def evaluate(
    model: str, *, config: EvaluateConfig, tasks: str = "", test: Artifact | None = None,
    tokens: Artifact | None = None, against: str = "", out: Path | None = None,
    limit: int | None = None, few_shot: int | None = None, chat_template: bool = False,
    include: Path | None = None, data: Path | None = None, dry_run: bool = False, name: str = "",
) -> EvaluateResult | str:  # fmt: skip
    """Evaluate a model on tasks, a test set or held-out documents; every measure has an interval.

    After a kill the same command resumes and repeats no request. Test-set accesses are recorded
    before the first sample is read.

    model          a model directory, hf:DIR for Transformers, or http://HOST/v1#NAME
    tasks          names of tasks, lm-eval YAML files or test sets, separated by commas
    test           a test set
    tokens         tokens whose test split is scored in bits per byte
    against        the baseline: a report, or a model to evaluate in the same way
    limit          maximum samples of each task
    few_shot       examples before each question, where the task does not fix it
    chat_template  apply the model's chat template
    include        folder with YAML files of tasks
    data           folder with the data sets that tasks name
    dry_run        show the first prompts and count the requests; send nothing
    name           display name of the model in the report, such as "support bot, March"

    Raises ConfigError if there is nothing to evaluate on, ArtifactError for what cannot be opened.
    """
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not (names or test or tokens):
        raise ConfigError(
            "Expected something to evaluate on: --tasks NAMES, --test TESTSET or --tokens TOKENS."
        )
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit} must be 1 or more.")
    if out is None and not dry_run:
        raise ConfigError("Expected --out DIR for the report, or --dry-run.")
    if tokens is not None:
        tokens.require_kind("tokens")
    names += [str(test.path)] if test else []
    # imported here: comparing and scoring texts need no tasks
    from .task.catalogue import open_tasks
    from .task.sets import HeldOutTask

    opened: list[EvaluationTask | TaskGroup] = []
    if names:
        opened += open_tasks(
            names, include=include, data=data, few_shot=few_shot, chat_template=chat_template,
            trust_code=config.trust_code, seed=config.seed, system=config.system,
        )  # fmt: skip
    opened += [HeldOutTask(tokens, config.split)] if tokens else []
    target = _open_model(model, config, opened, limit, sends=not dry_run)._replace(name=name)
    if dry_run:
        return "\n\n".join(
            describe_requests(task, target.model, limit) for task in _unique_tasks(target.tasks)
        )
    assert out is not None
    baseline = _open_baseline(against, target, config)
    artifact = _produce_report(target, config, Path(out))
    return EvaluateResult(
        artifact, read_report(artifact), _compare_with_baseline(artifact, baseline, config)
    )


def _open_model(
    name: str, config: EvaluateConfig, tasks: Sequence[EvaluationTask | TaskGroup],
    limit: int | None, *, sends: bool = True,
) -> EvaluationTarget:  # fmt: skip
    """Open a model by the form of its name; `sends`: check that the server has it."""
    if name.startswith(("http://", "https://")):
        settings = endpoint_settings(name, config.endpoint)
        server = Endpoint.open(settings) if sends else Endpoint(settings)
        return EvaluationTarget(server, "endpoint", tasks, limit)
    import torch

    path = Path(name.removeprefix("hf:"))
    if not path.is_dir():
        raise ArtifactError(
            f"{path} is not a directory; expected a model, hf:DIR or http://…#NAME."
        )
    signatures = [task.signature for task in _unique_tasks(tasks)]
    chat = any("template:" in each and "template:no" not in each for each in signatures)
    dtype = None if config.dtype == "as_saved" else getattr(torch, config.dtype)
    options = ScoringOptions(config.batch_tokens, config.invariant, config.window, config.stride)
    if not name.startswith("hf:"):
        try:
            from .harness.local import open_native

            local = open_native(path, dtype=dtype, chat=chat, options=options)
            return EvaluationTarget(local, "groundup", tasks, limit)
        except (ArtifactError, DataError) as error:
            if (path / MANIFEST).is_file():
                raise
            record.log(f"Opened with Transformers: {error}")
    from .harness.hf import open_hf

    foreign = open_hf(path, dtype=dtype, options=options)
    return EvaluationTarget(foreign, "transformers", tasks, limit)


class ReportKey(Config):
    """Everything that determines a report: the config of its artifact."""

    model: str
    """The subject's digest and signature."""
    tasks: list[list[str]]
    """Name, version and signature of each task."""
    limit: int | None
    """Maximum samples of each task."""
    confidence: float
    """Confidence of the intervals."""
    accept_failures: bool
    """Whether requests may remain without an answer."""
    name: str = ""
    """Display name of the model, if not its own."""


def _produce_report(target: EvaluationTarget, config: EvaluateConfig, out: Path) -> Artifact:
    model = target.model
    tasks = _unique_tasks(target.tasks)
    key = ReportKey(
        model=f"{model.digest} {model.signature}", limit=target.limit, confidence=config.confidence,
        tasks=[[task.name, task.version, task.signature] for task in tasks],
        accept_failures=config.accept_failures, name=target.name,
    )  # fmt: skip
    return produce(
        out, kind="report", stage="evaluate", version=VERSION, config=key,
        parents=_parent_artifacts(target, tasks),
        write=lambda draft: _write_evaluation(draft, target, config),
    )  # fmt: skip


def _parent_artifacts(
    target: EvaluationTarget, tasks: Sequence[EvaluationTask]
) -> dict[str, Artifact]:
    found = {}
    if target.kind == "groundup" and (Path(target.model.name) / MANIFEST).is_file():
        found["model"] = Artifact.open(target.model.name)
    for task in tasks:
        for name in ("testset", "tokens"):
            if isinstance(artifact := getattr(task, name, None), Artifact):
                found[f"{artifact.kind} of {task.name}"] = artifact
    return found


def _write_evaluation(draft: Draft, target: EvaluationTarget, config: EvaluateConfig) -> None:
    started, model = perf_counter(), target.model
    accesses = _record_accesses(draft, target)
    identity = digest([model.digest, model.signature])
    with ExitStack() as open_files:
        shared = None
        if config.cache:
            path = Path(config.cache) / f"{identity[:32]}.jsonl"
            shared = open_files.enter_context(AnswerCache(path))
        own = open_files.enter_context(AnswerCache(draft.scratch / "answers.jsonl", shared))
        runner = TaskRunner(model, own, confidence=config.confidence)
        try:
            reports = [
                runner.run(task, draft, target.limit) for task in _unique_tasks(target.tasks)
            ]
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Stopped; {len(own)} answers are stored, and the same command resumes."
            ) from None
        if not config.accept_failures:
            runner.check_answered()
    subject = Subject(target.name or model.name, model.digest, model.signature, target.kind)
    groups = report_groups(target.tasks, reports)
    seconds = round(perf_counter() - started, 3)
    report = EvaluationReport(subject, tuple(reports), groups, runner.cost(), seconds, accesses)
    write_evaluation_report(draft, report)
    draft.numbers |= {"model": subject.name, "samples": sum(task.samples for task in reports)}
    for task in reports:
        for measure in task.measures[:1]:
            result = measure.result
            shown = result.code if isinstance(result, Reason) else str(result)
            draft.numbers[f"{task.name} {measure.key}"] = shown


def _record_accesses(draft: Draft, target: EvaluationTarget) -> tuple[RecordedAccess, ...]:
    """Record the test-set accesses, once per run however often it is resumed.

    This precedes the first sample, because whoever stops a run has seen some. A server's weights
    are unknown, so each of its runs is a candidate of its own.
    """
    path, model = draft.scratch / "accesses.json", target.model
    if path.is_file():
        return tuple(RecordedAccess(**row) for row in json.loads(path.read_text(encoding="utf-8")))
    accesses, run = [], token_hex(8) if target.kind == "endpoint" else ""
    for task in _unique_tasks(target.tasks):
        sealed = getattr(task, "testset", None)
        if sealed is None:
            continue
        if target.warns and sealed.kind == "testset":
            log_findings(sealed)
        setting = setting_digest(model.signature, task.signature, target.limit)
        access = record_access(sealed, "evaluate", model.digest, setting, run=run)
        accesses.append(RecordedAccess(sealed.id, access.candidate, access.entry_hash))
    write_json(path, [each._asdict() for each in accesses])
    return tuple(accesses)


def _open_baseline(
    against: str, target: EvaluationTarget, config: EvaluateConfig
) -> Artifact | EvaluationTarget | None:
    """The report or model to compare with; opened first, so that an invalid one costs no access."""
    if not against:
        return None
    path = Path(against)
    check_kind(path, "report", "model")
    if (path / MANIFEST).is_file() and (found := Artifact.open(path)).kind == "report":
        read_report(found)
        return found
    return _open_model(against, config, target.tasks, target.limit)._replace(warns=False)


def _compare_with_baseline(
    artifact: Artifact, baseline: Artifact | EvaluationTarget | None, config: EvaluateConfig
) -> Any:
    """Compare with a report, or with a model, which is evaluated first into `OUT-against`."""
    if baseline is None:
        return None
    if isinstance(baseline, EvaluationTarget):
        out = artifact.path.with_name(f"{artifact.path.name}-against")
        baseline = _produce_report(baseline, config, out)
    record_baseline(artifact, baseline)
    from .compare.verb import compare

    return compare([baseline.path, artifact.path])
