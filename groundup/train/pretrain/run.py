"""One training run: the loop on a mesh with its services, for pre-training, fine-tuning and others.

    run = TrainingRun(draft, config, TrainingTask(model, model, causal_loss, data), identity)
    run.train_to_end()
    model = run.final_model()

`SERVICES` decides what happens around each step, and in which order.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from groundup.core import (
    Artifact,
    ConfigError,
    DataError,
    Draft,
    Kind,
    device,
    produce,
    record,
    unhashed_fields,
)
from groundup.kernels import LossSum, LossTerms, chosen_backends, restore_backends
from groundup.model import ModelConfig, Transformer

from ..batches import MicroBatch, batch_to_device, split_batch
from ..checkpoint.contract import RunIdentity
from ..checkpoint.store import Checkpoints, ResumePoint, check_unfinished_run, latest_contract
from ..checkpoint.verbs import load_trained_model
from ..loop import Gradients, LoopOptions, TrainStep, train
from ..objectives.losses import RouterConfig, add_router_losses
from ..optim.optimizer import Optimizer
from ..optim.schedule import make_lr_schedule
from ..optim.sharded import WeightAverage, local_tensor
from ..parallel.apply import ParallelModel, parallelise
from ..parallel.context import local_positions
from ..parallel.data import call_blocks_through_hooks, local_sequences
from ..parallel.expert import summing_function
from ..parallel.launch import joined_processes, produce_together
from ..parallel.mesh import SINGLE_PROCESS, Mesh
from ..precision import Precision, resolve_precision
from ..services.compiling import (
    CompilationCheck,
    choose_attention,
    enable_compilation,
    keep_compiled_if_correct,
    set_compiled,
)
from ..services.inspection import ModelStatistics, profile_steps
from ..services.metrics import (
    EVENTS_FOLDER,
    METRICS_FILE,
    flops_utilisation,
    log_steps,
    open_metrics,
    peak_flops,
    summarise_metrics,
    tensorboard_events,
)
from ..services.saving import save_checkpoints
from ..services.spikes import (
    SpikeDetector,
    log_spikes,
    rewind_by_checkpoints,
    rewind_on_spikes,
    skip_batches,
)
from ..services.validation import evenly_spaced, generate_samples, validate_steps, validation_scorer
from ..services.watchdog import Watchdog, WorkTimer, report_stragglers
from .config import DEFAULT_OPTIONS, RunOptions, TrainingConfig

STRAGGLER_INTERVAL = 100
"""Steps between two straggler checks."""
UNCOMPILED_DIMENSIONS = {"tensor", "context", "expert"}
"""Mesh dimensions whose blocks communicate, and so are not compiled."""

Steps = Iterator[TrainStep]


class TrainingData(NamedTuple):
    """What each step of a run reads, and the held-out text."""

    batch: Callable[[int], MicroBatch]
    """The batch of a step for all processes; a function of the step alone, so a run can resume."""
    steps: int
    tokens_before: Callable[[int], int]
    """Tokens before a step; before `steps`: of the run."""
    length_at: Callable[[int], int]
    """Tokens of a step's sequences."""
    held_out: Mapping[str, Sequence[MicroBatch]] = {}
    """Batches to score, by source, or of one text as `""`."""
    changes: tuple[int, ...] = (0,)
    """First steps of each length and mixture, step 0 included."""
    shares: Mapping[str, float] | None = None
    """Weight of each source in the total validation loss; None: by tokens."""
    sizes: np.ndarray | None = None
    """Bytes of text of each id, for bits per byte."""
    lr_scale: Callable[[int], float] = lambda step: 1.0
    """Learning rate multiplier for a step's batch size."""
    is_trained_on: bool = True
    """Whether every token costs what training on it does; else `mfu` would count too much."""


