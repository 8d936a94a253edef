"""Values in the Wild as an open, distributed job: conversations in, values out."""

__version__ = "0.1.0"
