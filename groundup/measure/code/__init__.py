"""Code as an answer: does it pass its tests, told by a process that it cannot reach?"""
