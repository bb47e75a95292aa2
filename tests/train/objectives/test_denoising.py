"""BART's damage: one mask a span, Poisson lengths, sentences shuffled, the text as target."""

from collections import Counter

import numpy as np
from scipy import stats

from groundup.tokenizer import MASK
from groundup.train import NoiseConfig, get_objective
from groundup.train.objectives.denoising import (
    _draw_span_lengths,
    _mask_spans,
    _poisson_probabilities,
    _split_sentences,
)
from groundup.train.objectives.draws import KeyedRandom
from groundup.train.objectives.token_properties import document_spans
from tests.train.objectives.rows import many, setting, tokenizer


def made(what):
    return get_objective("denoising").batch(what.context, what.rows, what.step)


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
    batch, known = made(what), what.context.token_properties
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
    batch, mask = made(what), what.context.token_properties.special_token_id(MASK)
    for row in range(20):
        a, b = document_spans(what.rows.documents[row])[0]
        text = iter(what.rows.ids[row, 1 + a : 1 + b].tolist())
        source = batch.source[row][batch.source_documents[row] == 0].tolist()
        assert all(id in text for id in source if id != mask)  # a subsequence
