"""text: how alike are two texts, by each of the field's measures?"""
