"""Sequences that branch and join compute what each computes alone."""

import pytest
import torch
from torch.testing import assert_close

from groundup.generate.cached import CachedTransformer, pad_right, prefill, prefill_prefix
from tests.evaluate.test_likelihood import tiny
from tests.model.shapes import DECODERS, tiny_model


def test_sequences_that_branch_leave_the_old_state_as_it_was():
    model = CachedTransformer(tiny())
    with torch.no_grad():
        ids = torch.randint(64, (1, 9))
        state = model.begin(1, 20)
        model.extend(state, ids[:, :4], torch.tensor([4]))
        for _ in range(2):  # the second time finds nothing of the first
            branches = model.branch(state, torch.tensor([0, 0]))
            hidden = model.extend(branches, ids[:, 4:].expand(2, 5), torch.tensor([5, 5]))
            assert_close(hidden[1], model.forward(ids)[0, 4:])
        assert state.cache.length == 4


@pytest.mark.parametrize("kind", DECODERS)
def test_joined_sequences_go_on_as_each_does_alone(kind):
    """Distances are those of sequences without padding: windows and biases depend on them."""
    model = CachedTransformer(tiny_model(DECODERS[kind]).double())
    size = min(model.model.config.vocab_size, 30)
    random = torch.Generator().manual_seed(1)
    rows = [torch.randint(size, (n,), generator=random).tolist() for n in (9, 8, 5, 3)]
    rows = [[1, 2, 3] + row for row in rows]
    with torch.no_grad():
        for prefix in ([], [1, 2, 3]):
            shared = prefill_prefix(model, prefix, 12)
            state, last = prefill(model, rows, 4, 16, shared)
            more = torch.tensor([[4, 5, 6]]).expand(4, 3)
            hidden = model.extend(state, more, torch.full((4,), 3))
            state = model.join([model.branch(state, torch.tensor([2, 0]))], 16)
            one = model.extend(state, torch.tensor([[7], [7]]), torch.ones(2, dtype=torch.long))
            for at, row in enumerate(rows):
                alone = model.forward(torch.tensor([row + [4, 5, 6, 7]]))[0]
                assert_close(last[at], alone[len(row) - 1])
                assert_close(hidden[at], alone[len(row) : -1])
                if at in (0, 2):
                    assert_close(one[0 if at == 2 else 1, 0], alone[-1])


def test_right_padding_begins_every_row_in_the_first_column():
    assert pad_right([[5, 6, 7], [8], []]).ids.tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