class TrainingTask(NamedTuple):
    """What a run trains, by which loss and on what."""

    body: Transformer
    module: nn.Module
    """The body, or the body with a head, which is trained too but not saved with the body."""
    loss: Callable[..., LossSum]
    """(module, batch, optional Routing to fill) -> loss sum."""
    data: TrainingData
    name: str = "base"
    """Name of the progress bar."""
    head: Callable[[ModelConfig], nn.Module] | None = None
    """Builds the head, for the check of compiled gradients."""
    is_compiled: bool = True
    """Whether blocks are compiled where possible; not for batches of many shapes."""
    gradients: Callable[[nn.Module, Precision], Gradients] | None = None
    """Gradients of a loss that does not add over micro-batches; on one process only."""
    is_done: Callable[[TrainStep], bool] = lambda step: False
    """Whether the run ends after a step, before all are done; on one process only."""

    def full_loss(
        self, router: RouterConfig, mesh: Mesh = SINGLE_PROCESS
    ) -> Callable[..., LossSum]:
        """The loss, plus the router losses of a mixture of experts."""
        experts = self.body.config.feedforward.experts
        if experts is None:
            return self.loss
        return add_router_losses(self.loss, router, experts.chosen, add=summing_function(mesh))


class TrainingRun:
    """One process's part of a training run."""

    def __init__(
        self, draft: Draft, config: TrainingConfig, task: TrainingTask, identity: RunIdentity, *,
        run_options: RunOptions = DEFAULT_OPTIONS, mesh: Mesh = SINGLE_PROCESS,
    ) -> None:  # fmt: skip
        """Parallelise the model, build its optimizer, and load the newest checkpoint."""
        self.draft, self.config, self.task, self.run_options = draft, config, task, run_options
        self.mesh, self.data, self.torch_device = mesh, task.data, device.default_device()
        earlier = latest_contract(draft.scratch)
        self.precision: Precision = _resolve_run_precision(config, earlier, self.torch_device)
        task.body.recompute_blocks(config.recompute)
        task.body.set_dropout(config.dropout)
        task.body.loss_terms = LossTerms(config.label_smoothing, config.z_loss)
        self.parameters = sum(weight.numel() for weight in task.body.parameters())
        self.compiled = task.is_compiled and not UNCOMPILED_DIMENSIONS & set(mesh.dimensions)
        self.compiled = self.compiled and enable_compilation(task.body, ResumePoint(0, earlier))
        self.choose_attention_backends(earlier)
        self.compiled, ways = self.check_compilation()
        self.loss = task.full_loss(config.router, mesh)
        self.parallel: ParallelModel = parallelise(
            task.module, self.loss, self.precision, mesh,
            zero=run_options.zero, schedule=run_options.schedule,
        )  # fmt: skip
        call_blocks_through_hooks(task.body)
        weights = self.parallel.parameters
        self.optimizer = Optimizer(weights.items(), config.optim, names=self.parallel.names)
        decay = config.ema_decay
        self.average = WeightAverage(weights.items(), decay) if decay else None
        parts: dict[str, Any] = {"model": weights, "optimizer": self.optimizer,
                                 "precision": self.precision}  # fmt: skip
        if self.average is not None:
            parts["average"] = self.average
        chosen = {"dtype": str(self.precision.dtype), "compiled": self.compiled, "attention": ways}
        self.checkpoints = Checkpoints(
            draft.scratch, parts, config.checkpoints, mesh=mesh, identity=identity, chosen=chosen
        )
        self.resumed = self.load(None)
        self.due = evenly_spaced(task.data.steps, config.validations)
        self.metrics: record.MetricsFile | None = None
        self.bar: record.ProgressReporter | None = None

    def choose_attention_backends(self, earlier: Mapping[str, Any]) -> None:
        """Choose the attention backends, the same on every process."""
        lengths = sorted({self.data.length_at(step) for step in self.data.changes})
        contract = earlier.get("attention")
        if self.mesh.is_first:
            contract = choose_attention(
                self.task.body, lengths, self.precision.dtype,
                tokens=self.data.tokens_before(self.data.steps), contract=contract,
            )  # fmt: skip
        if self.mesh.device_mesh is not None:
            contract = json.loads(self.mesh.broadcast_text(json.dumps(contract)))
            choose_attention(self.task.body, [], self.precision.dtype, tokens=1, contract=contract)

    def check_compilation(self) -> tuple[bool, dict[str, list[str | int]]]:
        """Check compiled gradients; return whether blocks are compiled, and the attention backends.

        The first process checks, the others adopt its result.
        """
        body = self.task.body
        if self.mesh.is_first and self.compiled:
            batches = [self.batches(step)[0] for step in self.data.changes]
            check = CompilationCheck(self.task.loss, batches, self.precision, self.task.head)
            keep_compiled_if_correct(body, check)
        result = body.is_compiled, chosen_backends()
        if self.mesh.device_mesh is not None:
            result = json.loads(self.mesh.broadcast_text(json.dumps(result)))
            set_compiled(body, result[0])
            restore_backends(result[1])
        return result

    def load(self, step: int | None) -> ResumePoint:
        """Load a checkpoint (None: the newest) and synchronise the weights between processes."""
        resumed = self.checkpoints.resume(step)
        if resumed.step:
            _require_finite_weights(
                self.parallel.parameters, f"The checkpoint of step {resumed.step:,}"
            )
        self.parallel.synchronise()
        return resumed

    def batches(self, step: int) -> list[MicroBatch]:
        """This process's micro-batches of a step."""
        batch = batch_to_device(self.data.batch(step), self.torch_device)
        own = local_positions(local_sequences(batch, self.mesh), self.task.body.config, self.mesh)
        return split_batch(own, self.config.micro_batches)

    def train_to_end(self) -> None:
        """Train to the end and write the run's numbers into the draft."""
        done = self.data.steps
        with ExitStack() as stack:
            self.open_monitors(stack)
            for step in self.steps_from(self.resumed.step, SERVICES):
                if self.task.is_done(step):
                    done = step.number + 1
                    break
            self.checkpoints.save(self.data.steps, wait=True)
            self.checkpoints.wait()
        if self.mesh.is_first:
            numbers = {"parameters": self.parameters, "steps": done}
            numbers |= {"tokens": self.data.tokens_before(done)}
            numbers |= {"compiled": self.compiled, "began": self.draft.started_at}
            self.draft.numbers |= numbers | summarise_metrics(self.draft.log / METRICS_FILE)

    def open_monitors(self, stack: ExitStack) -> None:
        """Open what the services write to; metrics and the bar on the first process only."""
        data, start, log = self.data, self.resumed.step, self.draft.log
        if self.mesh.is_first:
            self.metrics = stack.enter_context(open_metrics(self.draft, self.resumed))
            tokens = data.tokens_before(data.steps), data.tokens_before(start)
            bar = record.progress(self.task.name, tokens[0], "tokens", tokens[1])
            self.bar = stack.enter_context(bar)
            if start:
                record.log(f"Resuming after step {start:,} of {data.steps:,}.")
            if self.run_options.tensorboard:
                events = tensorboard_events(log / EVENTS_FOLDER, self.metrics, start)
                stack.enter_context(events)
        self.guard = SpikeDetector(
            self.config.spikes, self.draft.scratch, start,
            steps=data.steps, changes=data.changes[1:], mesh=self.mesh,
        )  # fmt: skip
        stack.callback(self.guard.close)
        self.watchdog = stack.enter_context(Watchdog(log / "stacks.txt", self.config.watchdog))
        self.work, self.accept, self.statistics = WorkTimer(), self.guard, None
        if every := self.config.statistics_every:
            self.statistics = self.accept = ModelStatistics(
                self.parallel.model, self.task.body, every, self.metrics, accept=self.guard
            )

    def steps_from(self, start: int, services: "Sequence[Service]") -> Steps:
        """The loop from a step on, wrapped by services."""
        self.start, gradients, own = start, self.parallel.gradients, self.task.gradients
        gradients = gradients if own is None else own(self.parallel.model, self.precision)
        rate = make_lr_schedule(self.config.optim, self.data.steps)
        steps = train(
            self.parallel.model,
            self.work.timed(skip_batches(self.batches, self.guard)),
            self.loss,
            self.optimizer,
            lambda step: rate(step) * self.data.lr_scale(step),
            LoopOptions(self.data.steps, start, self.precision, self.mesh),
            gradients=None if gradients is None else self.work.timed(gradients),
            accept=self.accept,
            after_update=self.parallel.synchronise,
        )
        for wrap in services:
            steps = wrap(steps, self)
        return steps

    def validation_function(self) -> Callable[[], dict[str, float]]:
        """A function that scores held-out text by source, with the averaged weights if any."""
        data, body = self.data, self.task.body
        batches = {
            name: [
                local_positions(batch_to_device(each, self.torch_device), body.config, self.mesh)
                for each in own
            ]
            for name, own in data.held_out.items()
        }
        sizes = None if data.sizes is None else torch.from_numpy(data.sizes).to(self.torch_device)
        score = validation_scorer(
            self.parallel.model, batches, self.precision, loss=self.parallel.loss or self.task.loss,
            sizes=sizes, shares=data.shares, mesh=self.mesh,
        )  # fmt: skip

        def scored() -> dict[str, float]:
            with self.averaged_weights():
                return score()

        return scored

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Swap in the averaged weights, if there are any; a collective call."""
        if self.average is None or not self.average.updates:
            yield
            return
        with self.average.swapped_in(self.parallel.model):
            self.parallel.synchronise()
            yield
        self.parallel.synchronise()

    def utilisation(self) -> Callable[[TrainStep], float]:
        """Model FLOPs utilisation of a step."""
        peak = peak_flops(self.torch_device, self.precision.dtype)
        peak *= max(1, self.checkpoints.processes.world_size)
        config, length_at = self.task.body.config, self.data.length_at
        return lambda step: flops_utilisation(
            config, length_at(step.number), step.tokens / step.seconds, peak
        )

    def final_model(self) -> Transformer:
        """The complete trained body, with the averaged weights if there are any."""
        body = self.task.body
        if self.mesh.device_mesh is not None or self.average is not None:
            part = "average" if self.average is not None else "model"
            body = load_trained_model(self.draft.scratch, part)
        _require_finite_weights(dict(body.named_parameters()), "The trained model")
        return body


Service = Callable[[Steps, TrainingRun], Steps]
"""Wraps a run's steps: does its work before or after each, and passes them on."""


