"""Turns of rows that are documents rather than lists of messages: exports of chat apps and trees.

Each function gets a row and the counter of repairs, and returns what `Told` holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from vitw_ray.conversations.branches import follow, newest_branch
from vitw_ray.conversations.fields import Raw, Repairs, RowRejected, Turn, read_id
from vitw_ray.conversations.forms import listed
from vitw_ray.conversations.messages import read_turns, said
from vitw_ray.conversations.paths import at, first, paths
from vitw_ray.conversations.prompts import transcript_turns
from vitw_ray.marks import ATTACHMENT, SYSTEM_MESSAGE, THINKING, TOOL_CALL
from vitw_ray.records import Role


@dataclass
class Told:
    """The turns of a row, and fields that only its messages name."""

    turns: list[Turn]
    regenerated: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


def chatgpt(raw: Raw, repairs: Repairs) -> Told:
    """A conversation of a ChatGPT data export: the branch of `current_node`."""
    nodes = raw.get("mapping")
    if nodes is None:
        raise RowRejected("messages_missing")
    if not isinstance(nodes, dict):
        raise RowRejected("messages_wrong_type")
    nodes = {name: node for name, node in nodes.items() if isinstance(node, dict)}
    parents = {name: node.get("parent") for name, node in nodes.items()}

    def message_of(name: str) -> Raw:
        message = nodes[name].get("message")
        return message if isinstance(message, dict) else {}

    path = newest_branch(parents, raw.get("current_node"), message_of, repairs)
    turns: list[Turn] = []
    model = raw.get("default_model_slug")
    for message in filter(None, map(message_of, path)):
        metadata = message.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        if not metadata.get("is_visually_hidden_from_conversation"):
            turns += _chatgpt_turn(message, repairs)
            model = metadata.get("model_slug") or model
    elsewhere = sum(bool(message_of(name)) for name in nodes.keys() - set(path))
    return Told(turns, elsewhere, {"model": model})


def _chatgpt_turn(message: Raw, repairs: Repairs) -> list[Turn]:
    author, content = message.get("author"), message.get("content")
    role = author.get("role") if isinstance(author, dict) else None
    kind = content.get("content_type") if isinstance(content, dict) else None
    if kind in ("user_editable_context", "model_editable_context"):
        return [("system", SYSTEM_MESSAGE)]  # custom instructions and memory have other roles here
    if message.get("recipient") not in ("all", None):
        words: Any = TOOL_CALL
    elif kind in ("thoughts", "reasoning_recap"):
        words = THINKING
    elif isinstance(content, dict):
        words = content.get("parts", content.get("text"))
    else:
        repairs["part_unknown"] += 1
        words = ATTACHMENT
    return read_turns([{"role": role, "content": words}], repairs)


def deepseek(raw: Raw, repairs: Repairs) -> Told:
    """A conversation of a DeepSeek export; messages of the older one take turns and name nobody."""
    nodes = raw.get("mapping")
    if not isinstance(nodes, dict):
        raise RowRejected("messages_missing" if nodes is None else "messages_wrong_type")
    branch, elsewhere = follow(list(nodes.values()), raw.get("current_node"), repairs)
    told = [node.get("message") for node in branch if isinstance(node, dict)]
    spoken = [message for message in told if isinstance(message, dict)]
    named = [
        message if "fragments" in message else {"role": ("user", "assistant")[n % 2], **message}
        for n, message in enumerate(spoken)
    ]
    models = (message.get("model") for message in reversed(spoken))
    model = next((name for name in models if isinstance(name, str) and name), None)
    return Told(read_turns(named, repairs), elsewhere, {"model": model})


def oasst(raw: Raw, repairs: Repairs) -> Told:
    """An OpenAssistant tree: from the prompt along the best-ranked reply of each turn.

    Rank 0 is the best; if no reply is ranked, the first is taken. People wrote both sides, so
    there is no assistant model.
    """
    prompt = raw.get("prompt")
    if prompt is None:
        raise RowRejected("messages_missing")
    if not isinstance(prompt, dict):
        raise RowRejected("messages_wrong_type")
    path: list[Raw] = []
    node: Raw | None = prompt
    while node is not None:
        path.append(node)
        replies = node.get("replies")
        replies = replies if isinstance(replies, list) else []
        node = min(filter(_is_object, replies), key=_rank, default=None)
    return Told(read_turns(path, repairs))


def oasst_flat(raw: Raw, repairs: Repairs) -> Told:
    """The messages of an OpenAssistant tree, each of which was a row."""
    rows = [row for row in raw.get("messages", [raw]) if isinstance(row, dict)]
    replies: dict[Any, list[Raw]] = {}
    for row in rows:
        parent = row.get("parent_id")
        replies.setdefault(parent if isinstance(parent, str) else None, []).append(row)
    path: list[Raw] = []
    node = min(replies.get(None, []), key=_rank, default=None)
    while node is not None and len(path) < len(rows):
        path.append(node)
        name = node.get("message_id")
        found = replies.get(name, []) if isinstance(name, str) else []
        node = min(found, key=_rank, default=None)
    root = path[0] if path else {}
    fields = {"account": root.get("user_id"), "created_at": root.get("created_date")}
    return Told(read_turns(path, repairs), fields=fields)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _rank(reply: Raw) -> float:
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) and rank == rank else float("inf")


def hh_rlhf(raw: Raw, repairs: Repairs) -> Told:
    """A row of Anthropic's hh-rlhf: the transcript chosen by the rater."""
    chosen = raw.get("chosen")
    if chosen is None:
        raise RowRejected("messages_missing")
    if not isinstance(chosen, str):
        raise RowRejected("messages_wrong_type")
    return Told(transcript_turns(chosen, repairs))


