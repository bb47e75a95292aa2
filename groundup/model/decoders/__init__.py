"""How does a model decode over blocks of keys, and in steps of fixed shape?"""
