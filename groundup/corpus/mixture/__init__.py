"""Mixture: how often is each source drawn, in which order, and what is added, marked as such?"""
