"""Attacks on a published folder: each looks for what should not be there, with public data only."""
