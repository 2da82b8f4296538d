"""A judge behind an endpoint that is slow, overloaded, broken or gone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from faults_verifier import unjudged
from world import ENDS, GOES_ON, Outcome, ended, fault, lab, train, went_on

from endpoint_fakes import Answer, chat, serving

GOOD = chat("Score: 1")
BAD = chat("Score: 0")
QUICK = {"timeout_s": 0.3, "request_limit_s": 1.0, "max_retries": 1, "concurrency": 8}


class Script:
    """Good answers, and every n-th time the fault."""

    def __init__(self, faulty: Any, every: int) -> None:
        self.faulty, self.every = faulty, every
        self.asked = self.injected = 0
        self.healthy = False
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> Any:
        with self._lock:
            self.asked += 1
            if not self.healthy and self.asked % self.every == 0:
                self.injected += 1
                return self.faulty
            return GOOD if self.asked % 4 == 1 else BAD


def judged_by(endpoint: Any, **changes: Any) -> Any:
    fields = {"base_url": endpoint.url, "model": "judge-1", **QUICK}
    rewards = [{"verifier": "judge", "options": {"endpoint": fields, "attempts": 1}}]
    return lab(rewards=rewards, **changes)


def now_and_then(faulty: Any) -> Any:
    def body(folder: Path) -> Outcome:
        script = Script(faulty, 5)
        with serving(script) as endpoint:
            ran = train(folder / "run", judged_by(endpoint))
        shown = unjudged(ran) if ran.error is None else ""
        return went_on(ran, "", script.injected, shown or "all retried with success")

    return body


def for_ever(faulty: Any, pattern: str) -> Any:
    def body(folder: Path) -> Outcome:
        script = Script(faulty, 1)
        long = {"per_device_train_batch_size": 16, "max_steps": 6}
        with serving(script) as endpoint:
            config = judged_by(endpoint, trainer=long)
            ran = train(folder / "run", config)
            script.healthy = True
            return ended(ran, pattern, config, script.injected)

    return body


FAULTY_ANSWERS: dict[str, tuple[Any, str]] = {
    "status 429 (too many requests)": (Answer({"error": "slow down"}, 429), "429"),
    "status 500": (Answer({"error": "oh"}, 500), "500"),
    "status 401 (key not accepted)": (Answer({"error": "who are you"}, 401), "401"),
    "malformed JSON": (Answer('{"choices": [{"mess'), "error|JSON|read"),
    "JSON without choices": (Answer({"object": "chat.completion"}), "choices"),
    "an empty body": (Answer(""), "error|empty|read"),
    "an HTML page": (Answer("<html><body>Bad gateway</body></html>"), "error|read"),
    "an answer after the time limit": (Answer(GOOD, after_s=1.5), "no reply within"),
    "one byte every 50 ms": (Answer(GOOD, drip_s=0.05), "no reply within"),
    "a reply without text": (chat(None), "empty|no text|content"),
    "a reply without a verdict": (chat("It seems fine to me."), "does not end with a verdict"),
    "a score of NaN": (chat('{"reason": "?", "score": NaN}'), "not within|no number"),
    "a score beyond the scale": (chat("Score: 99"), "not within"),
}

for _name, (_answer, _pattern) in FAULTY_ANSWERS.items():
    fault("endpoint", f"judge: {_name}, every fifth time", GOES_ON)(now_and_then(_answer))

for _name in (
    "status 429 (too many requests)",
    "status 500",
    "malformed JSON",
    "an answer after the time limit",
    "a reply without a verdict",
):
    _answer, _pattern = FAULTY_ANSWERS[_name]
    fault("endpoint", f"judge: {_name}, for ever", ENDS, 180.0)(
        for_ever(_answer, f"could not judge.*({_pattern})")
    )


@fault("endpoint", "judge: nobody listens", ENDS)
def nobody_listens(folder: Path) -> Outcome:
    long = {"per_device_train_batch_size": 16, "max_steps": 6}
    script = Script(GOOD, 10**9)
    with serving(script) as endpoint:
        config = judged_by(endpoint, trainer=long)
        gone = config.model_copy(deep=True)
        gone.rewards[0].options["endpoint"]["base_url"] = "http://127.0.0.1:9/v1"
        ran = train(folder / "run", gone)
        return ended_elsewhere(ran, config)


def ended_elsewhere(ran: Any, healthy: Any) -> Outcome:
    """The address is part of the configuration, so another one is a new run."""
    message = ran.said("could not judge.*onnect")
    again = train(ran.path, healthy, overwrite=True)
    return Outcome(bool(message) and again.error is None, message or repr(ran.error))


@fault("endpoint", "judge: the budget is used up", ENDS)
def budget(folder: Path) -> Outcome:
    script = Script(GOOD, 10**9)
    with serving(script) as endpoint:
        config = judged_by(endpoint)
        small = config.model_copy(deep=True)
        small.rewards[0].options["endpoint"]["budget"] = {"requests": 5}
        ran = train(folder / "run", small)
        message = ran.said("budget|requests")
        again = train(ran.path, config, overwrite=True)
    return Outcome(bool(message) and again.error is None, message or repr(ran.error))
