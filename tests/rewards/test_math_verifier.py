"""The mathematics verifier with its worker processes: hang, crash, reuse, start, end."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from worker_stand_ins import die_at_once, echo, fail_to_start, misbehave, start_slowly, worker_id

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import JudgesAhead, MathVerifier, Verifier
from rephrase_rl.rewards import worker_pool as worker_pool_module
from rephrase_rl.rewards.math_verifier import MAX_CACHED_CHARS, UNBOXED_TAIL_CHARS
from rephrase_rl.rewards.worker_pool import Begun, CallResult, KillablePool


@pytest.fixture(scope="module")
def verifier():
    with MathVerifier() as verifier:
        yield verifier


@pytest.fixture(scope="module")
def misbehaving():
    with MathVerifier(timeout_s=2.0, cache_size=0, judge=misbehave) as verifier:
        yield verifier


def boxed(*contents: str) -> list[str]:
    return [rf"\boxed{{{content}}}" for content in contents]


def test_mixed_batch_keeps_its_order(verifier):
    verdicts = verifier.verify(
        [*boxed(r"\frac{1}{2}", "3", "1/3", "5"), "The answer is 12.", ""],
        ["0.5", "3", "0.5", "{{{", "12", "12"],
    )
    assert [v.value for v in verdicts] == [1.0, 1.0, 0.0, None, 1.0, 0.0]
    assert [v.status for v in verdicts][3] == "unscorable"
    assert isinstance(verifier, Verifier)


def test_empty_batch(verifier):
    assert verifier.verify([], []) == []


def test_lengths_must_agree(verifier):
    with pytest.raises(VerifierError, match="1 completions and 2 reference"):
        verifier.verify(["a"], ["1", "2"])


def test_hundred_thousand_characters_are_judged_in_time(verifier):
    started = time.perf_counter()
    texts = ["1" * 100_000, "$" * 100_000, "1 + " * 25_000, "= " * 50_000, "\\boxed{" * 14_000]
    verdicts = verifier.verify(texts, ["5"] * len(texts))
    assert [v.value for v in verdicts] == [0.0] * len(texts)
    assert time.perf_counter() - started < 5.0 * len(texts)


def test_an_unboxed_answer_is_looked_for_at_the_end(verifier):
    padding = "word " * UNBOXED_TAIL_CHARS
    verdicts = verifier.verify([f"7. {padding}", f"{padding} so 7."], ["7", "7"])
    assert [v.value for v in verdicts] == [0.0, 1.0]


def test_plain_integers_start_no_worker():
    verifier = MathVerifier(judge=misbehave)
    verdicts = verifier.verify(boxed("1,000", "7"), ["1000", "8"])
    assert [v.value for v in verdicts] == [1.0, 0.0]
    assert verifier._pool._pool is None
    verifier.close()


def test_equal_pairs_are_judged_once_and_remembered():
    with MathVerifier(judge=misbehave, cache_size=2) as verifier:
        first = verifier.verify(boxed("a", "a", "b", "7"), ["x", "x", "x", "7"])
        assert verifier.counts == {
            "plain": 1,
            "cached": 1,
            "judged": 2,
            "timeout": 0,
            "error": 0,
            "unscorable": 0,
        }
        again = verifier.verify(boxed("b", "a"), ["x", "x"])
        assert verifier.counts["judged"] == 2
        assert again == [first[2], first[0]]
        # b was used longest ago, so c takes its place and b has to be judged again.
        verifier.verify(boxed("c"), ["x"])
        verifier.verify(boxed("a", "b"), ["x", "x"])
        assert (verifier.counts["judged"], verifier.counts["cached"]) == (4, 4)
        # The same prediction with another gold is another pair.
        verifier.verify(boxed("b"), ["y"])
        assert verifier.counts["judged"] == 5


def test_what_is_not_certain_is_tried_again():
    with MathVerifier(timeout_s=1.0, judge=misbehave) as verifier:
        for count in (1, 2):
            assert verifier.verify(boxed("raise"), ["x"])[0].status == "error"
            assert verifier.counts["error"] == verifier.counts["judged"] == count
        verifier.verify(boxed("hang"), ["x"])
        assert verifier.counts["timeout"] == 1
        assert verifier.counts["cached"] == 0


def test_a_cache_of_nothing_and_long_answers():
    with MathVerifier(judge=misbehave, cache_size=0) as verifier:
        verifier.verify(boxed("a"), ["x"])
        verifier.verify(boxed("a"), ["x"])
        assert verifier.counts["judged"] == 2
    with MathVerifier(judge=misbehave) as verifier:
        long = "a" * MAX_CACHED_CHARS
        verifier.verify(boxed(long), ["x"])
        verifier.verify(boxed(long), ["x"])
        assert verifier.counts["judged"] == 2


def test_a_hanging_answer_is_a_timeout_and_harms_nobody_else(misbehaving):
    misbehaving.verify(boxed("start"), ["x"])
    started = time.perf_counter()
    verdicts = misbehaving.verify(boxed("hang", "fine", "hang"), ["x", "x", "x"])
    assert [v.status for v in verdicts] == ["timeout", "scored", "timeout"]
    assert verdicts[0].value is None
    assert verdicts[0].reward != verdicts[0].reward  # NaN, not 0
    assert verdicts[0].answer == "hang"
    assert "2 s" in verdicts[0].detail
    # 2 s of clock, once since equal calls are judged once; the rest is room for a busy machine.
    assert time.perf_counter() - started < 60.0


def test_a_crash_is_an_error_and_harms_nobody_else(misbehaving):
    verdicts = misbehaving.verify(boxed("a", "crash", "b"), ["x", "x", "x"])
    assert [v.status for v in verdicts] == ["scored", "error", "scored"]


def test_an_exception_is_an_error(misbehaving):
    verdict = misbehaving.verify(boxed("raise"), ["x"])[0]
    assert verdict.status == "error"
    assert verdict.detail == "RuntimeError: broken on purpose"


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_memory_is_limited(misbehaving):
    verdict = misbehaving.verify(boxed("memory"), ["x"])[0]
    assert verdict.status == "error"
    assert "MemoryError" in verdict.detail


def test_a_worker_is_used_again(misbehaving):
    first = misbehaving.verify(boxed("a", "b"), ["x", "x"])
    second = misbehaving.verify(boxed("c"), ["x"])
    assert len({v.answer for v in [*first, *second]}) == 1
    assert first[0].answer != str(os.getpid())


def test_start_up_does_not_count_as_time_of_the_first_call():
    pool = KillablePool(echo, timeout_s=0.8, initializer=start_slowly)
    try:
        assert pool.run([(4,)]) == [CallResult("done", 4)]
    finally:
        pool.close()


def test_a_closed_pool_starts_again():
    pool = KillablePool(echo, timeout_s=5.0)
    assert pool.run([(1,)])[0].value == 1
    pool.close()
    pool.close()
    assert pool.run([(2,)])[0].value == 2
    pool.close()


def test_a_worker_killed_while_idle_is_replaced():
    pool = KillablePool(worker_id, timeout_s=5.0)
    try:
        first = pool.run([()])[0].value
        os.kill(first, signal.SIGKILL)
        time.sleep(0.5)  # long enough for the pool to notice and break
        second = pool.run([()])[0]
        assert second.status == "done"
        assert second.value != first
    finally:
        pool.close()


def test_a_call_that_breaks_the_pool_is_an_error_alone(monkeypatch):
    pool = KillablePool(echo, timeout_s=5.0)
    attempts = []

    def attempt(begun):
        calls = [one.call for one in begun]
        attempts.append(calls)
        return [CallResult("done", c[0]) if len(calls) == 1 and c != (2,) else None for c in calls]

    monkeypatch.setattr(pool, "_attempt", attempt)
    monkeypatch.setattr(pool, "begin", lambda calls: [Begun(c, None, None) for c in calls])
    monkeypatch.setattr(pool, "_check_start", lambda: None)
    results = pool.run([(1,), (2,), (3,)])
    assert [r.status for r in results] == ["done", "error", "done"]
    assert attempts == [[(1,), (2,), (3,)], [(1,)], [(2,)], [(3,)]]


def test_calls_that_were_begun_go_on_meanwhile_and_outlive_a_closed_pool():
    pool = KillablePool(echo, timeout_s=5.0)
    try:
        pool.run([(0,)])  # the worker is up
        (first,) = pool.begin([(1,)])
        assert first.future.result(5.0) == 1, "nobody asked for the result, and it is there"
        assert [r.value for r in pool.finish([first])] == [1]
        (second,) = pool.begin([(2,)])
        pool.close()
        assert [(r.status, r.value) for r in pool.finish([second])] == [("done", 2)]
    finally:
        pool.close()


@pytest.mark.parametrize("initializer", [fail_to_start, die_at_once])
def test_workers_that_cannot_start_stop_the_run(initializer):
    pool = KillablePool(echo, timeout_s=1.0, initializer=initializer)
    with pytest.raises(VerifierError, match="do not start"):
        pool.run([(1,)])
    assert pool._pool is None


def test_a_pool_that_gives_no_answer_stops_the_run(monkeypatch):
    monkeypatch.setattr(worker_pool_module, "START_UP_S", -1.9)
    pool = KillablePool(echo, timeout_s=0.1, initializer=start_slowly)
    with pytest.raises(VerifierError, match="gave no answer"):
        pool.run([(1,)])
    assert pool._pool is None


@pytest.mark.parametrize("settings", [{"timeout_s": 0}, {"timeout_s": -1}, {"max_workers": 0}])
def test_settings_out_of_range(settings):
    with pytest.raises(VerifierError, match="found timeout_s="):
        MathVerifier(**settings)


def test_two_workers():
    with MathVerifier(max_workers=2, judge=misbehave) as verifier:
        verdicts = verifier.verify(boxed(*"abcd"), ["x"] * 4)
    assert all(v.status == "scored" for v in verdicts)


def test_a_script_without_main_guard_is_not_run_again_in_workers(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            r"""
            print("script runs")
            from rephrase_rl.rewards import get_verifier
            verifier = get_verifier("math")
            print(verifier.verify([r"\boxed{1/2}"], ["0.5"])[0].value)
            verifier.close()
            """
        ).replace("\\\\", "\\")
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split("\n") == ["script runs", "1.0", ""], done.stderr


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, rephrase_rl.rewards; "
        "print(sorted({'torch', 'sympy', 'math_verify', 'pebble'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_was_begun_ahead_is_not_asked_again(monkeypatch):
    completions = [r"\boxed{x+1}", r"\boxed{x+2}", r"\boxed{7}"]
    answers = ["1+x", "1+x", "7"]
    with MathVerifier() as verifier:
        assert isinstance(verifier, JudgesAhead)
        verifier.verify_ahead(completions[:2], answers[:2])
        verifier.verify_ahead(completions, answers)
        assert len(verifier._begun) == 2, "each pair once, and plain numbers need no worker"
        handed = []
        begin = verifier._pool.begin
        monkeypatch.setattr(verifier._pool, "begin", lambda c: handed.extend(c) or begin(c))
        assert [v.value for v in verifier.verify(completions, answers)] == [1.0, 0.0, 1.0]
        assert handed == []
        # What is known is not begun, and nothing that was begun is left behind.
        verifier.verify_ahead(completions, answers)
        assert (handed, verifier._begun) == ([], {})
