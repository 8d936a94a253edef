"""Conversations with known truth, and how well a reader reads them."""
