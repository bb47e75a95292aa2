"""Grounding: is an answer supported by its passages, and were they the right ones?"""
