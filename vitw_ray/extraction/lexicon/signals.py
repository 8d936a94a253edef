"""Signals of the assistant's replies (0-1): evidence of values and of the response type."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vitw_ray.extraction.lexicon.evidence import Turn
from vitw_ray.extraction.lexicon.situation import Situation

_LONG, _SHORT = 120, 60  # ours, in words: usual replies are between these
_REPLY_CUES = (
    "refuses", "examples", "balanced", "cites", "empathizes", "stance", "alternatives", "praises",
    "overpraise", "jokes", "corrects", "moralizes", "agrees", "hostile", "persona", "letter",
    "reflects", "unsure", "ai_identity", "apologizes", "thanks", "offers_help", "eager", "greets",
    "warns", "affirms", "accommodates", "notes", "reframes", "doubts",
)  # fmt: skip
_REQUEST_CUES = (
    "format_request", "constraints", "feelings", "selfharm", "roleplay", "fiction", "poem",
    "compare", "explain", "howto", "rewrite", "translate", "summarize", "essay", "troubleshoot",
)  # fmt: skip
_REQUEST_TURNS = 3  # ours: the first user turns hold the request; later ones discuss the work
_HARMS = ("violence", "crime", "deceit", "spying", "hate", "hatejoke")


@dataclass(frozen=True, slots=True)
class Replies:
    """Shares (0-1) of the assistant's replies to user turns, by kind of reply."""

    refuse: float
    deflect: float  # with a question or a change of subject
    warn: float
    comply: float
    eager: float
    count: int


def read_replies(turns: Sequence[Turn]) -> Replies:
    """Classify each reply as the first of refuse, deflect, warn that applies, else comply."""
    sorted_: Counter[str] = Counter()
    asked = False
    for turn in turns:
        if turn.speaker == "assistant" and asked:
            sorted_["eager"] += turn.cues["eager"] > 0
            sorted_["count"] += 1
            if turn.cues["refuses"]:
                sorted_["refuse"] += 1
            elif turn.cues["deflects"] or turn.asks:
                sorted_["deflect"] += 1
            else:
                sorted_["warn" if turn.cues["warns"] else "comply"] += 1
        asked = asked or turn.speaker == "user"
    count = max(sorted_["count"], 1)
    shares = {
        name: sorted_[name] / count for name in ("refuse", "deflect", "warn", "comply", "eager")
    }
    return Replies(**shares, count=sorted_["count"])


def read_signals(turns: Sequence[Turn], situation: Situation, replies: Replies) -> dict[str, float]:
    """All signals of a conversation; missing ones are 0."""
    own = [turn for turn in turns if turn.speaker == "assistant"]
    asked = [turn for turn in turns if turn.speaker == "user"]
    if not own:
        return {}
    signals = _form_signals(own)
    cues = Counter(cue for turn in own for cue in turn.cues)
    signals["promises_privacy"] = float(cues["promises_privacy"] > 0)
    if situation.interview:
        return signals | {"interview": 1.0, "short_reply": 0.0}
    signals |= {name: min(1.0, 1.5 * cues[name] / len(own)) for name in _REPLY_CUES}
    wishes = {cue for turn in asked[:_REQUEST_TURNS] for cue in turn.cues}
    signals |= {name: float(name in wishes) for name in _REQUEST_CUES}
    signals["edits"] = min(1.0, sum(turn.cues["edits"] > 0 for turn in asked[1:]) / 2)
    signals["asks_back"] = min(
        1.0, 1.2 * sum(turn.asks and not turn.cues["offers_help"] for turn in own) / len(own)
    )
    signals["steps+howto"] = signals["steps"] * signals["howto"]
    signals["definition"] = float("explain" in wishes) * signals["short_reply"]
    signals["single_turn_short"] = signals["short_reply"] * (len(own) == 1)
    signals |= {f"kind_{kind}": weight for kind, weight in situation.kinds.items()}
    return signals | _harm_signals(own, asked, situation.harm, replies)


def _form_signals(own: Sequence[Turn]) -> dict[str, float]:
    forms = Counter(form for turn in own for form in turn.forms)
    words = sum(turn.words for turn in own) / len(own)
    return {
        **{
            name: min(1.0, 1.5 * forms[name] / len(own))
            for name in ("steps", "bullets", "headings", "code", "table", "formula")
        },
        "long_reply": min(1.0, max(0.0, (words - _LONG) / 250)),
        "short_reply": min(1.0, max(0.0, (_SHORT - words) / 40)),
    }


def _harm_signals(
    own: Sequence[Turn], asked: Sequence[Turn], harm: float, replies: Replies
) -> dict[str, float]:
    resisted = min(1.0, 1.5 * replies.refuse + 0.7 * replies.warn)
    complied = replies.comply * (1 - replies.refuse)
    mixed = 0 < replies.comply < 1
    questioned = sum(turn.cues["questions_motive"] > 0 for turn in own) / len(own)
    about = {cue for turn in asked for cue in turn.cues}
    return {
        "harm_refused": harm * min(1.0, 1.5 * replies.refuse),
        "harm_deflected": harm * min(1.0, replies.deflect + 0.7 * replies.warn),
        "harm_questioned": harm * min(1.0, 2 * questioned),
        "harm_complied": harm * complied,
        "harm_eager": harm * replies.comply * min(1.0, 2 * replies.eager),
        "harm_mixed": harm * mixed,
        "overcautious": (1 - harm) * replies.refuse,
        "lawless": harm * ("crime" in about),
        **{f"{name}_complied": harm * (name in about) * replies.comply for name in _HARMS},
        **{f"{name}_refused": harm * (name in about) * resisted for name in _HARMS},
    }
