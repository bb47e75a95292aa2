"""Contracts: what a run is, what decides its bits, and how two runs differ.

Of what a checkpoint belongs to, some must be the same, or going on would be nonsense: the model,
the tokenizer, the objective, the text. Some may change, and is told: rates, the batch, the machine.
"""

import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from groundup import __version__
from groundup.core import Artifact, ArtifactError, device, differing
from groundup.kernels import has_native, has_states

from ..optim.adamw import is_fused
from ..parallel.mesh import Mesh

DECIDES_BITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "CUBLAS_WORKSPACE_CONFIG")
"""Variables of the environment by which libraries choose their kernels."""
MOST_TOLD = 3


class Identity(NamedTuple):
    """What a run is; what is left empty is not compared."""

    model: Mapping[str, Any] = {}
    """Configuration of the model."""
    tokenizer: str = ""
    """Id of the tokenizer."""
    objective: str = ""
    shards: Mapping[str, str] = {}
    """Hash of each shard of training text, by name (`shard_hashes`)."""
    settings: Mapping[str, Any] = {}
    """All else that decides the run: schedule, optimizer, loader. It may change, and is told."""
    parents: Mapping[str, Artifact] = {}
    """What the run is made of, so that a model made of a checkpoint has the same lineage."""

    def plain(self, folder: Path) -> dict[str, Any]:
        """As JSON; places of parents are told from the folder of checkpoints."""
        parents = [
            {"name": name, "path": os.path.relpath(one.path.resolve(), folder.resolve()),
             "id": one.id}
            for name, one in self.parents.items()
        ]  # fmt: skip
        kept = {name: getattr(self, name) for name in MUST}
        return kept | {"settings": self.settings, "parents": parents}


MUST = ("model", "tokenizer", "objective", "shards")


def shard_hashes(tokens: Artifact, split: str = "train") -> dict[str, str]:
    """sha256 of a split's ids, or of each source of a mixture, as the manifests record them."""
    own = tokens.files.get(f"{split}.bin")
    if own is not None:
        return {split: own["sha256"]}
    opened = {
        parent.name: tokens.open_parent(parent)
        for parent in tokens.parents
        if parent.name != "tokenizer"
    }  # one that is not in its place is an error where its text is read
    sources = {name: source for name, source in opened.items() if source is not None}
    found = {name: source.files.get(f"{split}.bin") for name, source in sources.items()}
    return {name: entry["sha256"] for name, entry in found.items() if entry is not None}


def determinism(mesh: Mesh, processes: int) -> dict[str, Any]:
    """What must be the same for the same bits: machine, versions, threads, kernels, mesh."""
    found = {**device.fingerprint(), "threads": torch.get_num_threads()}
    found |= {"groundup": __version__, "numpy": metadata.version("numpy")}
    found["kernels"] = torch.backends.cpu.get_cpu_capability()
    found["softmax"] = "native" if has_native("cpu", torch.float32) else "torch"
    found["states"] = "native" if has_states() else "torch"
    found["adamw"] = "fused" if is_fused() else "plain"
    found["matmul"] = torch.get_float32_matmul_precision()
    found["deterministic"] = torch.are_deterministic_algorithms_enabled()
    found["environment"] = {name: os.environ[name] for name in DECIDES_BITS if name in os.environ}
    if torch.cuda.is_available():
        found |= {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    sizes = {name: mesh.size(name) for name in mesh.dimensions}
    return found | {"mesh": sizes, "processes": processes}


def differences(old: Any, new: Any) -> Iterator[str]:
    """How a JSON value differs from another, by dotted names.

    >>> list(differences({"depth": 4, "a": {"b": 1}}, {"depth": 5, "a": {"b": 1, "c": 2}}))
    ['a.c nothing there and 2 here', 'depth 4 there and 5 here']
    """
    for name, there, here in differing(old, new):
        yield f"{name} {short(there)} there and {short(here)} here".strip()


def short(value: Any) -> str:
    """A value as a message tells it; hashes lose their tails."""
    text = "nothing" if value is None else str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text[:60]


def listed(found: list[str]) -> str:
    """The first of some differences."""
    more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    return "; ".join(found[:MOST_TOLD]) + more


def refuse(place: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise ArtifactError naming both if a checkpoint belongs to another run."""
    for name in MUST:
        found = list(differences(old.get(name), new.get(name)))
        if found and old.get(name) and new.get(name):
            what = "learns from other text" if name == "shards" else f"is of another {name}"
            raise ArtifactError(
                f"The checkpoint {place} {what}: {listed(found)}; go on with what it was made "
                "with, or start this run in another folder."
            )


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What may change between two runs and did."""
    return list(differences(old.get("settings") or {}, new.get("settings") or {}))
