"""Stage 2: the reader extracts tasks, values and response types from each conversation."""
