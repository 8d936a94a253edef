"""k-means that gives the same clusters however the rows are divided over machines."""
