"""Several readers of the same conversations: how they differ, how good each is, what it costs."""
