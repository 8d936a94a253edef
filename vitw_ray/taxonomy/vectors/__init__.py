"""The texts of the taxonomy and their embedding vectors, in storage."""
