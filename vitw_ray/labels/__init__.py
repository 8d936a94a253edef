"""Stage 3: the words the extractor used become countable labels."""
