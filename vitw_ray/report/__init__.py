"""Stage 6: one HTML page that says what was found and what the run did."""
