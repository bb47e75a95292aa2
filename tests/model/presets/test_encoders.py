"""Encoders' presets: counts that are known to the last weight."""

from groundup.model import parameters, preset


def test_bert_base_has_the_weights_of_its_published_file():
    count = parameters(preset("bert-base").config)
    # Of 109,482,240 in the file without heads, the pooler has 590,592; the masked head adds
    # a dense layer, a norm and a bias for each id.
    assert count.total - count.head == 109_482_240 - 590_592
    assert count.head == 768 * 768 + 768 + 2 * 768 + 30_522


def test_roberta_has_two_unused_rows_of_places_and_one_type():
    config = preset("roberta-base").config
    assert parameters(config).positions == 514 * 768
    assert config.embedding.types == 1


def test_modernbert_sees_64_tokens_to_each_side_in_two_of_three_layers():
    kinds = [preset("modernbert-base").config.pattern(i).window for i in range(6)]
    assert kinds == [0, 65, 65, 0, 65, 65]


def test_bert_says_that_its_own_objective_leaves_the_next_sentence_out():
    for name in ("bert-base", "bert-tiny"):
        assert preset(name).objective == "masked"
        assert "objective=next_sentence trains both" in preset(name).shared
