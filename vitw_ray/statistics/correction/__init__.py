"""Estimates that stay valid if the reader errs, from a sample that people reviewed."""