def _collect_statistics(steps: Steps, run: TrainingRun) -> Steps:
    return steps if run.statistics is None else run.statistics.collect_statistics(steps, run.start)


def _average_weights(steps: Steps, run: TrainingRun) -> Steps:
    for step in steps:
        if run.average is not None and step.is_applied:
            run.average.update()
        yield step


def _rewind(steps: Steps, run: TrainingRun) -> Steps:
    inner = SERVICES[: SERVICES.index(_rewind)]
    if run.config.spikes.policy == "rewind" and run.start == 0:
        run.checkpoints.save(0, wait=True)  # something to return to
    back = rewind_by_checkpoints(
        run.draft.scratch, run.load, wait=run.checkpoints.wait, mesh=run.mesh
    )
    return rewind_on_spikes(steps, lambda start: run.steps_from(start, inner), run.guard, back)


def _watch(steps: Steps, run: TrainingRun) -> Steps:
    return run.watchdog.watch_steps(steps, run.resumed.step)


def _find_stragglers(steps: Steps, run: TrainingRun) -> Steps:
    return report_stragglers(steps, run.work, STRAGGLER_INTERVAL, run.metrics, mesh=run.mesh)


def _profile(steps: Steps, run: TrainingRun) -> Steps:
    first, start = run.run_options.profile, run.resumed.step
    if first is None or not run.mesh.is_first:
        return steps
    if first < start:
        record.log(f"No profile: the run resumes after step {first}.")
    return profile_steps(steps, run.draft.log, first, start=start)


