"""Small heads that read first: clearly objective conversations need no language model."""
