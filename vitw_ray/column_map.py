"""The value of `--map`: where the fields of a conversation are in rows of an unknown shape."""

import re

from vitw_ray.errors import ConfigError

MAPPED = "map:"
"""Begins the name of a shape that `--map` describes; the rest is the value of the flag."""

FIELDS = (
    *("messages", "role", "content", "prompt", "answer", "conversation_id", "prompt_id"),
    *("account", "model", "language", "source", "created_at", "updated_at"),
)
"""What can be mapped."""
_PATH = re.compile(r"[^\s.,=]+(?:\.[^\s.,=]+)*")
_EXAMPLE = "messages=payload.turns,role=who,content=text,conversation_id=chat.id"


def column_map(text: str) -> dict[str, str]:
    """The path of each field.

    Raises:
        ConfigError: the value cannot be read; it names the part and the fix.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, _, path = part.strip().partition("=")
        if name not in FIELDS:
            raise ConfigError(
                f"--map has the field {name!r}, which is none of {' '.join(FIELDS)}",
                f"write it as in --map '{_EXAMPLE}'",
            )
        if name in found:
            raise ConfigError(f"--map names {name} twice", "give one path for each field")
        if not _PATH.fullmatch(path):
            raise ConfigError(
                f"--map gives {name} the path {path!r}",
                "give keys and list indices with dots between, such as payload.turns or chat.0.id",
            )
        found[name] = path
    if "messages" not in found and not {"prompt", "answer"} <= found.keys():
        raise ConfigError(
            "--map says neither where the messages are nor where a prompt and its answer are",
            f"add messages=..., as in --map '{_EXAMPLE}', or prompt=...,answer=...",
        )
    if "messages" in found and "prompt" in found:
        raise ConfigError("--map has both messages and prompt", "drop prompt=...")
    for name in ("role", "content"):
        if name in found and "messages" not in found:
            raise ConfigError(f"--map has {name} without messages", f"drop {name}=...")
    return found
