"""Stage 1: reads input files into one validated and sampled table of conversations."""
