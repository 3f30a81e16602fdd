"""Sentence encoders: from short texts to unit vectors, so that a dot product is a similarity.

encoder   the encoder protocol
hashing   hashed character n-grams, without a model; for tiny runs
minilm    all-MiniLM-L6-v2, the default
text_arrays  texts as arrays of an npz file
caching   load an encoder by name, and encode each distinct text only once
"""
