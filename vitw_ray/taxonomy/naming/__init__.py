"""Names and descriptions of clusters, from their members or by a language model."""
