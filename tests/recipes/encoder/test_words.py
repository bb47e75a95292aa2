"""The bag of words is the regularised optimum, learns words and is blind to order."""

import torch

from groundup.recipes.encoder.words import STRENGTHS, _words_of, features, fit, tuned

TEXTS = ["a good film", "good and kind", "a bad film", "bad and dull", "good day", "bad day"] * 3
LABELS = [True, True, False, False, True, False] * 3


def test_words_marks_and_faces_count():
    assert _words_of("It's GREAT!! :) _x_") == {"it's", "great", "!", ":)", "x"}


def test_words_are_learnt_and_order_is_not_seen():
    bag = fit(TEXTS, LABELS, 1e-3)
    assert bag.says(TEXTS).tolist() == LABELS
    assert float(bag.weights[bag.places["good"]]) > 0 > float(bag.weights[bag.places["bad"]])
    assert bag.says(["film good a"]).tolist() == bag.says(["a good film"]).tolist()
    assert bag.says(["unknown words"]).shape == (1,)


def test_the_gradient_is_zero_at_the_end():
    strength = 1e-2
    bag = fit(TEXTS, LABELS, strength)
    x, y = features(TEXTS, bag.places).to_dense(), torch.tensor(LABELS).float()
    errors = torch.sigmoid(x @ bag.weights + bag.bias) - y
    gradient = x.T @ errors / len(y) + 2 * strength * bag.weights
    assert float(gradient.abs().max()) < 1e-3


def test_the_strength_is_chosen_on_held_out_texts():
    bag = tuned((TEXTS, LABELS), (["a good day", "a dull day"], [True, False]))
    assert bag.strength in STRENGTHS
    assert bag.says(["a good day", "a dull day"]).tolist() == [True, False]
