"""compare: what differs between runs, and how sure is it?"""
