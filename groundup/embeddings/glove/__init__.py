"""GloVe: counts of neighbours and vectors that fit them; what is known after counting once?"""
