"""Assistants and periods side by side, from the tables of a finished run."""
