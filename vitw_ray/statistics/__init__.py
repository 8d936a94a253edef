"""Stage 5: associations of AI values with tasks, human values and response types."""
