"""A pre-training run: the training loop over a schedule of phases, on a mesh, with its services.

This file decides the nesting of services, from the inside out: train (and rewind after spikes),
log, validate, sample, profile, save.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from groundup.core import ConfigError, DataError, Draft, LanguageModel, device, record
from groundup.kernels import LossSum, LossTerms, chosen_backends, restore_backends
from groundup.model import Transformer
from groundup.tokenizer import open_shards

from ..batches import MicroBatch, batch_to_device, split_batch
from ..checkpoint.contract import RunIdentity
from ..checkpoint.store import Checkpoints, ResumePoint, latest_contract
from ..checkpoint.verbs import load_trained_model
from ..levers.ways import choosing
from ..loop import Accept, LoopOptions, TrainStep, train
from ..objectives.losses import RouterConfig, add_router_losses
from ..objectives.objective import Objective, ObjectiveContext
from ..optim.average import WeightAverage
from ..optim.optimizer import Optimizer
from ..optim.schedule import make_lr_schedule
from ..optim.sharded import local_tensor
from ..parallel.apply import ParallelModel, parallelise
from ..parallel.context import local_positions
from ..parallel.data import check_batch_divides, local_sequences
from ..parallel.expert import summing_function
from ..parallel.mesh import SINGLE_PROCESS, Mesh
from ..parallel.pipeline import ScheduleName
from ..parallel.zero import ZeroStage, call_blocks_through_hooks
from ..precision import Precision, resolve_precision
from ..services.compiling import (
    CompilationCheck,
    enable_compilation,
    keep_compiled_if_correct,
    set_compiled,
)
from ..services.metrics import METRICS_FILE, log_steps, open_metrics, summarise_metrics
from ..services.model_statistics import ModelStatistics
from ..services.profiling import profile_steps
from ..services.rewinding import rewind_by_checkpoints, rewind_on_spikes, skip_batches
from ..services.samples import generate_samples
from ..services.saving import save_checkpoints
from ..services.spikes import SpikeDetector, log_spikes
from ..services.stragglers import WorkTimer, report_stragglers
from ..services.tensorboard import EVENTS_FOLDER, tensorboard_events
from ..services.utilisation import Utilisation, peak_flops
from ..services.validation import evenly_spaced, held_out_windows, validate_steps, validation_scorer
from ..services.watchdog import Watchdog
from .config import PretrainConfig
from .phases import TrainingSchedule, make_batch_ramp, make_training_schedule, source_shares

STRAGGLER_INTERVAL = 100
"""Steps between two straggler checks."""
UNCOMPILED_DIMENSIONS = {"tensor", "context", "expert"}
"""Mesh dimensions whose blocks communicate, and so are not compiled."""


class RunOptions(NamedTuple):
    """How a run is executed and monitored; none of it changes the trained artifact."""

    mesh: str = ""
    """Processes per dimension, such as "data=2,tensor=2", started by torchrun; empty: all data."""
    zero: ZeroStage = 3
    """ZeRO stage along `shard`: 1 shards optimizer states, 2 gradients too, 3 weights too."""
    schedule: ScheduleName = "1f1b"
    """Pipeline schedule."""
    profile: int | None = None
    """First of three steps to profile; None: none."""
    tensorboard: bool = False
    """Whether metrics are also written as TensorBoard event files."""
    make_generator: Callable[[Transformer], LanguageModel] | None = None
    """Builds the generator that continues `prompts` from the model being trained."""
    prompts: tuple[str, ...] = ()
    """Prompts to continue at each validation; only on one process or a data-parallel mesh."""
    ignore_memory: bool = False
    """Start even if a step is estimated not to fit in memory."""

    def check(self, mesh: Mesh, config: PretrainConfig) -> None:
        """Reject prompts for a sharded model and a profile of a step outside the run.

        Logs options that have no effect on this mesh.
        """
        for option, dimension, is_set in (
            (f"--zero {self.zero}", "shard", self.zero != DEFAULT_OPTIONS.zero),
            (f"--schedule {self.schedule}", "pipeline", self.schedule != DEFAULT_OPTIONS.schedule),
        ):
            if is_set and dimension not in mesh.dimensions:
                record.log(f"{option} has no effect: the mesh has no dimension {dimension}.")
        if self.profile is not None and (steps := make_batch_ramp(config).steps):
            if not 0 <= self.profile < steps:
                raise ConfigError(
                    f"--profile {self.profile} must be a step of this run, 0 to {steps - 1:,}."
                )
        if self.prompts and (sharded := [name for name in mesh.dimensions if name != "data"]):
            raise ConfigError(
                f"--prompt generates on the first process alone, which mesh dimension {sharded[0]} "
                "does not allow; omit --prompt, or use a data-parallel mesh."
            )


DEFAULT_OPTIONS = RunOptions()


class TrainingTask(NamedTuple):
    """A model with its objective."""

    body: Transformer
    module: nn.Module
    """The body, or the body with the objective's head."""
    objective: Objective
    objective_context: ObjectiveContext

    def loss(self, router: RouterConfig, mesh: Mesh = SINGLE_PROCESS) -> Callable[..., LossSum]:
        """The objective's loss, plus the router losses of a mixture of experts."""
        experts = self.body.config.feedforward.experts
        if experts is None:
            return self.objective.loss
        return add_router_losses(
            self.objective.loss, router, experts.chosen, add=summing_function(mesh)
        )


