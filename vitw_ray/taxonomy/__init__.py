"""Stage 4: embeds labels and tasks, clusters them level by level, and names the clusters."""
