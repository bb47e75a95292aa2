"""Prompts continued together say what each says alone, and what they share is read once."""

import pytest
import torch

from groundup.core import Sampling, StopCriteria
from groundup.evaluate.harness.completion import Detokenizer, _find_stop, complete_prompts
from groundup.evaluate.harness.native import NativeModel
from tests.evaluate.test_likelihood import tiny

MODEL = NativeModel(tiny())  # float64, 64 ids, context 256
ROOT = list(range(30))


class Numbers:
    """Ids spelt as numbers."""

    end_ids = (63,)
    vocab_size = 64

    def decode(self, ids):
        return "".join(f" {number}" for number in ids)


def naive(prompt: list[int], length: int) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + length and (ids[len(prompt) :] or [0])[-1] != 63:
            ids.append(int(MODEL.model.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def prompts(number: int = 9) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    draw = lambda n: torch.randint(63, (n,), generator=generator).tolist()  # noqa: E731
    return [ROOT * (n % 4 > 0) + draw(2 + n % 5) for n in range(number)]


@pytest.mark.parametrize("share", [True, False])
def test_greedy_continuations_are_those_of_one_pass_a_token(share):
    asked, stops = prompts(), StopCriteria(Sampling(max_tokens=12))
    found = dict(
        complete_prompts(MODEL, Numbers(), asked, stops, batch_tokens=40, share_prefix=share)
    )
    assert isinstance(Numbers(), Detokenizer) and sorted(found) == list(range(len(asked)))
    for place, prompt in enumerate(asked):
        said = naive(prompt, 12)
        has_end = said[-1] == 63
        assert found[place].text == Numbers().decode(said[:-1] if has_end else said)
        assert found[place].tokens == len(said) and found[place].prompt_tokens == len(prompt)
        assert found[place].finish_reason == ("stop" if has_end else "length")


def test_stops_end_rows_at_different_times_and_move_no_neighbour():
    asked = prompts()
    said = [naive(prompt, 12) for prompt in asked]
    until = tuple(f" {said[row][row]} " for row in (1, 3, 4)) + (f" {said[2][0]}",)
    stops = StopCriteria(Sampling(max_tokens=12), until)
    found = dict(complete_prompts(MODEL, Numbers(), asked, stops, batch_tokens=4000))
    for place, ids in enumerate(said):
        text = Numbers().decode(ids[:-1] if ids[-1] == 63 else ids)
        assert found[place].text == text[: _find_stop(text, until)]


def test_a_sampled_answer_is_its_seeds_whoever_runs_beside_it():
    asked = prompts(5)
    stops = StopCriteria(Sampling(temperature=1.0, top_k=20, max_tokens=8, seed=3))
    together = dict(complete_prompts(MODEL, Numbers(), asked, stops, batch_tokens=4000))
    for place, prompt in enumerate(asked):
        ((_, alone),) = complete_prompts(MODEL, Numbers(), [prompt], stops, batch_tokens=4000)
        assert alone == together[place]
    other = StopCriteria(Sampling(temperature=1.0, top_k=20, max_tokens=8, seed=4))
    assert dict(complete_prompts(MODEL, Numbers(), asked, other, batch_tokens=4000)) != together


def test_what_prompts_begin_with_is_read_once(monkeypatch):
    read, extend = [], NativeModel.extend

    def counted(self, state, ids, lengths):
        read.append(int(lengths.sum()))
        return extend(self, state, ids, lengths)

    monkeypatch.setattr(NativeModel, "extend", counted)
    asked = [ROOT + [n, n] for n in range(6)]
    list(
        complete_prompts(
            MODEL, Numbers(), asked, StopCriteria(Sampling(max_tokens=1)), batch_tokens=4000
        )
    )
    assert sum(read) == len(ROOT) + 6 * 2


def test_the_first_stop_counts():
    assert _find_stop("one two three", ("three", "two")) == 4
    assert _find_stop("one", ("",)) is None and _find_stop("one", ()) is None
