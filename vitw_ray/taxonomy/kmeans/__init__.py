"""k-means whose result does not depend on how the rows are divided over machines."""
