"""Stage 3: merge the spellings of labels and count the labels."""
