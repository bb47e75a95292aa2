"""A run's identity, its determinism contract, and how two runs differ.

To resume a checkpoint, the model, tokenizer, objective and text must be the same. Everything else
(learning rates, batch size, machine) may change, and the difference is logged.
"""

import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup import __version__
from groundup.core import Artifact, ArtifactError, device, setting_differences
from groundup.kernels import has_native_softmax, has_native_states

from ..optim.rules import uses_fused_adamw
from ..parallel.mesh import Mesh

KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "CUBLAS_WORKSPACE_CONFIG",
)
"""Environment variables that select library kernels, and so affect results bit by bit."""
MAX_DIFFERENCES = 3


class RunIdentity(NamedTuple):
    """What identifies a run; empty fields are not compared."""

    model: Mapping[str, Any] = {}
    """Model configuration."""
    tokenizer: str = ""
    """Tokenizer id."""
    objective: str = ""
    shards: Mapping[str, str] = {}
    """Hash of each shard of training text, by name (`shard_hashes`)."""
    settings: Mapping[str, Any] = {}
    """Other settings (schedule, optimizer, loader); may change, and changes are logged."""
    parents: Mapping[str, Artifact] = {}
    """Input artifacts, so that a model exported from a checkpoint has the same lineage."""

    def to_json(self, folder: Path) -> dict[str, Any]:
        """As JSON; paths of parents are relative to the checkpoint folder."""
        parents = [
            {"name": name, "path": os.path.relpath(parent.path.resolve(), folder.resolve()),
             "id": parent.id}
            for name, parent in self.parents.items()
        ]  # fmt: skip
        required = {name: getattr(self, name) for name in REQUIRED_EQUAL}
        return required | {"settings": self.settings, "parents": parents}


REQUIRED_EQUAL = ("model", "tokenizer", "objective", "shards")


def shard_hashes(tokens: Artifact, split: str = "train") -> dict[str, str]:
    """sha256 of a split's ids, or of each source of a mixture, from the manifests."""
    own = tokens.files.get(f"{split}.bin")
    if own is not None:
        return {split: own["sha256"]}
    hashes = {}
    for parent in tokens.parents:
        source = None if parent.name == "tokenizer" else tokens.open_parent(parent)
        if source is not None and f"{split}.bin" in source.files:  # a missing one raises when read
            hashes[parent.name] = source.files[f"{split}.bin"]["sha256"]
    return hashes


def determinism_contract(mesh: Mesh, processes: int) -> dict[str, Any]:
    """What must be equal for bit-equal results: machine, versions, threads, kernels, mesh."""
    contract = {**device.fingerprint(), "threads": torch.get_num_threads()}
    contract |= {"groundup": __version__, "numpy": metadata.version("numpy")}
    contract["kernels"] = torch.backends.cpu.get_cpu_capability()
    contract["softmax"] = "native" if has_native_softmax("cpu", torch.float32) else "torch"
    contract["states"] = "native" if has_native_states() else "torch"
    contract["adamw"] = "fused" if uses_fused_adamw() else "plain"
    contract["matmul"] = torch.get_float32_matmul_precision()
    contract["deterministic"] = torch.are_deterministic_algorithms_enabled()
    contract["environment"] = {n: os.environ[n] for n in KERNEL_VARIABLES if n in os.environ}
    if torch.cuda.is_available():
        contract |= {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    sizes = {name: mesh.size(name) for name in mesh.dimensions}
    return contract | {"mesh": sizes, "processes": processes}


def describe_differences(old: Any, new: Any) -> Iterator[str]:
    """How a JSON value differs from another, by dotted names.

    >>> list(describe_differences({"depth": 4, "a": {"b": 1}}, {"depth": 5, "a": {"b": 1, "c": 2}}))
    ['a.c nothing -> 2', 'depth 4 -> 5']
    """
    for name, before, now in setting_differences(old, new):
        yield f"{name} {_shorten(before)} -> {_shorten(now)}".strip()


def _shorten(value: Any) -> str:
    """A value for a message; hashes are truncated."""
    text = "nothing" if value is None else str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text[:60]


def format_differences(found: list[str]) -> str:
    """The first differences, and how many more there are."""
    more = f" and {len(found) - MAX_DIFFERENCES} more" if len(found) > MAX_DIFFERENCES else ""
    return "; ".join(found[:MAX_DIFFERENCES]) + more


def check_same_run(place: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise ArtifactError naming the difference if a checkpoint belongs to another run."""
    for name in REQUIRED_EQUAL:
        found = list(describe_differences(old.get(name), new.get(name)))
        if found and old.get(name) and new.get(name):
            what = "has other training text" if name == "shards" else f"is of another {name}"
            raise ArtifactError(
                f"The checkpoint {place} {what}: {format_differences(found)}; resume with what it "
                "was made with, or start this run in another folder."
            )
