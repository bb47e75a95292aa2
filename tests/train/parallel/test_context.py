"""Rows spread over processes train as whole rows on one process do."""

import numpy as np
import pytest
import torch
from torch import distributed

from benchmarks.train.communication import ring_bytes
from groundup.core import ConfigError, ShapeError
from groundup.kernels import AttentionPattern
from groundup.model import AttentionConfig, PositionConfig
from groundup.train import MicroBatch, Precision
from groundup.train.loop import accumulate_gradients
from groundup.train.parallel.context import apply_ring_attention, local_positions
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh, mesh_sizes, open_mesh
from tests.train.parallel.plans import ragged, shape, tiny
from tests.train.parallel.processes import run
from tests.train.parallel.shares import UNTIED, Case, batch_of, check_equal

LEARNED = shape(position=PositionConfig(kind="learned"))
BENT = shape(attention=AttentionConfig(heads=4, kv_heads=1, head_dim=8, softcap=5.0))
WINDOW = shape(
    layers=3,
    attention=AttentionConfig(
        heads=4,
        kv_heads=2,
        head_dim=8,
        patterns=(AttentionPattern("window", window=5), AttentionPattern()),
    ),
)
PLANS = {
    2: [
        Case("context=2", shape(), 1),
        Case("context=2", LEARNED, 2, length=12),
        Case("context=2", BENT, 4),
        Case("context=2", WINDOW, 2),
        Case("context=2", shape(kind="encoder"), 2),
    ],
    4: [
        Case("context=4", shape(), 2),
        Case("context=2,tensor=2", UNTIED, 2),
        Case("data=2,context=2", UNTIED, 2),
        Case("shard=2,context=2", UNTIED, 2),
    ],
}


@pytest.mark.parametrize(
    ("world", "cases"),
    [(2, PLANS[2]), (4, PLANS[4][:2]), pytest.param(4, PLANS[4][2:], marks=pytest.mark.slow)],
)
def test_steps_of_spread_rows_are_those_of_one_process(world: int, cases: list[Case]):
    check_equal(world, cases)


def test_autocast_to_bfloat16_stays_as_near_as_bfloat16_is():
    case = Case("context=2", shape(), 2, steps=3, precision=torch.bfloat16)
    check_equal(2, [case], tolerance=0.03)


def sent_in_a_step(case: Case) -> tuple[int, int]:
    """Bytes that this process gave to messages in a step, and by the formula."""
    mesh = open_mesh(mesh_sizes(case.mesh, distributed.get_world_size()), "cpu")
    model, sent, send = tiny(case.config), [], distributed.batch_isend_irecv

    def counted(moves):
        sent.extend(move.tensor.nbytes for move in moves if move.op is distributed.isend)
        return send(moves)

    distributed.batch_isend_irecv = counted
    apply_ring_attention(model, mesh.submesh("context"))
    micro_batches = batch_of(case, 0, mesh)
    gradients = accumulate_gradients(model, case.loss(mesh), Precision())
    gradients(micro_batches, 50.0)
    parts, rows = mesh.size("context"), 8 // case.micro_batches
    told = ring_bytes(case.config, rows, case.length, parts)
    return sum(sent), told * case.micro_batches


@pytest.mark.parametrize("parts", [2, 4])
def test_a_process_sends_what_the_formula_says(parts: int):
    for sent, told in run(parts, sent_in_a_step, Case(f"context={parts}", WINDOW, 2)):
        assert sent == told > 0


class Placed(Mesh):
    """A place in a line that need not be there."""

    def size(self, dimension: str) -> int:
        return 2 if dimension == "context" else 1

    def rank_along(self, dimension: str) -> int:
        return 1 if dimension == "context" else 0


def test_a_share_keeps_targets_documents_and_places_together():
    batch = ragged(0, length=16)._replace(source=None, source_documents=None)
    held = [4, 5, 6, 7, 8, 9, 10, 11]
    mine = local_positions(batch, shape(), Placed())
    for name in ("ids", "targets", "weights", "documents"):
        assert torch.equal(getattr(mine, name), getattr(batch, name)[:, held])
    assert mine.positions is not None and mine.positions[3].tolist() == held
    learned = local_positions(batch, LEARNED, Placed()).positions
    assert learned is not None and learned[3].tolist() == [4, 5, 6, 0, 1, 2, 3, 4]
    assert local_positions(batch, shape(), SINGLE_PROCESS) is batch


def test_what_cannot_be_spread_is_refused():
    batch = ragged(0, length=16)
    with pytest.raises(ConfigError, match="have source, .*objective causal"):
        local_positions(batch, shape(), Placed())
    plain = batch._replace(source=None, source_documents=None)
    with pytest.raises(ConfigError, match="16 tokens exceed.*context_length=8"):
        local_positions(plain, shape(context_length=8), Placed())
    short = MicroBatch(*(x[:, :14] for x in plain[:4]))
    with pytest.raises(ShapeError, match="14 tokens.*multiple of 4, such as 16"):
        local_positions(short, shape(), Placed())
    alibi = tiny(shape(position=PositionConfig(kind="alibi")))
    with pytest.raises(ConfigError, match="kind='alibi' adds a bias.*use rope"):
        run_alone(alibi)


def run_alone(model) -> None:
    """Spread a model's rows over nobody; refused before anybody is asked."""
    from groundup.train.parallel.context import check_context

    check_context(model.config)


def test_longer_rows_cost_more_messages_in_proportion():
    short, long = (ring_bytes(UNTIED, 2, length, 4) for length in (1024, 4096))
    assert long == 4 * short and np.isclose(ring_bytes(UNTIED, 2, 1024, 2) / short, 0.8, atol=0.1)
