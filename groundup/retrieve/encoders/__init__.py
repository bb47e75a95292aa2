"""encoders: models that make vectors of texts, for search by meaning: how they are trained."""
