"""Stage 7: what may leave the house, in the published column names."""
