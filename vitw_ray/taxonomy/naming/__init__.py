"""What clusters are called, and the levels that a language model builds from that."""
