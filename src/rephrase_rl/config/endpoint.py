"""A model behind an OpenAI-compatible endpoint, as a user's YAML file describes it.

Used for judges and teachers alike. The key itself never stands here: a configuration is written
into every run directory.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from rephrase_rl.config.base import ConfigModel, PlainMapping

Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0.0)]
Money = Annotated[float, Field(ge=0.0)]

_ENVIRONMENT_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


class BudgetConfig(ConfigModel):
    """What a process may spend on an endpoint. Replies from the cache are free.

    A request is sent only if its upper bound (one token per byte of the conversation, and its token
    limit in full) still fits beside what is spent and under way. A reply is then charged as the
    endpoint counts it, a request that was cut off or lost with its upper bound, and one that was
    refused with no tokens.
    """

    requests: Count | None = None
    """Most requests; repeated attempts at one count once. null: no limit."""
    tokens: Count | None = None
    """Most tokens, prompts and replies together. null: no limit."""
    cost: Annotated[float, Field(gt=0.0)] | None = None
    """Most money, in the currency of the prices; needs both of them. null: no limit."""
    input_price: Money | None = None
    """Price of a million prompt tokens. null: costs are not counted."""
    output_price: Money | None = None
    """Price of a million tokens of replies."""

    @model_validator(mode="after")
    def _prices_belong_together(self) -> Self:
        prices = (self.input_price, self.output_price)
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError(
                f"found input_price {self.input_price} and output_price {self.output_price}; "
                "required: both or none; do this: add the other one (0 if it is free)"
            )
        if self.cost is not None and None in prices:
            raise ValueError(
                f"found cost {self.cost} without prices; required: input_price and output_price; "
                "do this: add them, per million tokens"
            )
        return self


class EndpointConfig(ConfigModel):
    """A model behind an OpenAI-compatible endpoint (chat completions)."""

    base_url: str
    """Address up to the version, such as ``https://api.example.com/v1``."""
    model: Annotated[str, Field(min_length=1)]
    """Name of the model at the endpoint."""
    api_key_env: str | None = None
    """NAME of the environment variable that holds the key, in capitals; never the key. null: the
    endpoint needs none."""
    concurrency: Count = 8
    """Requests under way at a time."""
    max_retries: Annotated[int, Field(ge=0)] = 4
    """Attempts after the first one, for status 408, 409, 429 and 5xx, lost connections and
    time-outs; pauses grow from 0.5 to 8 seconds, or are as long as the endpoint asks for."""
    timeout_s: Seconds = 60.0
    """Seconds that an attempt waits for the endpoint before it is given up."""
    request_limit_s: Seconds = 300.0
    """Wall-clock limit of one request in seconds, all attempts and pauses included."""
    batch_limit_s: Seconds | None = None
    """Wall-clock limit of one batch of requests in seconds; what is not done then has status
    timeout. null: no limit."""
    token_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105  (no key)
    """How the endpoint calls the limit on a reply's tokens."""
    extra_body: PlainMapping = Field(default_factory=dict)
    """Further fields of the request's body, such as ``chat_template_kwargs``."""
    cache: str | None = None
    """File (JSON lines) that keeps every reply, and from which equal requests are answered. null:
    none."""
    replay: bool = False
    """Answer from ``cache`` alone and never from the network; a request that is not in it is an
    error. For tests and exact repeats."""
    budget: BudgetConfig = BudgetConfig()
    """What a process may spend."""

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        """The address is not quoted: what does not belong there may be a secret."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(
                "found no address; required: http:// or https:// and a host; do this: write it "
                "up to the version, such as https://api.example.com/v1"
            )
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "found a user name, a password, a query or a fragment in the address; required: "
                "none, since configurations are stored; do this: name the key's environment "
                "variable in api_key_env"
            )
        return url.rstrip("/")

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _name_of_a_variable(cls, name: Any) -> Any:
        """The value is not quoted: it may be the key itself."""
        if name is not None and not (isinstance(name, str) and _ENVIRONMENT_NAME.fullmatch(name)):
            raise ValueError(
                "found something that is no name of an environment variable in capitals; required: "
                "such a name, never the key itself; do this: put the key into the environment and "
                "write its name here, such as JUDGE_API_KEY"
            )
        return name

    @model_validator(mode="after")
    def _replay_needs_a_recording(self) -> Self:
        if self.replay and self.cache is None:
            raise ValueError(
                "found replay without cache; required: the file of recorded replies; do this: "
                "name it in cache"
            )
        return self
