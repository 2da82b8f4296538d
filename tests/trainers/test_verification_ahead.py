"""Verifiers that can begin early get each rollout as it ends, and nothing else."""

from __future__ import annotations

import pytest

from guidance_fakes import repo
from rephrase_rl.records import Verdict
from rephrase_rl.rewards import VerifierReward
from rephrase_rl.rewards.dataset_reward import DatasetReward
from trl_fakes import CountingReward, rows, trainer

pytestmark = pytest.mark.integration


class EarlyVerifier:
    """Refuses every text but the expert's; writes down what it is asked, and when."""

    name = "early"

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def verify_ahead(self, completions, reference_answers) -> None:
        self._note("ahead", completions, reference_answers)

    def verify(self, completions, reference_answers) -> list[Verdict]:
        self._note("asked", completions, reference_answers)
        return [Verdict("scored", 0.0) for _ in completions]

    def close(self) -> None:
        """Nothing to free."""

    def _note(self, what, completions, reference_answers) -> None:
        self.events += [(what, *pair) for pair in zip(completions, reference_answers, strict=True)]


@pytest.mark.parametrize("sampling", ["lazy", "anticipated"])
def test_rollouts_are_handed_over_before_they_are_asked_about(tmp_path, sampling) -> None:
    verifier = EarlyVerifier()
    made = trainer(
        tmp_path,
        repo(sampling=sampling),
        reward_funcs=VerifierReward(verifier),
        args={"per_device_train_batch_size": 8, "max_steps": 2, "num_train_epochs": 2},
    )
    made.train()
    for batch in (verifier.events[: len(verifier.events) // 2], verifier.events):
        assert batch[0][0] == "ahead"
    ahead = [event[1:] for event in verifier.events if event[0] == "ahead"]
    asked = [event[1:] for event in verifier.events if event[0] == "asked"]
    # Eight rollouts in each of two steps; rewrites, which all four groups ask for, are not among
    # them: what is judged of a rewrite is its cleaned text.
    assert len(ahead) == 16
    assert sorted(ahead) == sorted([*asked[:8], *asked[-len(asked) // 2 :][:8]])
    assert len(asked) > 16


def test_a_verifier_of_some_datasets_is_handed_their_rollouts_alone(tmp_path) -> None:
    verifier = EarlyVerifier()
    data = [row | {"dataset": "sums" if i < 3 else "words"} for i, row in enumerate(rows())]
    made = trainer(
        tmp_path,
        None,
        data=data,
        reward_funcs=[DatasetReward(verifier, ["sums"], name="early"), CountingReward()],
        args={"per_device_train_batch_size": 8},
    )
    made.train()
    ahead = [event[1:] for event in verifier.events if event[0] == "ahead"]
    asked = [event[1:] for event in verifier.events if event[0] == "asked"]
    assert len(ahead) == 6
    assert sorted(ahead) == sorted(asked)


def test_a_verifier_that_cannot_is_left_in_peace(tmp_path) -> None:
    class LateVerifier(EarlyVerifier):
        verify_ahead = None

    verifier = LateVerifier()
    trainer(tmp_path, None, reward_funcs=VerifierReward(verifier)).train()
    assert {what for what, *_ in verifier.events} == {"asked"}
