"""wording: what the words of questions and documents mean: stems, terms, kinds of quantities."""
