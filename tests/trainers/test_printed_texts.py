"""What TRL prints of a batch drives no terminal."""

from __future__ import annotations

from collections import deque

import pytest

from rephrase_rl.trainers.trl.printed_texts import show_hidden_characters
from trl_fakes import CountingReward, trainer

CLEAR = "\x1b[2J"


@pytest.mark.integration
def test_an_escape_sequence_of_the_policy_does_not_reach_the_terminal(tmp_path, capfd) -> None:
    made = trainer(
        tmp_path,
        None,
        script=lambda prompts, call: [f"a{CLEAR}b"] * len(prompts),
        reward_funcs=CountingReward({}),
        args={"log_completions": True, "logging_steps": 1},
    )
    made.train()
    out = capfd.readouterr().out
    assert "[U+001B]" in out, "TRL printed nothing: the test shows nothing"
    assert CLEAR not in out


def test_texts_turns_and_extra_columns_are_labelled_and_the_rest_is_left() -> None:
    logs = {
        "prompt": deque([[{"role": "user", "content": f"q{CLEAR}"}]], maxlen=7),
        "completion": deque([f"a{CLEAR}"], maxlen=7),
        "extra": {"note": deque([f"n{CLEAR}", None, 3], maxlen=7)},
        "advantages": deque([0.5]),
    }
    show_hidden_characters(logs)
    assert logs["prompt"][0] == [{"role": "user", "content": "q[U+001B][2J"}]
    assert list(logs["completion"]) == ["a[U+001B][2J"]
    assert list(logs["extra"]["note"]) == ["n[U+001B][2J", None, 3]
    assert {column.maxlen for column in (logs["prompt"], logs["completion"])} == {7}
    assert list(logs["advantages"]) == [0.5]
