"""Comparison of assistants and of periods, from the tables of a finished run."""
