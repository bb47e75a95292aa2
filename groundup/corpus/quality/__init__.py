"""Quality: is this text worth training on, and by which number?"""
