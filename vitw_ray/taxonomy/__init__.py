"""Stage 4: labels are embedded, clustered level by level, and named."""
