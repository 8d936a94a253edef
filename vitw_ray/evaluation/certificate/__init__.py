"""Which headlines hold however the conversations are read: choices, claims, and a verdict."""
