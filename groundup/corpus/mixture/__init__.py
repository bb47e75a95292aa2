"""Mixture: how often each source is drawn, in which order, and what is added to it, marked as such?"""
