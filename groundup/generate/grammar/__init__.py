"""grammar: which tokens may follow, if an answer is bound to a schema, an expression, a grammar?"""
