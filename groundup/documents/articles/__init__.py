"""Articles: what does a paper, a manual page or a news story say, beside its apparatus?"""
