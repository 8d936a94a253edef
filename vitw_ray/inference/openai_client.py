"""The client of an OpenAI-compatible server: how it is set up, what its answers and errors mean."""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vitw_ray.errors import ConfigError
from vitw_ray.inference.language_model import Completion, ModelFailure

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAIError
    from openai.types.chat import ChatCompletion

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_S = 10.0  # ours: a host that is there accepts within a round trip, or a few when it is busy
MAX_RETRIES = 12  # ours: the client waits 0.5 to 8 s between two, so a rate limit's minute passes


def make_client(url: str) -> "AsyncOpenAI":
    """A client for any number of requests at once; asks again by itself, as Retry-After says.

    Raises:
        ConfigError: its package is not installed.
    """
    try:
        import openai
        from httpx2 import Limits  # openai's own HTTP client
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--extractor openai needs the package {error.name}",
            "pip install '.[server]': it brings openai",
        ) from None
    return openai.AsyncOpenAI(
        base_url=url,
        api_key=os.environ.get(KEY_VARIABLE, "").strip() or "none",  # a local server wants none
        max_retries=MAX_RETRIES,
        # The whole of a request is timed from outside, retries included.
        timeout=openai.Timeout(None, connect=CONNECT_S),
        # By default 100 connections outlive their request; each further one would be made anew.
        http_client=openai.DefaultAsyncHttpxClient(
            limits=Limits(max_connections=None, max_keepalive_connections=None)
        ),
    )


def without_secrets(url: str) -> str:
    """The address itself, which logs and manifests will show.

    Raises:
        ConfigError: it is none, or has a place where keys are put.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("--server-url is no http address", "write http://host:port/v1")
    if "@" in parts.netloc or parts.query:
        raise ConfigError(
            "--server-url holds a password or a query", f"give the key in {KEY_VARIABLE} alone"
        )
    return url


def completion_of(response: "ChatCompletion") -> Completion:
    """What was written, and its cost; a server may leave out whatever it likes.

    Raises:
        ModelFailure: `refused`, or `server_refused_request` when this is no completion.
    """
    try:
        choice, usage = response.choices[0], response.usage
        refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
        details = usage.prompt_tokens_details if usage else None
        completion = Completion(
            text=choice.message.content or "",
            cut=choice.finish_reason == "length",
            prompt_tokens=(usage.prompt_tokens or 0) if usage else 0,
            output_tokens=(usage.completion_tokens or 0) if usage else 0,
            cached_tokens=(details.cached_tokens or 0) if details else 0,
        )
    except (AttributeError, LookupError, TypeError):  # the client does not check what it got
        completion, refused = None, False
    if refused or completion is None:
        raise ModelFailure("refused" if refused else "server_refused_request")
    return completion


def failure_code(error: "OpenAIError") -> str:
    """Code of a failed request; the client has asked again after 408, 409, 429 and 5xx."""
    status = getattr(error, "status_code", 500)
    for_good = 400 <= status < 500 and status not in (408, 409, 429)
    return "server_refused_request" if for_good else "server_unreachable"


def wrong_key(url: str) -> ConfigError:
    """The server wants another key."""
    return ConfigError(
        f"the server at {url} does not accept the key in {KEY_VARIABLE}",
        f"set {KEY_VARIABLE} where the extractor's actors run",
    )


def start_problem(error: Exception, url: str, model: str | None) -> ConfigError:
    """Why no run can start, without a word of what the server said."""
    import openai

    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return wrong_key(url)
    if isinstance(error, openai.NotFoundError):
        return ConfigError(
            f"the server at {url} does not know the model {model} (404)",
            "check --model, and --server-url, which ends in /v1 for most servers",
        )
    if isinstance(error, openai.APIStatusError):
        return ConfigError(
            f"the server at {url} answers a plain request with status {error.status_code}",
            "look into its log; check --model and --sampling-kwargs",
        )
    if isinstance(error, openai.APIConnectionError):
        return ConfigError(f"no server answers at {url}", "start it first, or correct --server-url")
    kind = "nothing in time" if isinstance(error, TimeoutError) else "something else"
    return ConfigError(
        f"the server at {url} was asked for a chat completion and gave {kind}",
        "check --server-url, --model and --request-timeout-s",
    )
