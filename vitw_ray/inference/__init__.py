"""Everything that runs a model: language models, engines, servers, prompt encoding, embedders."""
