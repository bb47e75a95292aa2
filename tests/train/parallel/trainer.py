"""A run under torchrun that ends when it is told to: `torchrun … trainer.py FOLDER MESH`.

It trains a tiny model for ever. On Ctrl-C all processes stop after the same step, of which the
first keeps a note; the number of the process lies in `pid-RANK` from the third step on.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from groundup.core import GroundupError, record
from groundup.train import (
    Interrupted,
    LoopOptions,
    MicroBatch,
    Optimizer,
    Precision,
    TrainStep,
    causal_loss,
    split_batch,
    train,
)
from groundup.train.parallel.apply import parallelise
from groundup.train.parallel.data import local_sequences
from groundup.train.parallel.launch import joined_processes
from groundup.train.parallel.mesh import Mesh
from groundup.train.services.saving import _collecting_interrupts
from tests.train.parallel.plans import ADAMW, ragged, shape, tiny


def stopping(steps: Iterator[TrainStep], mesh: Mesh, folder: Path) -> Iterator[TrainStep]:
    """Stop all processes after one step when one of them was told to."""
    with _collecting_interrupts() as interrupts:
        for step in steps:
            yield step
            if step.number == 2:
                (folder / f"pid-{os.environ.get('RANK', 0)}").write_text(str(os.getpid()))
            if mesh.any_process(bool(interrupts)):
                if mesh.is_first:
                    (folder / "kept").write_text(f"step {step.number}")
                raise Interrupted(f"Stopped after step {step.number + 1}, saved.")


def main(folder: Path, text: str) -> None:
    """Train until somebody stops it."""
    record.set_output_mode("plain")
    with joined_processes(text) as mesh:
        precision = Precision()
        made = parallelise(tiny(shape()), causal_loss, precision, mesh)
        optimizer = Optimizer(made.parameters.items(), ADAMW)

        def batches(step: int) -> list[MicroBatch]:
            return split_batch(local_sequences(ragged(step), mesh), 1)

        plan = LoopOptions(1_000_000, 0, precision, mesh)
        steps = train(made.model, batches, causal_loss, optimizer, lambda step: 1.0, plan,
                      gradients=made.gradients, after_update=made.synchronise)  # fmt: skip
        for step in stopping(steps, mesh, folder):
            if step.number == 2:
                record.log(f"loss {step.loss:.4f}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except GroundupError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as stop:
        print(f"process {os.environ.get('RANK', 0)}: {stop}", file=sys.stderr)
        sys.exit(130)
