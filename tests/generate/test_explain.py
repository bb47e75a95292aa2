"""The explanation of a choice is the choice: the same tokens, and the same distribution."""

import torch
from torch.testing import assert_close

from groundup.core import Sampling
from groundup.generate import generate
from groundup.generate.explain import explain_generation, sampling_stages
from groundup.generate.sampling import TokenSampler, sampling_distribution
from tests.core.page.reading import Reading
from tests.generate.tiny import tiny_directory, tiny_engine, user

EVERYTHING = Sampling(
    temperature=0.8, top_k=20, top_p=0.9, min_p=0.05, repetition_penalty=1.3, presence_penalty=0.2,
    frequency_penalty=0.1, logit_bias={5: 2.0}, banned_tokens=(7,), min_tokens=3, max_tokens=6,
    seed=4,
)  # fmt: skip


def test_each_setting_has_a_stage_and_the_last_is_what_is_drawn_from():
    logits = torch.randn(64, generator=torch.Generator().manual_seed(1))
    sampler = TokenSampler(EVERYTHING, prompt=(1, 2), end_ids=(63,))
    sampler.add(9)
    stages = list(sampling_stages(logits, sampler))
    assert [stage.name for stage in stages] == [
        "model", "logit_bias", "repetition_penalty 1.3", "presence 0.2, frequency 0.1",
        "banned_tokens", "min_tokens 3", "temperature 0.8", "top_k 20", "top_p 0.9", "min_p 0.05",
    ]  # fmt: skip
    kept = [stage.kept for stage in stages]
    assert kept == sorted(kept, reverse=True) and kept[0] == 64 and kept[4:6] == [63, 62]
    *_, (_, adjusted) = sampler.adjustments(logits.double())
    found, ids = sampling_distribution(adjusted[None], EVERYTHING)
    assert ids is not None
    assert_close(stages[-1].probabilities[ids[0]], found[0])
    assert all(abs(float(stage.probabilities.sum()) - 1) < 1e-9 for stage in stages)


def test_an_explained_answer_is_the_answer():
    engine = tiny_engine()
    prompt = engine.prompt_ids(user("a"))
    [answer] = engine.continue_ids([prompt], EVERYTHING)
    explained, tokens = explain_generation(engine, prompt, EVERYTHING)
    assert explained == answer and [each.id for each in tokens] == list(answer.ids)
    assert all(each.stages[-1].probabilities[each.id] > 0 for each in tokens)


def test_the_page_names_what_was_cut_and_chosen(tmp_path):
    model = tiny_directory(tmp_path / "model")
    config = Sampling(banned_tokens=(3,), max_tokens=4)
    found = generate(model, "a", explain=tmp_path / "new" / "page.html", config=config)
    assert found == generate(model, "a", config=config)
    text = Reading((tmp_path / "new" / "page.html").read_text()).text
    for word in ("How each token was chosen", "banned_tokens", "temperature 0", "chosen", "cut"):
        assert word in text, word
