"""How good a text is: by an n-gram model, by a trained classifier, by any scorer."""
