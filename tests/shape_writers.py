"""Planted conversations, written as rows of every shape.

Each writer gives the rows of one conversation as the app, API or data set of that shape writes it.
`HOLDS` says which fields the shape has a place for; branches that the person left are written where
the shape is a tree.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

Row = dict
FIELDS = ("conversation_id", "prompt_id", "account", "model", "language", "source", "created_at")


@dataclass(frozen=True)
class Planted:
    """A conversation; its turns begin with the user and alternate."""

    texts: tuple[str, ...]
    conversation_id: str = "c-1"
    prompt_id: str = "p-1"
    account: str = "a-1"
    model: str = "m-1"
    language: str = "English"
    source: str = "planted"
    created_at: datetime = datetime(2024, 5, 1, 12, tzinfo=UTC)

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(self.texts)]

    @property
    def iso(self) -> str:
        return self.created_at.isoformat()

    @property
    def seconds(self) -> float:
        return self.created_at.timestamp()


def chat(p: Planted, role: str = "role", content: str = "content", **names: str) -> list[Row]:
    return [{role: names.get(who, who), content: text} for who, text in p.turns]


def answered(p: Planted) -> tuple[list[Row], Row]:
    """The messages before the last answer, and the answer."""
    messages = chat(p)
    return messages[:-1], messages[-1]


def linked(p: Planted, name: str, parent: str, root: object = None) -> list[Row]:
    """Messages with ids, and a regenerated answer that is older than the last one."""
    rows = []
    for n, (role, text) in enumerate(p.turns):
        above = f"n{n - 1}" if n else root
        rows.append({name: f"n{n}", parent: above, "role": role, "content": text})
    stale = {**rows[-1], name: "stale", "content": "An answer that was not wanted"}
    return [*rows[:-1], stale, rows[-1]]


def vitw(p: Planted) -> list[Row]:
    row = {name: getattr(p, name) for name in FIELDS if name not in ("account", "created_at")}
    return [{**row, "account_id": p.account, "created_at": p.iso, "messages": chat(p)}]


def openai(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    return [{"id": p.conversation_id, "model": p.model, "messages": messages, "response": answer}]


def wildchat(p: Planted) -> list[Row]:
    turns = [{**turn, "turn_identifier": n} for n, turn in enumerate(chat(p))]
    return [
        {
            "conversation_hash": p.conversation_id,
            "model": p.model,
            "timestamp": p.iso,
            "hashed_ip": p.account,
            "language": p.language,
            "conversation": turns,
        }
    ]


def lmsys(p: Planted) -> list[Row]:
    row = {"conversation_id": p.conversation_id, "model": p.model, "language": p.language}
    return [{**row, "conversation": chat(p)}]


def sharegpt(p: Planted) -> list[Row]:
    turns = chat(p, "from", "value", user="human", assistant="gpt")
    return [{"id": p.conversation_id, "conversations": turns}]


def oasst(p: Planted) -> list[Row]:
    node: Row | None = None
    for role, text in reversed(p.turns):
        name = "prompter" if role == "user" else role
        bad = {"role": name, "text": "worse", "rank": 1, "replies": []}
        below = [{**bad, "role": "assistant" if role == "user" else "prompter"}, node]
        node = {"role": name, "text": text, "rank": 0, "replies": below if node else []}
    assert node is not None
    prompt = {**node, "lang": p.language, "user_id": p.account, "created_date": p.iso}
    return [{"message_tree_id": p.conversation_id, "prompt": prompt}]


def oasst_messages(p: Planted) -> list[Row]:
    rows = []
    for n, (role, text) in enumerate(p.turns):
        name = "prompter" if role == "user" else role
        row = {"message_id": f"{p.conversation_id}-{n}", "role": name, "text": text, "rank": 0}
        above = f"{p.conversation_id}-{n - 1}" if n else None
        about = {"lang": p.language, "user_id": p.account, "created_date": p.iso}
        rows.append({**row, "message_tree_id": p.conversation_id, "parent_id": above, **about})
    worse = {**rows[-1], "message_id": f"{p.conversation_id}-w", "text": "worse", "rank": 1}
    return [*rows, worse]


def hh_rlhf(p: Planted) -> list[Row]:
    named = [("Human" if role == "user" else "Assistant", text) for role, text in p.turns]
    chosen = "".join(f"\n\n{name}: {text}" for name, text in named)
    return [{"chosen": chosen, "rejected": chosen + " Not."}]


def claude_export(p: Planted) -> list[Row]:
    messages = [
        {
            "uuid": row["id"],
            "parent_message_uuid": row["parent"],
            "sender": "human" if row["role"] == "user" else "assistant",
            "text": row["content"],
            "content": [{"type": "text", "text": row["content"], "citations": []}],
            "created_at": f"2024-05-01T12:00:0{n}Z",
        }
        for n, row in enumerate(
            linked(p, "id", "parent", root="00000000-0000-4000-8000-000000000000")
        )
    ]
    row = {"uuid": p.conversation_id, "account": {"uuid": p.account}, "created_at": p.iso}
    return [{**row, "name": "A chat", "chat_messages": messages}]


def chatgpt_export(p: Planted) -> list[Row]:
    mapping: Row = {"root": {"message": None, "parent": None, "children": ["n0"]}}
    for row in linked(p, "id", "parent", root="root"):
        message = {
            "author": {"role": row["role"]},
            "content": {"content_type": "text", "parts": [row["content"]]},
            "metadata": {"model_slug": p.model} if row["role"] == "assistant" else {},
        }
        mapping[row["id"]] = {"message": message, "parent": row["parent"], "children": []}
    about = {"id": p.conversation_id, "create_time": p.seconds}
    return [{**about, "current_node": f"n{len(p.turns) - 1}", "mapping": mapping}]


def deepseek_export(p: Planted) -> list[Row]:
    mapping: Row = {"root": {"id": "root", "parent": None, "children": ["n0"], "message": None}}
    for n, row in enumerate(linked(p, "id", "parent", root="root")):
        kind = "REQUEST" if row["role"] == "user" else "RESPONSE"
        message = {
            "model": p.model,
            "inserted_at": f"2024-05-01T12:00:0{n}Z",
            "fragments": [{"type": kind, "content": row["content"]}],
        }
        node = {"id": row["id"], "parent": row["parent"], "children": [], "message": message}
        mapping[row["id"]] = node
    return [{"id": p.conversation_id, "inserted_at": p.iso, "mapping": mapping}]


def open_webui(p: Planted) -> list[Row]:
    rows = linked(p, "id", "parentId")
    nodes = {row["id"]: {**row, "childrenIds": [], "model": p.model} for row in rows}
    current = f"n{len(p.turns) - 1}"
    history = {"currentId": current, "messages": nodes}
    about = {"id": p.conversation_id, "user_id": p.account, "created_at": int(p.seconds)}
    return [{**about, "chat": {"models": [p.model], "history": history, "messages": chat(p)}}]


def librechat(p: Planted) -> list[Row]:
    below: list[Row] = []
    for n, (role, text) in reversed(list(enumerate(p.turns))):
        node = {
            "messageId": f"n{n}",
            "parentMessageId": f"n{n - 1}" if n else "00000000-0000-0000-0000-000000000000",
            "isCreatedByUser": role == "user",
            "text": text,
            "children": below,
        }
        stale = {**node, "messageId": "stale", "text": "unwanted", "children": []}
        below = [stale, node] if n == len(p.turns) - 1 else [node]
    about = {"conversationId": p.conversation_id, "endpoint": "e", "options": {"model": p.model}}
    return [{**about, "messages": below}]


def chat_ui(p: Planted) -> list[Row]:
    rows = linked(p, "id", "above")
    by_id = {row["id"]: row for row in rows}

    def ancestors(row: Row) -> list[str]:
        above = row["above"]
        return [*ancestors(by_id[above]), above] if above else []

    messages = [
        {"id": r["id"], "from": r["role"], "content": r["content"], "ancestors": ancestors(r)}
        for r in rows
    ]
    about = {"_id": {"$oid": p.conversation_id}, "userId": {"$oid": p.account}, "model": p.model}
    return [{**about, "createdAt": {"$date": p.iso}, "messages": messages}]


def grok_export(p: Planted) -> list[Row]:
    responses = [
        {
            "response": {
                "_id": row["_id"],
                "parent_response_id": row["parent"],
                "sender": "human" if row["role"] == "user" else "ASSISTANT",
                "message": row["content"],
                "model": p.model,
                "create_time": {"$date": {"$numberLong": str(1714564800000 + n)}},
            }
        }
        for n, row in enumerate(linked(p, "_id", "parent"))
    ]
    about = {"id": p.conversation_id, "user_id": p.account, "create_time": p.iso}
    return [{"conversation": about, "responses": responses}]


def ai_studio(p: Planted) -> list[Row]:
    chunks = chat(p, "role", "text", assistant="model")
    return [{"runSettings": {"model": p.model}, "chunkedPrompt": {"chunks": chunks}}]


def gemini_takeout(p: Planted) -> list[Row]:
    asked, told = p.texts[:2]
    return [
        {
            "header": "Gemini Apps",
            "title": f"Prompted {asked}",
            "time": p.iso,
            "safeHtmlItem": [{"html": f"<p>{told}</p>"}],
        }
    ]


def claude_code(p: Planted) -> list[Row]:
    rows: list[Row] = [{"type": "summary", "summary": "A session", "leafUuid": "n1"}]
    for n, row in enumerate(linked(p, "uuid", "parentUuid")):
        message = {"role": row["role"], "content": row["content"]}
        if row["role"] == "assistant":
            message |= {"model": p.model, "content": [{"type": "text", "text": row["content"]}]}
        about = {"sessionId": p.conversation_id, "timestamp": f"2024-05-01T12:00:0{n}Z"}
        link = {"uuid": row["uuid"], "parentUuid": row["parentUuid"]}
        rows.append({"type": row["role"], **link, **about, "message": message})
    return rows


def pairs(p: Planted) -> list[Row]:
    turns = [
        {"human": asked, "assistant": told}
        for asked, told in zip(p.texts[::2], p.texts[1::2], strict=True)
    ]
    return [{"conversation_id": p.conversation_id, "conversation": turns}]


def batch(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    body = {"model": p.model, "messages": messages, "user": p.account}
    response = {"status_code": 200, "body": {"model": p.model, "choices": [{"message": answer}]}}
    return [
        {"custom_id": p.conversation_id, "method": "POST", "url": "/v1", "body": body},
        {"id": "b", "custom_id": p.conversation_id, "response": response, "error": None},
    ]


def helicone(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    about = {"request_id": p.conversation_id, "request_created_at": p.iso}
    return [
        {
            **about,
            "request_user_id": p.account,
            "request_body": {"model": p.model, "messages": messages},
            "response_body": {"choices": [{"message": answer}]},
        }
    ]


def litellm(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    about = {"id": p.conversation_id, "model": p.model, "end_user": p.account}
    response = {"choices": [{"message": answer}]}
    return [{**about, "startTime": p.seconds, "messages": messages, "response": response}]


def request_response(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    told = {"id": p.conversation_id, "type": "message", "role": "assistant"}
    content = [{"type": "text", "text": answer["content"]}]
    request = {"model": p.model, "messages": messages, "metadata": {"user_id": p.account}}
    return [{"request": request, "response": {**told, "content": content}}]


def gemini(p: Planted) -> list[Row]:
    contents = [
        {"role": "user" if role == "user" else "model", "parts": [{"text": text}]}
        for role, text in p.turns
    ]
    return [
        {
            "model": p.model,
            "contents": contents[:-1],
            "response": {"candidates": [{"content": contents[-1]}]},
        }
    ]


def cohere(p: Planted) -> list[Row]:
    history = chat(p, "role", "message", user="USER", assistant="CHATBOT")
    about = {"conversation_id": p.conversation_id, "model": p.model}
    asked, told = p.texts[-2:]
    if len(history) == 2:
        return [{**about, "chat_history": history}]
    return [{**about, "chat_history": history[:-2], "message": asked, "text": told}]


def langsmith(p: Planted) -> list[Row]:
    def stored(role: str, text: str) -> Row:
        name = "HumanMessage" if role == "user" else "AIMessage"
        kwargs = {"content": text, "type": "human" if role == "user" else "ai"}
        return {"lc": 1, "type": "constructor", "id": ["langchain", name], "kwargs": kwargs}

    messages = [stored(*turn) for turn in p.turns]
    told = {"text": p.texts[-1], "message": messages[-1]}
    meta = {"metadata": {"ls_model_name": p.model, "user_id": p.account}}
    about = {"id": p.conversation_id, "run_type": "llm", "start_time": p.iso, "extra": meta}
    return [
        {**about, "inputs": {"messages": [messages[:-1]]}, "outputs": {"generations": [[told]]}}
    ]


def langfuse(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    about = {"id": p.conversation_id, "userId": p.account, "timestamp": p.iso, "model": p.model}
    return [{**about, "input": {"messages": messages}, "output": answer}]


def responses(p: Planted) -> list[Row]:
    items = [
        {"role": role, "content": [{"type": "input_text", "text": text}]} for role, text in p.turns
    ]
    told = {"type": "message", "role": "assistant"}
    output = [{**told, "content": [{"type": "output_text", "text": p.texts[-1]}]}]
    about = {"id": p.conversation_id, "object": "response", "model": p.model, "user": p.account}
    return [{**about, "created_at": p.seconds, "input": items[:-1], "output": output}]


def otel(p: Planted) -> list[Row]:
    def told(turns: list[tuple[str, str]]) -> Row:
        messages = [
            {"role": role, "parts": [{"type": "text", "content": text}]} for role, text in turns
        ]
        return {"stringValue": json.dumps(messages)}

    attributes = [
        {"key": "gen_ai.request.model", "value": {"stringValue": p.model}},
        {"key": "gen_ai.conversation.id", "value": {"stringValue": p.conversation_id}},
        {"key": "user.id", "value": {"stringValue": p.account}},
        {"key": "gen_ai.input.messages", "value": told(p.turns[:-1])},
        {"key": "gen_ai.output.messages", "value": told(p.turns[-1:])},
    ]
    nanoseconds = str(int(p.seconds) * 1_000_000_000)
    span = {"traceId": "t", "spanId": "s", "startTimeUnixNano": nanoseconds}
    return [{**span, "attributes": attributes}]


def vllm_log(p: Planted) -> list[Row]:
    prompt = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in p.turns[:-1])
    prompt += "<|im_start|>assistant\n"
    about = {"request_id": p.conversation_id, "params": "SamplingParams(n=1)"}
    return [{**about, "prompt": prompt, "outputs": [{"text": p.texts[-1]}]}]


def inspect(p: Planted) -> list[Row]:
    messages = [{"id": f"n{n}", "source": "s", **turn} for n, turn in enumerate(chat(p))]
    output = {"model": p.model, "choices": []}
    return [{"id": p.prompt_id, "epoch": 1, "input": "x", "messages": messages, "output": output}]


def assistants(p: Planted) -> list[Row]:
    rows = [
        {
            "id": f"msg_{n}",
            "object": "thread.message",
            "thread_id": p.conversation_id,
            "role": role,
            "created_at": int(p.seconds) + n,
            "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        }
        for n, (role, text) in enumerate(p.turns)
    ]
    return rows[::-1]


def message_rows(p: Planted) -> list[Row]:
    about = {"conversation_id": p.conversation_id, "model": p.model, "user_id": p.account}
    return [
        {**about, "turn": n, "role": role, "content": text, "created_at": p.iso}
        for n, (role, text) in enumerate(p.turns)
    ][::-1]


def preference(p: Planted) -> list[Row]:
    messages, answer = answered(p)
    worse = [{"role": "assistant", "content": "worse"}]
    return [{"id": p.conversation_id, "prompt": messages, "chosen": [answer], "rejected": worse}]


def moss(p: Planted) -> list[Row]:
    turns = {
        f"turn_{n}": {
            "Human": f"<|Human|>: {asked}<eoh>\n",
            "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
            "Commands": "<|Commands|>: None<eoc>\n",
            "MOSS": f"<|MOSS|>: {told}<eom>\n",
        }
        for n, (asked, told) in enumerate(zip(p.texts[::2], p.texts[1::2], strict=True), 1)
    }
    return [{"conversation_id": p.conversation_id, "num_turns": len(turns), "chat": turns}]


def several_answers(p: Planted) -> list[Row]:
    asked, told = p.texts[:2]
    by_name = {p.model: told, OTHER_MODEL: "Another answer."}
    completions = [
        {
            "annotations": {"honesty": {"Rating": "5", "Rationale": "It is."}},
            "custom_system_prompt": "Be honest.",
            "model": model,
            "overall_score": 7.5,
            "response": response,
        }
        for model, response in by_name.items()
    ]
    about = {"id": p.prompt_id, "source": "evol_instruct", "models": list(by_name)}
    return [{**about, "instruction": asked, "completions": completions}]


def alpaca(p: Planted) -> list[Row]:
    asked, told = p.texts[:2]
    return [{"instruction": asked, "input": "", "output": told}]


def prompt_response(p: Planted) -> list[Row]:
    asked, told = p.texts[:2]
    about = {"id": p.conversation_id, "model": p.model, "created_at": p.iso}
    return [{**about, "prompt": asked, "response": told}]


def dialogue(p: Planted) -> list[Row]:
    row = {"id": p.conversation_id, "user_id": p.account, "model": p.model, "dialogue": chat(p)}
    return [{**row, "language": p.language, "created_at": p.iso}]


WRITERS: dict[str, Callable[[Planted], list[Row]]] = {
    "vitw": vitw,
    "openai": openai,
    "wildchat": wildchat,
    "lmsys": lmsys,
    "sharegpt": sharegpt,
    "oasst": oasst,
    "oasst-messages": oasst_messages,
    "hh-rlhf": hh_rlhf,
    "claude-export": claude_export,
    "chatgpt-export": chatgpt_export,
    "deepseek-export": deepseek_export,
    "open-webui": open_webui,
    "librechat": librechat,
    "chat-ui": chat_ui,
    "grok-export": grok_export,
    "ai-studio": ai_studio,
    "gemini-takeout": gemini_takeout,
    "claude-code": claude_code,
    "moss": moss,
    "pairs": pairs,
    "batch": batch,
    "helicone": helicone,
    "litellm": litellm,
    "request-response": request_response,
    "gemini": gemini,
    "cohere": cohere,
    "langsmith": langsmith,
    "langfuse": langfuse,
    "responses": responses,
    "otel": otel,
    "vllm-log": vllm_log,
    "inspect": inspect,
    "assistants": assistants,
    "message-rows": message_rows,
    "several-answers": several_answers,
    "preference": preference,
    "alpaca": alpaca,
    "prompt-response": prompt_response,
    "dialogue": dialogue,
}
OTHER_MODEL = "other-model"
"""Has answered the same prompt, in shapes whose rows hold several answers."""
ONE_EXCHANGE = {"gemini-takeout", "several-answers", "alpaca", "prompt-response"}
"""Shapes whose rows hold one question and its answer."""

_WHOLE = "conversation_id account model created_at"
HOLDS: dict[str, str] = {
    "vitw": " ".join(FIELDS),
    "openai": "conversation_id model",
    "wildchat": f"{_WHOLE} language",
    "lmsys": "conversation_id model language",
    "sharegpt": "conversation_id",
    "oasst": "conversation_id account language created_at",
    "oasst-messages": "conversation_id account language created_at",
    "hh-rlhf": "",
    "claude-export": "conversation_id account created_at",
    "chatgpt-export": "conversation_id model created_at",
    "deepseek-export": "conversation_id model created_at",
    "open-webui": _WHOLE,
    "librechat": "conversation_id model",
    "chat-ui": _WHOLE,
    "grok-export": _WHOLE,
    "ai-studio": "model",
    "gemini-takeout": "created_at",
    "claude-code": "conversation_id model created_at",
    "moss": "conversation_id",
    "pairs": "conversation_id",
    "batch": "conversation_id account model",
    "helicone": _WHOLE,
    "litellm": _WHOLE,
    "request-response": "conversation_id account model",
    "gemini": "model",
    "cohere": "conversation_id model",
    "langsmith": _WHOLE,
    "langfuse": _WHOLE,
    "responses": _WHOLE,
    "otel": _WHOLE,
    "vllm-log": "conversation_id",
    "inspect": "prompt_id model",
    "assistants": "conversation_id created_at",
    "message-rows": _WHOLE,
    "several-answers": "prompt_id model",
    "preference": "conversation_id",
    "alpaca": "",
    "prompt-response": "conversation_id model created_at",
    "dialogue": "conversation_id account model language created_at",
}
TREES = {
    *("claude-export", "chatgpt-export", "deepseek-export", "open-webui", "librechat", "chat-ui"),
    *("grok-export", "claude-code"),
}
"""Shapes that keep an answer that was asked for anew."""
