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
from groundup.kernels import LossSum, LossTerms, chosen_ways, replay_ways
from groundup.model import Transformer
from groundup.tokenizer import open_text

from ..batches import Batch, placed, split
from ..checkpoint.contract import Identity
from ..checkpoint.store import Checkpoints, Resumed, contract_of
from ..checkpoint.verbs import trained_model
from ..levers.ways import choosing
from ..loop import Accept, Plan, Step, train
from ..objectives.losses import RouterConfig, routed
from ..objectives.objective import Objective, Setting
from ..optim.average import Average
from ..optim.optimizer import Optimizer
from ..optim.schedule import schedule
from ..optim.sharded import local
from ..parallel.apply import Parallel, parallelise
from ..parallel.context import own_positions
from ..parallel.data import check_rows, own_rows
from ..parallel.expert import added
from ..parallel.mesh import ALONE, Mesh
from ..parallel.pipeline import ScheduleName
from ..parallel.zero import Stage as ZeroStage
from ..parallel.zero import compile_within
from ..precision import Precision, precision_of
from ..services.board import EVENTS, board
from ..services.compiling import CheckedRun, check_compiled, compile_as, compiling
from ..services.inner import Inner
from ..services.metrics import METRICS, logging, measured, summary
from ..services.profiling import profiling
from ..services.rewinding import leaving_out, rewinding, stored
from ..services.samples import sampling
from ..services.saving import saving
from ..services.speed import Utilisation, peak
from ..services.spikes import Guard, alarming
from ..services.stragglers import Own, pacing
from ..services.validation import evenly, held_out, scoring, validating
from ..services.watchdog import Watchdog
from .config import PretrainConfig
from .stretches import Course, course, planned, shares_of

PACE_EVERY = 100
"""Steps between two straggler checks."""
UNCOMPILED = {"tensor", "context", "expert"}
"""Mesh dimensions whose blocks communicate, and so are not compiled."""


class Beside(NamedTuple):
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
    speaker: Callable[[Transformer], LanguageModel] | None = None
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
            (f"--zero {self.zero}", "shard", self.zero != PLAINLY.zero),
            (f"--schedule {self.schedule}", "pipeline", self.schedule != PLAINLY.schedule),
        ):
            if is_set and dimension not in mesh.dimensions:
                record.say(f"{option} has no effect: the mesh has no dimension {dimension}.")
        if self.profile is not None and (steps := planned(config).steps):
            if not 0 <= self.profile < steps:
                raise ConfigError(
                    f"--profile {self.profile} must be a step of this run, 0 to {steps - 1:,}."
                )
        if self.prompts and (sharded := [name for name in mesh.dimensions if name != "data"]):
            raise ConfigError(
                f"--prompt generates on the first process alone, which mesh dimension {sharded[0]} "
                "does not allow; omit --prompt, or use a data-parallel mesh."
            )


PLAINLY = Beside()


class Learner(NamedTuple):
    """A model with its objective."""

    body: Transformer
    trained: nn.Module
    """The body, or the body with the objective's head."""
    objective: Objective
    setting: Setting

    def loss(self, router: RouterConfig, mesh: Mesh = ALONE) -> Callable[..., LossSum]:
        """The objective's loss, plus the router losses of a mixture of experts."""
        experts = self.body.config.feedforward.experts
        if experts is None:
            return self.objective.loss
        return routed(self.objective.loss, router, experts.chosen, add=added(mesh))


