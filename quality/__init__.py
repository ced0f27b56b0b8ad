"""Is the model what it claims to be, and better than trivial ones?"""
