"""Texts of the taxonomy and their vectors in storage."""
