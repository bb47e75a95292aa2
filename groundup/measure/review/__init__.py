"""review: what do people say of what they see, without knowing who made it?"""
