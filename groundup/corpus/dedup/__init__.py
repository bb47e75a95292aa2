"""Deduplication: which records repeat another one, and which of them is kept?"""
