"""A question answered: by quotes, in a model's words, one after another in a session."""
