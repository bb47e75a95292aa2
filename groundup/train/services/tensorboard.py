"""TensorBoard event files of the metrics.

    with tensorboard_events(folder, metrics):
        …

Numbers become scalars, samples become texts, lists of numbers become histograms; `tensorboard
--logdir runs` shows every run below a folder. The metrics file has the same content and remains the
reference.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundup.core import MissingExtra, record

from .samples import SAMPLES_KEY

EVENTS_FOLDER = "tensorboard"
"""Folder of the event files in a run's log."""


@contextmanager
def tensorboard_events(folder: Path, metrics: record.MetricsFile, start: int = 0) -> Iterator[Path]:
    """Write every row of the metrics to event files too, until the block ends.

    start  first step to come: older events of this and later steps are hidden

    Raises MissingExtra if the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tensorboard") from error
    writer = SummaryWriter(str(folder), purge_step=start or None)

    def write_row(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                _add_value(writer, name, value, row["step"])
        writer.flush()

    metrics.listeners.append(write_row)
    try:
        yield folder
    finally:
        metrics.listeners.remove(write_row)
        writer.close()


def _add_value(writer: Any, name: str, value: Any, step: int) -> None:
    """Add one number, text or list under a name."""
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int | float):
        writer.add_scalar(name, value, step)
    elif name == SAMPLES_KEY:
        for number, sample in enumerate(value):
            writer.add_text(f"{name}/{number}", f"**{sample['prompt']}**{sample['text']}", step)
    elif isinstance(value, str):
        writer.add_text(name, value, step)
    elif isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        import numpy as np

        writer.add_histogram(name, np.array(value), step)
