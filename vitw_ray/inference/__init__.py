"""Everything that runs a model: readers, engines, servers, prompts as tokens, embedders."""
