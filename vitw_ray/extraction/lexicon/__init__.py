"""The lexicon extractor: an honest baseline that reads with cues, phrases and one embedding.

Table read: `conversations`; columns of `extractions` filled: all facets. Without a language model,
it is the default on a laptop and the floor that every model must beat. All it returns is from its
own files (values.json, tasks.json); never a word of the conversation.
"""

from vitw_ray.extraction.lexicon.extractor import LexiconExtractor

__all__ = ["LexiconExtractor"]
