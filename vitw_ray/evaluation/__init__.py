"""Evaluation of readers: planted conversations with known truth, agreement."""