def _raise_alarms(steps: Steps, run: TrainingRun) -> Steps:
    return steps if run.metrics is None else log_spikes(steps, run.guard, run.metrics)


def _log(steps: Steps, run: TrainingRun) -> Steps:
    if run.metrics is None:
        return steps
    utilisation = run.utilisation() if run.data.is_trained_on else None
    return log_steps(steps, run.metrics, run.bar, utilisation=utilisation)


def _validate(steps: Steps, run: TrainingRun) -> Steps:
    if not run.data.held_out:
        return steps
    return validate_steps(steps, run.validation_function(), run.due, run.metrics)


def _generate_samples(steps: Steps, run: TrainingRun) -> Steps:
    make, prompts = run.run_options.make_generator, run.run_options.prompts
    if run.metrics is None or make is None or not prompts:
        return steps
    return generate_samples(
        steps, make(run.task.body), prompts, run.due, run.metrics,
        model=run.parallel.model, within=run.averaged_weights,
    )  # fmt: skip


def _save(steps: Steps, run: TrainingRun) -> Steps:
    return save_checkpoints(steps, run.checkpoints)


SERVICES: tuple[Service, ...] = (
    _collect_statistics,  # next to the loop: it hooks the model before a step's forward pass
    _average_weights,  # before whatever sees the average: validation, samples, checkpoints
    _rewind,  # around those two, which start again with the loop
    _watch,  # around rewinding: loading a checkpoint counts as time of the step
    _find_stragglers,  # every process takes part, so before what the first does alone
    _profile,  # after the watchdog, for which writing a trace is no part of a step
    _raise_alarms,  # a spike's row stands before its step's
    _log,  # a step's row stands before the row of its validation
    _validate,  # every process takes part; scores the average of this step
    _generate_samples,  # the first process alone, while the others wait at the next step
    _save,  # last: all that belongs to step n is written before checkpoint n exists
)
"""What happens around a step, from the inside out."""


