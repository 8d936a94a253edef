"""Levels above the first from the names of clusters, by a language model (Clio, 5.1)."""
