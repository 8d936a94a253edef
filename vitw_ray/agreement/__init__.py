"""Agreement of readers with each other and with labelled conversations."""