def produce_model(
    config: TrainingConfig, out: Path, write: Callable[[Draft, Mesh], None], *,
    stage: str, version: int, identity: RunIdentity, run_options: RunOptions,
    kind: Kind = "model",
) -> Artifact:  # fmt: skip
    """Make the model (or its adapter) of a training stage on all processes of its mesh.

    write     trains and saves; every process calls it, and only rank 0 may write into the draft
    identity  with the input artifacts; a run stopped in `out` must have the same

    Raises ArtifactError if `out` has an unfinished run with other settings.
    """
    check_unfinished_run(out, identity, unhashed_fields(type(config)))
    with joined_processes(run_options.mesh, seed=config.seed) as mesh:
        run_options.check_mesh(mesh)
        make = partial(
            produce, out, kind=kind, stage=stage, version=version, config=config,
            parents=identity.parents,
        )  # fmt: skip
        return produce_together(
            mesh, out, lambda own: make(write=own), lambda draft: write(draft, mesh)
        )


def produce_alone(
    config: TrainingConfig, out: Path, write: Callable[[Draft], None], *, stage: str,
    identity: RunIdentity, kind: Kind = "model",
) -> Artifact:  # fmt: skip
    """Make the model (or its adapter) of a stage of one process, by a loss that is none of tokens.

    Raises ConfigError under torchrun and for terms of such losses, and as `produce_model`.
    """
    if config.label_smoothing or config.z_loss:
        raise ConfigError("label_smoothing and z_loss are of losses of tokens; omit them.")

    def write_alone(draft: Draft, mesh: Mesh) -> None:
        if mesh.device_mesh is not None:
            raise ConfigError(f"{stage} trains in one process; start it without torchrun.")
        write(draft)

    return produce_model(
        config, out, write_alone, stage=stage, version=1, identity=identity,
        run_options=DEFAULT_OPTIONS, kind=kind,
    )  # fmt: skip


def _require_finite_weights(weights: Mapping[str, torch.Tensor], what: str) -> None:
    for name, weight in weights.items():
        if not local_tensor(weight).isfinite().all():
            raise DataError(
                f"{what} has non-finite values in {name}; resume from an earlier checkpoint, or "
                "start again with a lower learning rate."
            )


def _resolve_run_precision(
    config: TrainingConfig, earlier: Mapping[str, Any], place: torch.device
) -> Precision:
    """The precision of a resumed run's contract; of a new run, the configured one."""
    if "dtype" in earlier and config.precision == "auto":
        return Precision(getattr(torch, earlier["dtype"].removeprefix("torch.")))
    return resolve_precision(config.precision, place)
