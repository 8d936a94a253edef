"""Stage 1: files in, one checked and sampled table of conversations out."""
