"""grammar: which tokens may follow, if an answer must be of a schema, an expression or a grammar."""
