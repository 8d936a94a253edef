"""When a conversation took place: one moment from the many forms in which logs write it.

A year outside 2015 to next year is no date of a chat with an assistant: it comes from a wrong unit
or a placeholder, and is never corrected to another year.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

FIRST_YEAR = 2015  # ours: years before the first data set of chats with a language model
_PAST_YEAR = 2025  # ours: up to here no clock is needed
_MAX_CHARS = 80  # ours: the long form of a browser's date has about 70 characters
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,12})?(?:[eE]\+?\d{1,2})?")
_NAMED_ZONE = re.compile(r"(?<=\d|Z)\[[\w+/-]{1,40}\]$")  # of Java, behind the offset
_OFFSET = re.compile(r"\s+(?:UTC|GMT|Z)$|\s+(?=[+-]\d\d:?\d\d$)")
_HAS_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_BROWSER = re.compile(r"\w{3} (\w{3} \d{1,2} \d{4} \d\d:\d\d:\d\d) GMT([+-]\d{4})(?: \(.*\))?")
# ours: the end of each unit as seconds is after the year 5000
_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (float("inf"), 1_000_000_000))
_WRAPPED = ("$date", "$numberLong", "$numberInt", "$numberDouble", "seconds", "_seconds")


class TimeUnreadable(ValueError):
    """The value is no moment; `kind` says why, as a repair is counted."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def read_time(value: Any) -> datetime | None:
    """The moment in UTC; a time without a zone is taken as UTC. Null means unknown.

    Reads epoch seconds, milli-, micro- and nanoseconds as a number or as text, ISO 8601, RFC 2822,
    dates of browsers and of databases, and Python's own types.

    Raises:
        TimeUnreadable: nothing else is raised.
    """
    if value is None or value == "":
        return None
    try:
        moment = _plain_iso(value) or _moment(value)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        raise TimeUnreadable("time_unreadable") from None
    year = moment.year
    if year < FIRST_YEAR or (year > _PAST_YEAR and year > datetime.now(UTC).year + 1):
        raise TimeUnreadable("time_out_of_range")
    return moment


def _plain_iso(value: Any) -> datetime | None:
    """Nearly all times: ISO 8601 with its first dash, which no number has there."""
    if type(value) is not str or value[4:5] != "-" or len(value) > _MAX_CHARS:
        return None
    try:
        return _utc(datetime.fromisoformat(value))
    except ValueError:
        return None


def _moment(value: Any) -> datetime:
    for _ in range(3):  # {"$date": {"$numberLong": "..."}}
        if isinstance(value, dict):
            value = next((value[key] for key in _WRAPPED if key in value), None)
    if isinstance(value, str):
        return _text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    if isinstance(value, datetime):  # rebuilt, because a pandas Timestamp is a datetime subclass
        return _utc(datetime.combine(value.date(), value.time(), value.tzinfo))
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(value: int | float) -> datetime:
    unit = next((unit for limit, unit in _UNITS if abs(value) <= limit), 0)
    if not unit:  # NaN
        raise ValueError
    if unit > 1_000 and isinstance(value, int):  # exact, which a float is not
        return _EPOCH + timedelta(microseconds=value // (unit // 1_000_000))
    return datetime.fromtimestamp(value / unit if unit > 1 else value, UTC)


def _text(text: str) -> datetime:
    if len(text) > _MAX_CHARS:
        raise ValueError
    if _NUMBER.fullmatch(text):
        if len(text) == 8 and text.startswith(("19", "20")):  # 20240501, as seconds in 1970
            return _utc(datetime.fromisoformat(text))
        return _number(float(text) if not text.lstrip("+-").isdecimal() else int(text))
    for parse in (_iso, _browser, parsedate_to_datetime):
        moment = _tried(parse, text)
        if moment is not None:
            return _utc(moment)
    raise ValueError


def _tried(parse: Callable[[str], datetime], text: str) -> datetime | None:
    try:
        return parse(text)
    except (ValueError, TypeError, IndexError):
        return None


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # `2024-05-01 12:00:00 UTC` and `... +0000` of databases, `2024/05/01`
        text = _with_offset_only(text)
        return datetime.fromisoformat(_OFFSET.sub("", text.replace("/", "-"), count=1))


def _with_offset_only(text: str) -> str:
    """`2024-05-01T12:00+02:00[Europe/Berlin]` of Java without the name of its zone."""
    plain = _NAMED_ZONE.sub("", text)
    return plain if plain == text or _HAS_OFFSET.search(plain) else text


def _browser(text: str) -> datetime:
    found = _BROWSER.fullmatch(text)
    if not found:
        raise ValueError
    return datetime.strptime(" ".join(found.groups()), "%b %d %Y %H:%M:%S %z")
