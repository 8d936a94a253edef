"""Texts to vectors: which embedder, how it reads, in which blocks, and where vectors are kept."""
