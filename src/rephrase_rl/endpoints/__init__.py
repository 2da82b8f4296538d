"""Models behind OpenAI-compatible endpoints: requests, replies, budget, recording, client.

Used by judges and teachers. Importing the package imports neither openai nor torch; the client
imports openai when the first request has to go out.
"""

from rephrase_rl.endpoints.budget import Budget, Spending
from rephrase_rl.endpoints.client import ChatEndpoint
from rephrase_rl.endpoints.messages import ChatReply, ChatRequest, request_key
from rephrase_rl.endpoints.recording import Recording

__all__ = [
    "Budget",
    "ChatEndpoint",
    "ChatReply",
    "ChatRequest",
    "Recording",
    "Spending",
    "request_key",
]