def alpaca(raw: Raw, repairs: Repairs) -> Told:
    """An instruction, often with an input, and its output."""
    asked = [raw.get("instruction"), raw.get("input")]
    question = "\n\n".join(text for text in asked if isinstance(text, str) and text)
    turns = [said("user", question, repairs), said("assistant", raw.get("output"), repairs)]
    return Told(earlier_pairs(raw, repairs) + turns)


_MOSS_TURN = re.compile(r"\[(Human|MOSS)\]: (.*?)(?:<eo[ah]>|\Z)", re.DOTALL)
_MOSS_MARKS = re.compile(r"\A<\|(?:Human|MOSS)\|>: ?|(?:<eo[hma]>)?\s*\Z")


def moss(raw: Raw, repairs: Repairs) -> Told:
    """The original data of MOSS: numbered turns with inner thoughts, or one text."""
    chat = raw.get("chat")
    if isinstance(chat, dict):
        told = [chat[name] for name in sorted(chat, key=lambda name: (len(name), name))]
    else:
        found = _MOSS_TURN.findall(str(raw.get("plain_text") or ""))
        told = [{name: words} for name, words in found]
    if not told:
        raise RowRejected("messages_missing")
    turns: list[Turn] = []
    speakers: tuple[tuple[str, Role], ...] = (("Human", "user"), ("MOSS", "assistant"))
    for turn in filter(_is_object, told):
        for name, role in speakers:
            if isinstance(turn.get(name), str):
                turns.append(said(role, _MOSS_MARKS.sub("", turn[name]), repairs))
    return Told(turns)


def earlier_pairs(raw: Raw, repairs: Repairs) -> list[Turn]:
    """Earlier questions and answers: a list of pairs beside the last one."""
    pairs = raw.get("history")
    return [
        said(role, text, repairs)
        for pair in (pairs if isinstance(pairs, list) else [])
        if isinstance(pair, list)
        for role, text in zip(("user", "assistant"), pair, strict=False)
        if isinstance(text, str) and text
    ]


def ai_studio(raw: Raw, repairs: Repairs) -> Told:
    """A prompt that Google AI Studio saved."""
    prompt = raw.get("chunkedPrompt")
    chunks = prompt.get("chunks") if isinstance(prompt, dict) else None
    if not isinstance(chunks, list):
        raise RowRejected("messages_missing")
    messages = [
        {**chunk, "content": THINKING}
        if isinstance(chunk, dict) and chunk.get("isThought")
        else chunk
        for chunk in chunks
    ]
    return Told(read_turns(messages, repairs))


