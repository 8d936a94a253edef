"""The strict release: names and counts with differential privacy for accounts."""
