"""Who speaks: the role names of logs and data sets, mapped to the four roles.

A name that is in no list is the role of neither user nor assistant. Names are compared without
case, spaces, punctuation and trailing digits: `Assistant (gpt-4)`, `User:` and `human1` are known.
"""

import re
import unicodedata
from functools import lru_cache

from vitw_ray.records import Role

_NAMES: dict[Role, str] = {
    "user": "user human prompter customer client student person me you request question "
    "humanmessage humanmessagechunk human_message "
    "usuario utilisateur benutzer nutzer пользователь 用户 人类 ユーザー 사용자 utente usuário",
    "assistant": "assistant gpt chatgpt bot chatbot ai model bing bard claude gemini grok llm "
    "agent ai_assistant aiassistant response answer aimessage aimessagechunk ai_message "
    "assistant_message copilot deepseek asistente assistente assistent ассистент 助手 机器人 模型 "
    "アシスタント 어시스턴트",
    "system": "system developer root context instruction instructions latest_reminder operator "
    "platform system_message systemmessage session_meta",
    "tool": "tool function function_call_output function_response observation observations ipython "
    "tool_response tool_result tool_results tool_output toolresult toolresponse toolmessage "
    "toolmessagechunk functionmessage environment env computer code_interpreter",
}
_TOOL_CALL = "tool_call tool_calls tool_use toolcall toolcalls function_call functioncall"
_THINKING = "reasoning thinking thought thoughts think analysis reasoning_content chain_of_thought"

_ROLES: dict[str, Role] = {name: role for role, names in _NAMES.items() for name in names.split()}
_CALLS, _THINKS = frozenset(_TOOL_CALL.split()), frozenset(_THINKING.split())
_NAMEABLE = frozenset(
    [
        "narrator",
        "moderator",
        "operator",
        "critic",
        "judge",
        "expert",
        "teacher",
        "reviewer",
        "host",
        "guest",
        "other",
        "unknown",
        "character",
        "speaker",
        "group",
        "channel",
        "admin",
        "supervisor",
        "planner",
        "evaluator",
        "editor",
        "author",
        "none",
    ]
)
"""Roles that a reject names. Others can be names of people, which no reason may show."""

_BETWEEN = re.compile(r"[\s_-]+")
_AFTER = re.compile(r"\s*(?:\(.*\)|\[.*\])?[\s:#>|*.\d]*$", re.DOTALL)
_MAX_CHARS = 60  # ours: role names are short


def role_of(name: object) -> Role | None:
    """The role that a name stands for; None if it is none of the four."""
    if not isinstance(name, str):
        return None
    role = _ROLES.get(name)
    return role or _ROLES.get(_normal(name[:_MAX_CHARS]))


def is_thinking(name: object) -> bool:
    """Whether a message of this role is private reasoning of the assistant."""
    return isinstance(name, str) and _normal(name[:_MAX_CHARS]) in _THINKS


def is_tool_call(name: object) -> bool:
    """Whether a message of this role is a call of a tool by the assistant."""
    return isinstance(name, str) and _normal(name[:_MAX_CHARS]) in _CALLS


def unknown_role(name: object) -> str:
    """The code of a role that is not known: it names the role only where that is a common word."""
    if name is None or name == "":
        return "role_missing"
    normal = _normal(name[:_MAX_CHARS]) if isinstance(name, str) else ""
    return f"role_unknown_{normal}" if normal in _NAMEABLE else "role_unknown"


@lru_cache(4096)
def _normal(name: str) -> str:
    visible = "".join(char for char in name if unicodedata.category(char) not in ("Cf", "Cc", "Cs"))
    return _BETWEEN.sub("_", _AFTER.sub("", visible.strip().lower()).lstrip("<|*#[ "))