class _Text(HTMLParser):
    """The text of a page, with a line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "br", "div", "pre", "tr", "h1", "h2", "h3"):
            self.text.append("\n")


_PROMPTED = re.compile(r"\APrompted ", re.IGNORECASE)


def gemini_takeout(raw: Raw, repairs: Repairs) -> Told:
    """An activity of Gemini Apps in a Google Takeout: one question and its answer."""
    title, items = raw.get("title"), raw.get("safeHtmlItem")
    if not (isinstance(title, str) and _PROMPTED.match(title)):
        raise RowRejected("not_a_conversation")
    page = _Text()
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("html"), str):
            try:
                page.feed(item["html"])
            except AssertionError:  # a declaration that the parser does not know
                repairs["part_unknown"] += 1
    answer = re.sub(r"\n{3,}", "\n\n", "".join(page.text)).strip()
    asked = _PROMPTED.sub("", title)
    return Told([said("user", asked, repairs), said("assistant", answer, repairs)])


def claude_code(raw: Raw, repairs: Repairs) -> Told:
    """A session of Claude Code, each entry of which was a row."""
    entries = raw.get("messages", [raw])
    chain = [
        e for e in entries if isinstance(e, dict) and e.get("uuid") and not e.get("isSidechain")
    ]
    if not chain:
        raise RowRejected("not_a_conversation")  # a summary, or a snapshot of files
    branch, elsewhere = follow(chain, None, repairs)
    spoken = [e for e in branch if e.get("type") in ("user", "assistant") and not e.get("isMeta")]
    models = [_written_by(entry) for entry in spoken]
    model = next((name for name in reversed(models) if name), None)
    return Told(read_turns(spoken, repairs), elsewhere, {"model": model})


def _written_by(entry: Mapping[str, Any]) -> str | None:
    """The model that wrote an entry; placeholders of the app are in angle brackets."""
    message = entry.get("message")
    model = message.get("model") if isinstance(message, dict) else None
    return model if isinstance(model, str) and not model.startswith("<") else None


def lmsys(raw: Raw, repairs: Repairs) -> Told:
    """LMSYS-Chat-1M, and battles of the Chatbot Arena and its successors.

    From a battle the first conversation is taken, with the id `<question>:a`. The Arena assigns
    sides at random, so this favours no assistant. Taking the winner would be a biased sample.
    """
    whole = listed(raw.get("conversation"))
    messages = listed(raw.get("conversation_a")) if whole is None else whole
    if messages is None:
        raise RowRejected("messages_missing")
    if not isinstance(messages, list):
        raise RowRejected("messages_wrong_type")
    turns = read_turns(messages, repairs)
    if whole is not None:
        return Told(turns)
    name = first(raw, paths("question_id id conversation_pair_id"))
    battle = read_id(name, "id", repairs)
    return Told(turns, 0, {"conversation_id": battle and f"{battle}:a", "prompt_id": battle})


def grok(raw: Raw, repairs: Repairs) -> Told:
    """A conversation of a Grok export; the whole export is one row only if it holds one."""
    several = raw.get("conversations")
    if isinstance(several, list) and len(several) > 1:
        raise RowRejected("several_conversations")
    entry = several[0] if isinstance(several, list) and several else raw
    entry = entry if isinstance(entry, dict) else {}
    messages = entry.get("responses")
    if not isinstance(messages, list):
        raise RowRejected("messages_missing" if messages is None else "messages_wrong_type")
    branch, elsewhere = follow(messages, None, repairs)
    models = [at(message, ("response", "model")) for message in reversed(branch)]
    about = entry.get("conversation")
    about = about if isinstance(about, dict) else {}
    fields = {
        "conversation_id": about.get("id"),
        "account": about.get("user_id"),
        "model": next((model for model in models if model), None),
        "created_at": about.get("create_time"),
        "updated_at": about.get("modify_time"),
    }
    return Told(read_turns(branch, repairs), elsewhere, fields)
