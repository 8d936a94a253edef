"""Known clusters: what a finished run keeps of its trees, and later runs placed in them."""
