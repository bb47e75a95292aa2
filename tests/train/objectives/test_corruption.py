"""T5's corruption: source and target together are the text, with the paper's sizes."""

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.tokenizer import DOCUMENT_END, FastTokenizer
from groundup.train import NoiseConfig, ObjectiveContext, get_objective, token_properties_of
from groundup.train.objectives.corruption import required_sentinels
from groundup.train.objectives.token_properties import document_spans
from tests.model.shapes import ENCODER_DECODERS
from tests.train.objectives.rows import many


def made(what):
    return get_objective("corruption").batch(what.context, what.rows, what.step)


def restored(source: list[int], target: list[int], sentinels: list[int]) -> list[int]:
    """The text: each sentinel of the source replaced by what follows it in the target."""
    spans: dict[int, list[int]] = {}
    for id in target:
        if id in sentinels:
            spans[id] = current = []
        else:
            current.append(id)
    return [out for id in source for out in (spans[id] if id in sentinels else [id])]


def each(batch, row: int) -> list[tuple[list[int], list[int]]]:
    """Sources and targets of a row's documents."""
    numbers = sorted({n for n in batch.source_documents[row].tolist() if n >= 0})
    return [
        (batch.source[row][batch.source_documents[row] == n].tolist(),
         batch.targets[row][(batch.documents[row] == n)].tolist())
        for n in numbers
    ]  # fmt: skip


def test_the_text_comes_back_document_by_document():
    what = many()
    batch, sentinels = made(what), what.context.token_properties.sentinels
    for row, documents in enumerate(what.rows.documents):
        ids = what.rows.ids[row, 1:]
        texts = [ids[a:b].tolist() for a, b in document_spans(documents)]
        pairs = each(batch, row)
        assert [restored(s, t, sentinels) for s, t in pairs] == texts
        for source, target in pairs:
            marks = [id for id in source if id in sentinels]
            assert marks == sentinels[: len(marks)]  # from the first on, in each document
            if target:
                assert [id for id in target if id in sentinels] == sentinels[: len(marks) + 1]
                assert target[0] == sentinels[0] and target[-1] == sentinels[len(marks)]


def test_sizes_are_the_paper_s_and_no_special_is_taken():
    what = many()
    batch, known = made(what), what.context.token_properties
    told = batch.targets[batch.weights > 0].numpy()
    plain = ~known.is_special[told]
    real = (what.rows.documents >= 0) & ~known.is_special[what.rows.ids[:, 1:]]
    spans = np.isin(batch.source.numpy(), known.sentinels).sum()
    assert abs(plain.sum() / real.sum() - 0.15) < 0.005  # rounded in each document
    assert abs(plain.sum() / spans - 3.0) < 0.1
    assert set(told[~plain]) <= set(known.sentinels)


def test_what_the_decoder_reads_begins_with_the_end_of_text():
    what = many()
    batch, start = made(what), what.context.token_properties.special_token_id(DOCUMENT_END)
    for row in range(20):
        documents = batch.documents[row].numpy()
        firsts = [a for a, _ in document_spans(documents)]
        assert (batch.ids[row, firsts] == start).all()
        inside = np.setdiff1d(np.flatnonzero(documents >= 0), firsts)
        assert (batch.ids[row, inside] == batch.targets[row, inside - 1]).all()


def test_too_few_sentinels_are_an_error_before_anything_starts():
    words = FastTokenizer([], specials=["<|endoftext|>", "<extra_id_0>", "<extra_id_1>"])
    setting = ObjectiveContext(token_properties_of(words), NoiseConfig(), words)
    assert required_sentinels(256, NoiseConfig()) == 14
    with pytest.raises(ConfigError, match="needs 14 sentinels for sequences of 256 tokens.*has 2"):
        get_objective("corruption").check(ENCODER_DECODERS["t5"], setting, 256)
    get_objective("corruption").check(ENCODER_DECODERS["t5"], setting, 16)


def test_the_length_that_the_hundred_sentinels_serve_is_told_by_its_settings():
    task, config, setting = get_objective("corruption"), ENCODER_DECODERS["t5"], many().context
    with pytest.raises(ConfigError, match="set length and context_length to at most 1988"):
        task.check(config, setting, 2048)
    task.check(config, setting, 1988)
