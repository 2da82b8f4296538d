"""The adapter to TRL's reward functions, and verifiers by name."""

import inspect

import pytest

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards import ExactVerifier, MathVerifier, VerifierReward, get_verifier
from rephrase_rl.rewards.registry import verifier_names


class ScriptedVerdicts:
    """Returns verdicts from a list."""

    name = "scripted"

    def __init__(self, verdicts):
        self.verdicts = list(verdicts)
        self.seen = []

    def verify(self, completions, reference_answers):
        self.seen.append((list(completions), list(reference_answers)))
        return [self.verdicts.pop(0) for _ in completions]

    def close(self):
        pass


RIGHT = Verdict("scored", 1.0, "1")
WRONG = Verdict("scored", 0.0, "2")
BAD_GOLD = Verdict("unscorable", None, detail="gold is bad")
TIMEOUT = Verdict("timeout", None, detail="no result within 5 s")
ERROR = Verdict("error", None)


def call(reward, num, **columns):
    return reward(
        prompts=["q"] * num, completions=["a"] * num, reference_answer=["1"] * num, **columns
    )


def test_values_and_none():
    reward = VerifierReward(ScriptedVerdicts([RIGHT, WRONG, BAD_GOLD, TIMEOUT, ERROR]))
    assert call(reward, 5, completion_ids=[[1]] * 5, level=[3] * 5) == [1.0, 0.0, None, None, None]
    assert reward.last_verdicts == (RIGHT, WRONG, BAD_GOLD, TIMEOUT, ERROR)
    assert reward.__name__ == "scripted"


def test_signature_is_that_of_a_reward_function_of_trl():
    parameters = inspect.signature(VerifierReward(ExactVerifier()).__call__).parameters
    assert list(parameters) == ["prompts", "completions", "reference_answer", "kwargs"]


def test_conversations_and_texts():
    verifier = ScriptedVerdicts([RIGHT, RIGHT])
    conversation = [{"role": "assistant", "content": "b"}]
    VerifierReward(verifier)(
        prompts=[], completions=["a", conversation], reference_answer=["1", "2"]
    )
    assert verifier.seen == [(["a", "b"], ["1", "2"])]


@pytest.mark.parametrize("completion", [[], [{"role": "assistant"}], [{"content": [1]}]])
def test_a_completion_without_text_is_refused(completion):
    reward = VerifierReward(ExactVerifier())
    with pytest.raises(VerifierError, match="completion 1 is list without a text"):
        reward(prompts=[], completions=["#1", completion], reference_answer=["1", "1"])


def test_a_blind_verifier_stops_the_run():
    reward = VerifierReward(ScriptedVerdicts([BAD_GOLD] * 33 + [RIGHT] * 31))
    with pytest.raises(VerifierError, match=r"could not judge 33 of the last 64.*gold is bad"):
        call(reward, 64)
    assert len(reward.last_verdicts) == 64


def test_at_the_limit_it_goes_on():
    rewards = call(VerifierReward(ScriptedVerdicts([TIMEOUT] * 32 + [RIGHT] * 32)), 64)
    assert rewards == [None] * 32 + [1.0] * 32


def test_below_64_verdicts_nothing_is_concluded():
    reward = VerifierReward(ScriptedVerdicts([ERROR] * 64))
    call(reward, 63)
    with pytest.raises(VerifierError, match=r"64 of the last 64.*no detail"):
        call(reward, 1)


def test_only_the_window_counts():
    verdicts = [RIGHT] * 500 + [BAD_GOLD] * 33
    reward = VerifierReward(ScriptedVerdicts(verdicts), window=64)
    call(reward, 500)
    call(reward, 32)
    with pytest.raises(VerifierError, match="33 of the last 64"):
        call(reward, 1)


def test_limit_one_never_stops():
    reward = VerifierReward(ScriptedVerdicts([ERROR] * 100), unscorable_limit=1.0)
    assert call(reward, 100) == [None] * 100


@pytest.mark.parametrize(
    "settings", [{"unscorable_limit": -0.1}, {"unscorable_limit": 1.1}, {"window": 63}]
)
def test_settings_out_of_range(settings):
    with pytest.raises(VerifierError, match="at least 64"):
        VerifierReward(ExactVerifier(), **settings)


class AsksForLevel:
    """Rewards with the column that it asks for."""

    name = "level"
    context_columns = ("level", "absent")

    def verify(self, completions, reference_answers):
        return self.verify_in_context(completions, reference_answers, {})

    def verify_in_context(self, completions, reference_answers, context):
        self.seen = dict(context)
        return [Verdict("scored", float(level)) for level in context["level"]]

    def close(self):
        pass


def test_a_verifier_gets_the_columns_that_it_asks_for_and_no_others():
    verifier = AsksForLevel()
    assert call(VerifierReward(verifier), 2, level=[0, 1], other=[5, 5]) == [0.0, 1.0]
    assert verifier.seen == {"level": [0, 1]}


def test_options_reach_the_choice_verifier():
    reward = VerifierReward(get_verifier("choice"))
    rewards = reward(
        prompts=["q"] * 3,
        completions=["a dog", "a cat", "B"],
        reference_answer=["B", "B", "B"],
        options=[["cat", "dog"], ["cat", "dog"], None],
    )
    assert rewards == [1.0, 0.0, 1.0]


def test_tokens_reach_the_length_verifier():
    reward = VerifierReward(get_verifier("length", limit=4, buffer=2))
    assert call(reward, 3, completion_ids=[[1] * 2, [1] * 3, [1] * 9]) == [1.0, 0.5, 0.0]


def test_verifiers_by_name():
    assert verifier_names() == (
        "all_of",
        "choice",
        "exact",
        "first_of",
        "format",
        "gated",
        "judge",
        "length",
        "math",
        "number",
        "rouge_l",
        "text_exact",
        "text_f1",
    )
    exact = get_verifier("exact", answer_marker="####")
    assert isinstance(exact, ExactVerifier)
    assert exact.answer_marker == "####"
    math = get_verifier("math", timeout_s=2.0)
    assert isinstance(math, MathVerifier)
    assert (math.name, exact.name) == ("math", "exact")


def test_unknown_names_and_options():
    with pytest.raises(VerifierError, match=r"'maths'.*exact, first_of.*math"):
        get_verifier("maths")
    with pytest.raises(VerifierError, match="no option marker; it takes answer_marker, name"):
        get_verifier("exact", marker="#")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("length", {}, "has to be given limit; it takes limit, buffer, unit, name"),
        ("length", {"max": 5}, "no option max and has to be given limit"),
        ("gated", {"gate": "math"}, "has to be given then"),
        ("gated", {"gate": "math", "then": {"name": "format"}}, "required: a name, or a mapping"),
        ("gated", {"gate": "maths", "then": "exact"}, "found verifier 'maths'"),
        ("gated", {"gate": "math", "then": "exact", "share": 2}, "share=2"),
        ("all_of", {"verifiers": "math"}, "required: a list of verifiers"),
        ("all_of", {"verifiers": ["math"]}, "found 1 verifiers, required: at least 2"),
        ("all_of", {"verifiers": ["exact", {"verifier": "length"}]}, "has to be given limit"),
        ("math", {"cache_size": -1}, "cache_size=-1"),
    ],
)
def test_options_that_are_missing_or_wrong(name, options, message):
    with pytest.raises(VerifierError, match=message):
        get_verifier(name, **options)
