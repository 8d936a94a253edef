"""Stage 5: which values go with which task, human value and response type."""
