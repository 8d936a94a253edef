"""The reviewed sample as a file: one JSON line per conversation that people have labelled.

A row says with which probability its conversation was drawn. A file without probabilities is a
sample drawn evenly from the conversations of the run.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vitw_ray.errors import InputError
from vitw_ray.facets import ResponseType
from vitw_ray.given_file import read_given
from vitw_ray.keys import content_key

_FIX = (
    "give one JSON object per line with conversation_id, stratum, probability (above 0, at most 1),"
    " subjectivity (1-4 or null), response_type, ai_values and human_values, as `vitw review score`"
    " writes them"
)


def _name(value: Any) -> Any:
    """A label may stand in an object, as it does in `extractions`."""
    return value.get("label") if isinstance(value, dict) else value


Label = Annotated[str, BeforeValidator(_name)]


class ReviewedRow(BaseModel):
    """What people said of one conversation."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    conversation_id: Annotated[str, Field(min_length=1)]
    stratum: str | None = None
    probability: Annotated[float, Field(gt=0, le=1)] | None = None
    subjectivity: Annotated[int, Field(ge=1, le=4)] | None
    response_type: ResponseType | None = None
    ai_values: tuple[Label, ...] = ()
    human_values: tuple[Label, ...] = ()

    @model_validator(mode="after")
    def _drawn(self) -> "ReviewedRow":
        if (self.stratum is None) != (self.probability is None):
            raise ValueError("stratum and probability belong together")
        return self


@dataclass(frozen=True)
class ReviewedFile:
    """The rows of a file, in order; `even` if it states no probabilities."""

    address: str
    rows: tuple[ReviewedRow, ...]

    @property
    def even(self) -> bool:
        """Whether the sample was drawn evenly."""
        return self.rows[0].probability is None


def read_reviewed(address: str) -> ReviewedFile:
    """Read a file of reviewed conversations.

    Args:
        address: JSON lines, local or s3://, also compressed (.gz).

    Raises:
        InputError: the file is missing or empty, or a line is not valid. The message gives the
            number of the line and never its content.
    """
    source = f"--reviewed {address}"
    content = read_given(address, "--reviewed", "give the file that `vitw review score` wrote")
    rows = tuple(_rows(content, source))
    if not rows:
        raise InputError(f"{source} holds no conversation", _FIX)
    return ReviewedFile(address, rows)


def reviewed_digest(address: str | None) -> str | None:
    """Hash of what a file says, for the key of the stage; None without a file."""
    if address is None:
        return None
    return content_key({"rows": [row.model_dump() for row in read_reviewed(address).rows]})


def _rows(content: bytes, source: str) -> Iterator[ReviewedRow]:
    line_of: dict[str, int] = {}
    first: ReviewedRow | None = None
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        row = _row(line, f"{source}, line {number}")
        first = first or row
        if (row.probability is None) != (first.probability is None):
            raise InputError(
                f"{source}, line {number}: some lines have a probability, and others have none",
                "give the probability in each line, or in none for a sample drawn evenly",
            )
        earlier = line_of.setdefault(row.conversation_id, number)
        if earlier != number:
            raise InputError(
                f"{source}, line {number}: the conversation of line {earlier} again",
                "give each conversation once, with the labels that people agreed on",
            )
        yield row


def _row(line: bytes, place: str) -> ReviewedRow:
    """Parse one line; a message names the field and never quotes the line."""
    try:
        return ReviewedRow.model_validate(json.loads(line))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "stratum or probability"
        raise InputError(f"{place}: {field} is missing or not valid", _FIX) from None
    except ValueError:
        raise InputError(f"{place} is not valid JSON", _FIX) from None
