"""abstain: what does a model not know, and when should it say so?"""
