"""How well an extractor reads: planted truth, agreement with labelled conversations."""
