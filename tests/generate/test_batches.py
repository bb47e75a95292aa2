import hypothesis.strategies as st
from hypothesis import given

from groundup.generate import batches as module
from groundup.generate.batches import batch_by_length, left_padded, right_padded


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(0, 40))
def test_every_request_runs_once_and_no_neighbour_cuts_an_answer(lengths, new_tokens):
    found = list(batch_by_length(lengths, new_tokens, context_length=60))
    assert sorted(i for chosen in found for i in chosen) == list(range(len(lengths)))
    for chosen in found:
        longest = max(lengths[i] for i in chosen)
        for i in chosen:
            assert min(new_tokens, 60 - longest) == min(new_tokens, 60 - lengths[i])


def test_a_batch_stays_in_its_bounds(monkeypatch):
    monkeypatch.setattr(module, "MAX_BATCH_TOKENS", 100)
    monkeypatch.setattr(module, "MAX_BATCH_SIZE", 4)
    found = list(batch_by_length([10] * 10 + [200], 15, context_length=1000))
    assert [len(chosen) for chosen in found] == [1, 4, 4, 2]


def test_left_padding_ends_every_row_in_the_last_column():
    padded = left_padded([[5, 6, 7], [8]])
    assert padded.ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert padded.positions.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert padded.documents.tolist() == [[0, 0, 0], [-1, -1, 0]]
    assert left_padded([[5, 6], [7, 8]]).documents is None


def test_right_padding_begins_every_row_in_the_first_column():
    assert right_padded([[5, 6, 7], [8], []]).tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
