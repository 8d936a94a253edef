"""Stage 2: a model reads each conversation and answers the questions about it."""
