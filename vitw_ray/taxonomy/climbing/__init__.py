"""Upper levels of the taxonomy built by a language model from cluster names (Clio, 5.1)."""
