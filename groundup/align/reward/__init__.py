"""Reward models: how good an answer is, or each step of it, learnt from preferences."""