class PretrainRun:
    """One process's part of a training run."""

    def __init__(
        self, draft: Draft, config: PretrainConfig, task: TrainingTask, identity: RunIdentity, *,
        run_options: RunOptions = DEFAULT_OPTIONS, mesh: Mesh = SINGLE_PROCESS,
    ) -> None:  # fmt: skip
        """Parallelise the model, build its optimizer, and load the newest checkpoint."""
        self.draft, self.config, self.task, self.run_options = draft, config, task, run_options
        self.mesh, self.torch_device = mesh, device.default_device()
        self.tokens = identity.parents["tokens"]
        schedule = make_training_schedule(config, open_shards(self.tokens, "train"))
        self.training_schedule: TrainingSchedule = schedule
        for rows in schedule.sequence_counts():
            check_batch_divides(rows, mesh)
        earlier = latest_contract(draft.scratch)
        self.precision: Precision = _resolve_run_precision(config, earlier, self.torch_device)
        _configure_training(task.body, config)
        self.parameters = sum(weight.numel() for weight in task.body.parameters())
        self.compiled = not UNCOMPILED_DIMENSIONS & set(mesh.dimensions)
        self.compiled = self.compiled and enable_compilation(task.body, ResumePoint(0, earlier))
        self.choose_attention_backends(earlier)
        self.compiled, ways = self.check_compilation()
        self.parallel: ParallelModel = parallelise(
            task.module, task.loss(config.router, mesh), self.precision, mesh,
            zero=run_options.zero, schedule=run_options.schedule,
        )  # fmt: skip
        call_blocks_through_hooks(task.body)
        weights, names = self.parallel.parameters, self.parallel.names
        self.optimizer = Optimizer(weights.items(), config.optim, names=names)
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

    def choose_attention_backends(self, earlier: Mapping[str, Any]) -> None:
        """Choose the attention backends, the same on every process."""
        lengths = sorted({part.length for part in self.config.resolved_stages()})
        contract = earlier.get("attention")
        if self.mesh.is_first:
            contract = choosing(
                self.task.body, lengths, self.precision.dtype,
                tokens=self.config.tokens, contract=contract,
            )  # fmt: skip
        if self.mesh.device_mesh is not None:
            contract = json.loads(self.mesh.broadcast_text(json.dumps(contract)))
            choosing(self.task.body, [], self.precision.dtype, tokens=1, contract=contract)

    def check_compilation(self) -> tuple[bool, dict[str, list[str | int]]]:
        """Check compiled gradients; return whether blocks are compiled, and the attention backends.

        The first process checks, the others adopt its result.
        """
        body, objective = self.task.body, self.task.objective
        if self.mesh.is_first and self.compiled:
            batches = [self.batches(each.start)[0] for each in self.training_schedule.phases]
            run = CompilationCheck(objective.loss, batches, self.precision, objective.head)
            keep_compiled_if_correct(body, run)
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
        windows = self.training_schedule.sequences(step)
        batch = self.task.objective.batch(self.task.objective_context, windows, step)
        rows = local_sequences(batch_to_device(batch, self.torch_device), self.mesh)
        own = local_positions(rows, self.task.body.config, self.mesh)
        return split_batch(own, self.config.micro_batches)

    def train_to_end(self) -> None:
        """Train to the end and write the run's numbers into the draft."""
        start, tokens = self.resumed.step, self.training_schedule.tokens
        with ExitStack() as stack:
            metrics = bar = None
            if self.mesh.is_first:
                metrics = stack.enter_context(open_metrics(self.draft, self.resumed))
                done = self.training_schedule.batch_ramp.tokens_before(start)
                bar = stack.enter_context(record.progress("base", tokens, "tokens", done))
                if start:
                    record.log(
                        f"Resuming after step {start:,} of {self.training_schedule.steps:,}."
                    )
                if self.run_options.tensorboard:
                    stack.enter_context(
                        tensorboard_events(self.draft.log / EVENTS_FOLDER, metrics, start)
                    )
            changes = [each.start for each in self.training_schedule.phases[1:]]
            guard = SpikeDetector(
                self.config.spikes, self.draft.scratch, start,
                steps=self.training_schedule.steps, changes=changes, mesh=self.mesh,
            )  # fmt: skip
            stack.callback(guard.close)
            dog = Watchdog(self.draft.log / "stacks.txt", self.config.watchdog)
            steps = self.training_steps(stack.enter_context(dog), guard, metrics)
            if metrics is not None:
                steps = log_steps(
                    log_spikes(steps, guard, metrics), metrics, bar, utilisation=self.utilisation()
                )
            for _ in save_checkpoints(self.with_validation(steps, metrics), self.checkpoints):
                pass
            self.checkpoints.save(self.training_schedule.steps, wait=True)
            self.checkpoints.wait()
        if self.mesh.is_first:
            self.write_numbers()

    def training_steps(
        self, dog: Watchdog, guard: SpikeDetector, metrics: record.MetricsFile | None
    ) -> Iterator[TrainStep]:
        """Train with rewinding, averaging, watchdog and straggler checks around the loop."""
        own, start = WorkTimer(), self.resumed.step
        batches = own.timed(skip_batches(self.batches, guard))
        gradients = self.parallel.gradients
        accept: Accept = guard
        inner = None
        if self.config.statistics_every:
            inner = ModelStatistics(
                self.parallel.model,
                self.task.body,
                self.config.statistics_every,
                metrics,
                accept=guard,
            )
            accept = inner
        rate = self.training_schedule.batch_ramp.scale_schedule(
            make_lr_schedule(self.config.optim, self.training_schedule.steps)
        )

        def begin(first: int) -> Iterator[TrainStep]:
            plan = LoopOptions(self.training_schedule.steps, first, self.precision, self.mesh)
            loss = self.task.loss(self.config.router, self.mesh)
            steps = train(
                self.parallel.model, batches, loss, self.optimizer, rate, plan,
                gradients=None if gradients is None else own.timed(gradients),
                accept=accept, after_update=self.parallel.synchronise,
            )  # fmt: skip
            return self.update_average(
                steps if inner is None else inner.collect_statistics(steps, first)
            )

        if self.config.spikes.policy == "rewind" and start == 0:
            self.checkpoints.save(0, wait=True)
        back = rewind_by_checkpoints(
            self.draft.scratch, self.load, wait=self.checkpoints.wait, mesh=self.mesh
        )
        steps = dog.watch_steps(rewind_on_spikes(begin, guard, back, start), start)
        return report_stragglers(steps, own, STRAGGLER_INTERVAL, metrics, mesh=self.mesh)

    def update_average(self, steps: Iterator[TrainStep]) -> Iterator[TrainStep]:
        """Update the weight average after each applied step."""
        for step in steps:
            if self.average is not None and step.is_applied:
                self.average.update()
            yield step

    def with_validation(
        self, steps: Iterator[TrainStep], metrics: record.MetricsFile | None
    ) -> Iterator[TrainStep]:
        """Add validation, samples and a profile."""
        due = evenly_spaced(self.training_schedule.steps, self.config.validations)
        steps = validate_steps(steps, self.validation_function(), due, metrics)
        speaker, prompts = self.run_options.make_generator, self.run_options.prompts
        if metrics is not None and speaker is not None and prompts:
            steps = generate_samples(
                steps, speaker(self.task.body), prompts, due, metrics,
                model=self.parallel.model, within=self.averaged_weights,
            )  # fmt: skip
        if self.run_options.profile is not None and self.mesh.is_first:
            if self.run_options.profile < self.resumed.step:
                record.log(f"No profile: the run resumes after step {self.run_options.profile}.")
            steps = profile_steps(
                steps, self.draft.log, self.run_options.profile, start=self.resumed.step
            )
        return steps

    def validation_function(self) -> Callable[[], dict[str, float]]:
        """A function that scores held-out text by source, each target at most once.

        The total weights the sources by their share in the run. Decoders are also scored in bits
        per byte; other models see the same masks each time. The averaged weights are scored, if
        there are any.
        """
        config, task = self.config, self.task
        shards = open_shards(self.tokens, "validation").shards
        windows = held_out_windows(shards, config.length, config.validation_tokens, config.seed)
        batches = {name: self.held_out_batches(own) for name, own in windows.items()}
        sizes = None
        if task.objective.kind == "decoder":
            sizes = torch.from_numpy(task.objective_context.token_properties.byte_lengths).to(
                self.torch_device
            )
        loss = self.parallel.loss or task.objective.loss
        weights = source_shares(config, open_shards(self.tokens, "train"))
        if weights is not None and not any(weights[name] for name in batches):
            record.log(
                f"Validation loss is measured on {', '.join(batches)}, which the run does not "
                "train on: its own sources have no held-out text."
            )
        score = validation_scorer(
            self.parallel.model, batches, self.precision,
            loss=loss, sizes=sizes, shares=weights, mesh=self.mesh,
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

    def held_out_batches(self, windows: Any) -> list[MicroBatch]:
        """A source's windows in 16 batches or fewer."""
        batch = self.task.objective.batch(self.task.objective_context, windows, 0)
        own = local_positions(
            batch_to_device(batch, self.torch_device), self.task.body.config, self.mesh
        )
        return split_batch(own, 16)

    def utilisation(self) -> Callable[[TrainStep], float]:
        """Model FLOPs utilisation of a step."""
        processes = max(1, self.checkpoints.processes.world_size)
        use = Utilisation(peak_flops(self.torch_device, self.precision.dtype), processes)
        body = self.task.body.config
        return lambda step: use.flops_utilisation(
            body,
            self.training_schedule.phase_at(step.number).loader.length,
            step.tokens / step.seconds,
        )

    def final_model(self) -> Transformer:
        """The complete trained model, with the averaged weights if there are any."""
        part = "average" if self.average is not None else "model"
        body = self.task.body
        if self.mesh.device_mesh is not None or self.average is not None:
            body = load_trained_model(self.draft.scratch, part)
        _require_finite_weights(dict(body.named_parameters()), "The trained model")
        return body

    def write_numbers(self) -> None:
        """Write the run's numbers into the draft."""
        numbers = self.draft.numbers
        numbers |= {"parameters": self.parameters}
        numbers |= {"steps": self.training_schedule.steps, "tokens": self.training_schedule.tokens}
        numbers |= {"compiled": self.compiled, "began": self.draft.started_at}
        numbers |= {"objective": self.task.objective.name}
        numbers |= summarise_metrics(self.draft.log / METRICS_FILE)


def _configure_training(body: Transformer, config: PretrainConfig) -> None:
    """Set what applies to training only: recomputation, dropout, loss terms."""
    body.recompute_blocks(config.recompute)
    body.set_dropout(config.dropout)
    body.loss_terms = LossTerms(config.label_smoothing, config.z_loss)


def _require_finite_weights(weights: Mapping[str, torch.Tensor], what: str) -> None:
    """Raise DataError naming the first weight with infinities or NaN."""
    for name, weight in weights.items():
        if not local_tensor(weight).isfinite().all():
            raise DataError(
                f"{what} has non-finite values in {name}; resume from an earlier checkpoint, or "
                "start again with a lower learning rate."
            )


def _resolve_run_precision(
    config: PretrainConfig, earlier: Mapping[str, Any], place: torch.device
) -> Precision:
    """The precision of a resumed run's contract; of a new run, the configured one."""
    if "dtype" in earlier and config.precision == "auto":
        return Precision(getattr(torch, earlier["dtype"].removeprefix("torch.")))
    return resolve_precision(config.precision, place)