class Run:
    """One process's part of a training run."""

    def __init__(
        self,
        draft: Draft,
        config: PretrainConfig,
        learner: Learner,
        identity: Identity,
        *,
        beside: Beside = PLAINLY,
        mesh: Mesh = ALONE,
    ) -> None:
        """Parallelise the model, build its optimizer, and load the newest checkpoint."""
        self.draft, self.config, self.learner, self.beside = draft, config, learner, beside
        self.mesh, self.place, self.tokens = mesh, device.pick(), identity.parents["tokens"]
        self.course: Course = course(config, open_text(self.tokens, "train"))
        for rows in self.course.row_counts():
            check_rows(rows, mesh)
        earlier = contract_of(draft.scratch)
        self.precision: Precision = chosen_precision(config, earlier, self.place)
        set_training(learner.body, config)
        self.parameters = sum(weight.numel() for weight in learner.body.parameters())
        self.compiled = not UNCOMPILED & set(mesh.dimensions)
        self.compiled = self.compiled and compiling(learner.body, Resumed(0, earlier))
        self.chosen_ways(earlier)
        self.compiled, ways = self.checked()
        self.parallel: Parallel = parallelise(
            learner.trained, learner.loss(config.router, mesh), self.precision, mesh,
            zero=beside.zero, schedule=beside.schedule,
        )  # fmt: skip
        compile_within(learner.body)
        weights, names = self.parallel.parameters, self.parallel.names
        self.optimizer = Optimizer(weights.items(), config.optim, names=names)
        self.average = Average(weights.items(), config.average) if config.average else None
        parts: dict[str, Any] = {"model": weights, "optimizer": self.optimizer,
                                 "precision": self.precision}  # fmt: skip
        if self.average is not None:
            parts["average"] = self.average
        chosen = {"dtype": str(self.precision.dtype), "compiled": self.compiled, "attention": ways}
        self.checkpoints = Checkpoints(
            draft.scratch, parts, config.checkpoints, mesh=mesh, identity=identity, chosen=chosen
        )
        self.resumed = self.load(None)

    def chosen_ways(self, earlier: Mapping[str, Any]) -> None:
        """Choose the attention backends, the same on every process."""
        lengths = sorted({part.length for part in self.config.parts()})
        contract = earlier.get("attention")
        if self.mesh.is_first:
            contract = choosing(
                self.learner.body, lengths, self.precision.dtype,
                tokens=self.config.tokens, contract=contract,
            )  # fmt: skip
        if self.mesh.grid is not None:
            contract = json.loads(self.mesh.told(json.dumps(contract)))
            choosing(self.learner.body, [], self.precision.dtype, tokens=1, contract=contract)

    def checked(self) -> tuple[bool, dict[str, list[str | int]]]:
        """Check compiled gradients; return whether blocks are compiled, and the attention backends.

        The first process checks, the others adopt its result.
        """
        body, objective = self.learner.body, self.learner.objective
        if self.mesh.is_first and self.compiled:
            batches = [self.batches(each.start)[0] for each in self.course.stretches]
            run = CheckedRun(objective.loss, batches, self.precision, objective.head)
            check_compiled(body, run)
        result = body.is_compiled, chosen_ways()
        if self.mesh.grid is not None:
            result = json.loads(self.mesh.told(json.dumps(result)))
            compile_as(body, result[0])
            replay_ways(result[1])
        return result

    def load(self, step: int | None) -> Resumed:
        """Load a checkpoint (None: the newest) and synchronise the weights between processes."""
        resumed = self.checkpoints.resume(step)
        if resumed.step:
            check_finite(self.parallel.parameters, f"The checkpoint of step {resumed.step:,}")
        self.parallel.settle()
        return resumed

    def batches(self, step: int) -> list[Batch]:
        """This process's micro-batches of a step."""
        windows = self.course.rows(step)
        batch = self.learner.objective.batch(self.learner.setting, windows, step)
        rows = own_rows(placed(batch, self.place), self.mesh)
        own = own_positions(rows, self.learner.body.config, self.mesh)
        return split(own, self.config.micro_batches)

    def go(self) -> None:
        """Train to the end and write the run's numbers into the draft."""
        start, tokens = self.resumed.step, self.course.tokens
        with ExitStack() as stack:
            metrics = bar = None
            if self.mesh.is_first:
                metrics = stack.enter_context(measured(self.draft, self.resumed))
                done = self.course.plan.before(start)
                bar = stack.enter_context(record.progress("base", tokens, "tokens", done))
                if start:
                    record.say(f"Resuming after step {start:,} of {self.course.steps:,}.")
                if self.beside.tensorboard:
                    stack.enter_context(board(self.draft.log / EVENTS, metrics, start))
            changes = [each.start for each in self.course.stretches[1:]]
            guard = Guard(
                self.config.spikes, self.draft.scratch, start,
                steps=self.course.steps, changes=changes, mesh=self.mesh,
            )  # fmt: skip
            stack.callback(guard.close)
            dog = Watchdog(self.draft.log / "stacks.txt", self.config.watchdog)
            steps = self.watched(stack.enter_context(dog), guard, metrics)
            if metrics is not None:
                steps = logging(alarming(steps, guard, metrics), metrics, bar, share=self.share())
            for _ in saving(self.looked_at(steps, metrics), self.checkpoints):
                pass
            self.checkpoints.save(self.course.steps, wait=True)
            self.checkpoints.wait()
        if self.mesh.is_first:
            self.note()

    def watched(
        self, dog: Watchdog, guard: Guard, metrics: record.Metrics | None
    ) -> Iterator[Step]:
        """Train with rewinding, averaging, watchdog and straggler checks around the loop."""
        own, start = Own(), self.resumed.step
        batches = own.timed(leaving_out(self.batches, guard))
        gradients = self.parallel.gradients
        accept: Accept = guard
        inner = None
        if self.config.look_every:
            inner = Inner(self.parallel.model, self.learner.body, self.config.look_every, metrics,
                          accept=guard)  # fmt: skip
            accept = inner
        rate = self.course.plan.scaled(schedule(self.config.optim, self.course.steps))

        def begin(first: int) -> Iterator[Step]:
            plan = Plan(self.course.steps, first, self.precision, self.mesh)
            loss = self.learner.loss(self.config.router, self.mesh)
            steps = train(
                self.parallel.model, batches, loss, self.optimizer, rate, plan,
                gradients=None if gradients is None else own.timed(gradients),
                accept=accept, settle=self.parallel.settle,
            )  # fmt: skip
            return self.averaged(steps if inner is None else inner.watching(steps, first))

        if self.config.spikes.policy == "rewind" and start == 0:
            self.checkpoints.save(0, wait=True)
        back = stored(self.draft.scratch, self.load, wait=self.checkpoints.wait, mesh=self.mesh)
        steps = dog.watching(rewinding(begin, guard, back, start), start)
        return pacing(steps, own, PACE_EVERY, metrics, mesh=self.mesh)

    def averaged(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Update the weight average after each applied step."""
        for step in steps:
            if self.average is not None and step.is_applied:
                self.average.update()
            yield step

    def looked_at(self, steps: Iterator[Step], metrics: record.Metrics | None) -> Iterator[Step]:
        """Add validation, samples and a profile."""
        due = evenly(self.course.steps, self.config.validations)
        steps = validating(steps, self.validation(), due, metrics)
        speaker, prompts = self.beside.speaker, self.beside.prompts
        if metrics is not None and speaker is not None and prompts:
            steps = sampling(
                steps, speaker(self.learner.body), prompts, due, metrics,
                model=self.parallel.model, within=self.with_the_mean,
            )  # fmt: skip
        if self.beside.profile is not None and self.mesh.is_first:
            if self.beside.profile < self.resumed.step:
                record.say(f"No profile: the run resumes after step {self.beside.profile}.")
            steps = profiling(steps, self.draft.log, self.beside.profile, start=self.resumed.step)
        return steps

    def validation(self) -> Callable[[], dict[str, float]]:
        """A function that scores held-out text by source, each target at most once.

        The total weights the sources by their share in the run. Decoders are also scored in bits
        per byte; other models see the same masks each time. The averaged weights are scored, if
        there are any.
        """
        config, learner = self.config, self.learner
        shards = open_text(self.tokens, "validation").shards
        windows = held_out(shards, config.length, config.validation_tokens, config.seed)
        batches = {name: self.held_out_batches(own) for name, own in windows.items()}
        sizes = None
        if learner.objective.kind == "decoder":
            sizes = torch.from_numpy(learner.setting.known.sizes).to(self.place)
        loss = self.parallel.loss or learner.objective.loss
        weights = shares_of(config, open_text(self.tokens, "train"))
        if weights is not None and not any(weights[name] for name in batches):
            record.say(
                f"Validation loss is measured on {', '.join(batches)}, which the run does not "
                "train on: its own sources have no held-out text."
            )
        score = scoring(
            self.parallel.model, batches, self.precision,
            loss=loss, sizes=sizes, shares=weights, mesh=self.mesh,
        )  # fmt: skip

        def scored() -> dict[str, float]:
            with self.with_the_mean():
                return score()

        return scored

    @contextmanager
    def with_the_mean(self) -> Iterator[None]:
        """Swap in the averaged weights, if there are any; a collective call."""
        if self.average is None or not self.average.updates:
            yield
            return
        with self.average.swapped(self.parallel.model):
            self.parallel.settle()
            yield
        self.parallel.settle()

    def held_out_batches(self, windows: Any) -> list[Batch]:
        """A source's windows in 16 batches or fewer."""
        batch = self.learner.objective.batch(self.learner.setting, windows, 0)
        own = own_positions(placed(batch, self.place), self.learner.body.config, self.mesh)
        return split(own, 16)

    def share(self) -> Callable[[Step], float]:
        """Model FLOPs utilisation of a step."""
        processes = max(1, self.checkpoints.processes.count)
        use = Utilisation(peak(self.place, self.precision.dtype), processes)
        body = self.learner.body.config
        return lambda step: use.share(
            body, self.course.at(step.number).loader.length, step.tokens / step.seconds
        )

    def model(self) -> Transformer:
        """The complete trained model, with the averaged weights if there are any."""
        part = "average" if self.average is not None else "model"
        body = self.learner.body
        if self.mesh.grid is not None or self.average is not None:
            body = trained_model(self.draft.scratch, part)
        check_finite(dict(body.named_parameters()), "The trained model")
        return body

    def note(self) -> None:
        """Write the run's numbers into the draft."""
        numbers = self.draft.numbers
        numbers |= {"parameters": self.parameters}
        numbers |= {"steps": self.course.steps, "tokens": self.course.tokens}
        numbers |= {"compiled": self.compiled, "began": self.draft.began}
        numbers |= {"objective": self.learner.objective.name}
        numbers |= summary(self.draft.log / METRICS)


def set_training(body: Transformer, config: PretrainConfig) -> None:
    """Set what applies to training only: recomputation, dropout, loss terms."""
    body.recompute_blocks(config.recompute)
    body.drop(config.dropout)
    body.loss_terms = LossTerms(config.label_smoothing, config.z_loss)


def check_finite(weights: Mapping[str, torch.Tensor], what: str) -> None:
    """Raise DataError naming the first weight with infinities or NaN."""
    for name, weight in weights.items():
        if not local(weight).isfinite().all():
            raise DataError(
                f"{what} has non-finite values in {name}; resume from an earlier checkpoint, or "
                "start again with a lower learning rate."
            )


def chosen_precision(
    config: PretrainConfig, earlier: Mapping[str, Any], place: torch.device
) -> Precision:
    """The precision of a resumed run's contract; of a new run, the configured one."""
    if "dtype" in earlier and config.precision == "auto":
        return Precision(getattr(torch, earlier["dtype"].removeprefix("torch.")))
    return precision_of(config.precision, place)
