"""Sentence encoders: from short texts to unit vectors, so that a dot product is a similarity.

encoder      the encoder protocol
hashing      hashed character n-grams, without a model; for tiny runs and languages that minilm cannot read
minilm       all-MiniLM-L6-v2, the default
caching      choose and load an encoder, and encode each distinct text only once
text_arrays  texts as arrays of an npz file
"""
