"""Memory of one process of a mesh in a training step, by formula.

    data      everything, for other sequences; gradient buckets
    shard     ZeRO: a shard of the optimizer states (1), of gradients too (2), of weights too (3)
    tensor    a shard of each matrix and of its results
    pipeline  some of the layers, for several micro-batches at once; the ends have a table each
    context   some of each sequence's positions
    expert    some of the experts

Source: Rajbhandari et al. 2019, arXiv:1910.02054; one forward, one backward: Narayanan et al. 2021,
arXiv:2104.04473.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from groundup.core import ConfigError

from ..parallel.data import BUCKET_BYTES
from ..parallel.mesh import parse_dimensions
from .step import MemoryBreakdown

Zero = Literal[1, 2, 3]


class MeshPosition(NamedTuple):
    """A process's coordinates in a mesh, and how the mesh divides the work."""

    sizes: Mapping[str, int]
    """Processes along each dimension; missing ones are 1."""
    zero: int = 3
    """ZeRO stage along `shard`."""
    stage: int = 0
    """Rank along `pipeline`, from 0."""
    micro_batches: int = 1
    """Per step: a pipeline has several in flight."""
    compute_bytes: int = 2
    """Per element of a gathered weight."""

    @property
    def has_sharded_tensors(self) -> bool:
        """Whether a process has sharded tensors."""
        by_zero = self.size("shard") > 1 and self.zero > 1
        return by_zero or max(self.size("tensor"), self.size("expert")) > 1

    def size(self, dimension: str) -> int:
        """Processes along a dimension."""
        return self.sizes.get(dimension, 1)


def parse_mesh(text: str, devices: int | None) -> dict[str, int]:
    """Sizes of a mesh such as `data=2,tensor=4`; empty: all devices along `shard`.

    devices  None: as many as the mesh has, one without a mesh

    Raises ConfigError for an invalid mesh, or if the sizes do not multiply to the devices.

    >>> parse_mesh("data=2, tensor=4", 8), parse_mesh("", 8)
    ({'data': 2, 'tensor': 4}, {'shard': 8})
    """
    if devices is not None and devices < 1:
        raise ConfigError(f"devices={devices} must be 1 or more.")
    sizes = parse_dimensions(text) if text.strip() else parse_dimensions(f"shard={devices or 1}")
    needed = math.prod(sizes.values())
    if devices is not None and needed != devices:
        raise ConfigError(
            f"mesh={text!r} needs {needed} devices, but devices={devices}; make them equal."
        )
    return sizes


def process_memory(ledger: MemoryBreakdown, place: MeshPosition) -> dict[str, int]:
    """Peak memory of a process, bytes by category."""
    own = _persistent_memory(ledger, place)
    moments = (_pass_memory(ledger, place) | own, _step_memory(ledger, place) | own)
    fullest = max(moments, key=lambda parts: sum(parts.values()))
    return {name: round(size) for name, size in fullest.items() if round(size)}


def _persistent_memory(ledger: MemoryBreakdown, place: MeshPosition) -> dict[str, float]:
    layers, tables = _stage_layer_share(ledger, place), _embedding_share(ledger, place)
    dense = (ledger.inner - ledger.experts) * layers + ledger.experts * layers / place.size(
        "expert"
    )
    weights = dense / place.size("tensor") + ledger.outer * tables
    inner = ledger.inner_states * dense / (ledger.inner * place.size("tensor") or 1)
    states = inner + ledger.outer_states * tables
    shards, zero = place.size("shard"), place.zero
    return {
        "weights": weights / (shards if zero == 3 else 1),
        "gradients": weights / (shards if zero >= 2 else 1),
        "optimizer states": states / shards,
    }


def _pass_memory(ledger: MemoryBreakdown, place: MeshPosition) -> dict[str, float]:
    """Additional memory of a pass: activations, the loss's, gathered weights and buckets."""
    during_pass, layers = ledger.during_pass, _stage_layer_share(ledger, place)
    rows = place.size("tensor") * place.size("context")
    stages = place.size("pipeline")
    at_once = min(place.micro_batches, stages - place.stage)
    is_last = place.stage == stages - 1
    parts = {
        "activations": during_pass.get("activations", 0) * layers * at_once / rows,
        "loss": during_pass.get("loss", 0) / rows if is_last else 0.0,
        "working": (during_pass.get("working", 0) + during_pass.get("other", 0)) / rows,
    }
    if place.size("shard") > 1 and place.zero >= 2:
        layer = ledger.inner / ledger.layers / place.size("tensor")
        gathered = ledger.inner * layers if place.zero == 2 else 2 * layer
        parts["gathered"] = (gathered * place.compute_bytes / 4 + layer  # its unsharded gradient
                             + ledger.outer * _embedding_share(ledger, place))  # fmt: skip
    if max(place.size("data"), place.size("context"), place.size("expert")) > 1:
        parts["buckets"] = 2 * BUCKET_BYTES  # one is filled while another is sent
    return parts


def _step_memory(ledger: MemoryBreakdown, place: MeshPosition) -> dict[str, float]:
    processes = place.size("shard") * place.size("tensor")
    update = ledger.during_step.get("update", 0) * _stage_layer_share(ledger, place)
    return {"update": update / processes}


def _stage_layer_share(ledger: MemoryBreakdown, place: MeshPosition) -> float:
    """Share of the layers on this pipeline stage; the first stages have one more."""
    stages = place.size("pipeline")
    each, more = divmod(ledger.layers, stages)
    return (each + (place.stage < more)) / ledger.layers


def _embedding_share(ledger: MemoryBreakdown, place: MeshPosition) -> float:
    """Share of embedding and head: the ends of a pipeline have one each, tied ones both."""
    stages = place.size("pipeline")
    if 0 < place.stage < stages - 1:
        return 0.0
    share = 1.0 if stages == 1 or ledger.tied else 0.5
    return share / place.size("tensor")
