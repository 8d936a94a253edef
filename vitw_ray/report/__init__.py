"""Stage 6: one HTML page with the results and the facts of the run."""
