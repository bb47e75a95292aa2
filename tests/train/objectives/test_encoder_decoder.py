"""Sources and targets are those of the papers, and nothing of a document is lost."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from groundup.core import ConfigError, DataError
from groundup.model import Transformer
from groundup.tokenizer import DOCUMENT_END, MASK, FastTokenizer
from groundup.train import (
    NoiseConfig,
    ObjectiveContext,
    SourceTarget,
    get_objective,
    sequence_batch,
    sequence_to_sequence_loss,
    token_properties_of,
)
from groundup.train.objectives.encoder_decoder import (
    _draw_span_lengths,
    _mask_spans,
    _poisson_probabilities,
    _split_sentences,
    required_sentinels,
)
from groundup.train.objectives.objective import KeyedRandom, document_spans
from tests.model.shapes import ENCODER_DECODERS
from tests.train.objectives.rows import many, setting, tokenizer

ROWS = [[SourceTarget([4, 5, 6], [7, 8, 2])], [SourceTarget([9], [3, 2])]]


def test_what_is_read_is_what_is_told_one_later():
    batch = sequence_batch(ROWS, start=1, multiple=4)
    assert batch.ids.tolist() == [[1, 7, 8, 1], [1, 3, 1, 1]]
    assert batch.targets.tolist() == [[7, 8, 2, 1], [3, 2, 1, 1]]
    assert batch.weights.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch.source.tolist() == [[4, 5, 6, 1], [9, 1, 1, 1]]
    assert batch.source_documents.tolist() == [[0, 0, 0, -1], [0, -1, -1, -1]]


@pytest.mark.parametrize("name", sorted(ENCODER_DECODERS))
def test_packed_pairs_lose_what_they_lose_alone(name: str):
    model = Transformer(ENCODER_DECODERS[name], seed=1).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    apart = sequence_batch([[row[0]] for row in ROWS], start=1)
    packed = sequence_batch([[row[0] for row in ROWS]], start=1, multiple=8)
    losses = [sequence_to_sequence_loss(model, batch._replace(weights=batch.weights.double())).total
              for batch in (apart, packed)]  # fmt: skip
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=1e-10)


def test_a_source_that_does_not_fit_or_is_empty_is_an_error():
    with pytest.raises(DataError, match="3 tokens, more than length=2"):
        sequence_batch(ROWS, start=1, length=2)
    with pytest.raises(DataError, match="Row 1 has a pair without a source"):
        sequence_batch([ROWS[0], [SourceTarget([], [2])]], start=1)


def batch_of(objective: str, what):
    return get_objective(objective).batch(what.context, what.rows, what.step)


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
    batch, sentinels = batch_of("corruption", what), what.context.token_properties.sentinels
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
    batch, known = batch_of("corruption", what), what.context.token_properties
    told = batch.targets[batch.weights > 0].numpy()
    plain = ~known.is_special[told]
    real = (what.rows.documents >= 0) & ~known.is_special[what.rows.ids[:, 1:]]
    spans = np.isin(batch.source.numpy(), known.sentinels).sum()
    assert abs(plain.sum() / real.sum() - 0.15) < 0.005  # rounded in each document
    assert abs(plain.sum() / spans - 3.0) < 0.1
    assert set(told[~plain]) <= set(known.sentinels)


def test_what_the_decoder_reads_begins_with_the_end_of_text():
    what = many()
    batch, start = (
        batch_of("corruption", what),
        what.context.token_properties.special_token_id(DOCUMENT_END),
    )
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


def test_lengths_are_poisson_s():
    found = KeyedRandom(2).weighted_choice(_poisson_probabilities(3.0), 20_000)
    counts = np.bincount(found, minlength=9)[:9]
    law = stats.poisson(3).pmf(np.arange(9))
    assert stats.chisquare(counts, counts.sum() * law / law.sum()).pvalue > 1e-3


def test_thirty_in_a_hundred_are_hidden():
    lengths = [_draw_span_lengths(200, NoiseConfig(), KeyedRandom(seed)) for seed in range(400)]
    assert {sum(each) for each in lengths} == {60}
    assert any(0 in each for each in lengths)  # a mask where nothing is missing


def test_a_source_fits_its_text_with_one_mask_a_span():
    ids = list(range(10, 40))
    for seed in range(200):
        lengths = _draw_span_lengths(len(ids), NoiseConfig(), KeyedRandom(seed))
        source = _mask_spans(ids, lengths, 1, KeyedRandom(seed, "places"))
        assert source.count(1) == len(lengths) and len(source) == len(ids) - 9 + len(lengths)
        assert all(not (a == b == 1) for a, b in zip(source, source[1:], strict=False))
        kept = [id for id in source if id != 1]
        assert kept == [id for id in ids if id in kept]
        gaps = [b - a - 1 for a, b in zip([9, *kept], [*kept, 40], strict=True)]
        assert sorted(gap for gap in gaps if gap) == sorted(each for each in lengths if each)


def test_spans_that_do_not_fit_are_put_together():
    assert _mask_spans([5, 6, 7], [1, 1, 1], 1, KeyedRandom(0)) == [1]
    assert _mask_spans([5], [0, 0], 1, KeyedRandom(0)) == [5]


def test_sentences_end_with_full_stops_and_join_to_the_text():
    ids = tokenizer().encode('One thing. Two things! "Three?" And four')
    found = _split_sentences(ids, setting().token_properties)
    assert [id for sentence in found for id in sentence] == ids
    told = [tokenizer().decode(sentence).strip() for sentence in found]
    assert len(told) == 4 and told[0].startswith("One") and told[-1].endswith("four")


def test_the_target_is_the_text_and_the_source_holds_what_is_left_of_it():
    what = many()
    batch, known = batch_of("denoising", what), what.context.token_properties
    masked = total = 0
    for row, documents in enumerate(what.rows.documents[:100]):
        for number, (a, b) in enumerate(document_spans(documents)):
            text = what.rows.ids[row, 1 + a : 1 + b].tolist()
            source = batch.source[row][batch.source_documents[row] == number].tolist()
            assert batch.targets[row][batch.documents[row] == number].tolist() == text
            left = Counter(id for id in source if id != known.special_token_id(MASK))
            assert not left - Counter(text) and len(source) <= len(text)
            body = [id for id in text if not known.is_special[id]]
            masked += len(body) - sum(n for id, n in left.items() if not known.is_special[id])
            total += len(body)
            assert (text[-1] == source[-1]) or not known.is_special[text[-1]]
    assert abs(masked / total - 0.3) < 4 * np.sqrt(0.21 / total)


def test_sentences_may_stay_in_order():
    what = many(permute=False)
    batch, mask = batch_of("denoising", what), what.context.token_properties.special_token_id(MASK)
    for row in range(20):
        a, b = document_spans(what.rows.documents[row])[0]
        text = iter(what.rows.ids[row, 1 + a : 1 + b].tolist())
        source = batch.source[row][batch.source_documents[row] == 0].tolist()
        assert all(id in text for id in source if id != mask)  # a subsequence
