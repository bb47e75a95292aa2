"""stats: how sure is a number, and which difference is real?"""
