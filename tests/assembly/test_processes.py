"""One process's error becomes that of the others; a connection that is gone is told apart."""

from __future__ import annotations

import pytest

from rephrase_rl.assembly import processes
from rephrase_rl.assembly.processes import (
    FAILURE_KEY,
    is_lost_connection,
    mark_done,
    shared_failures,
    wait_until_done,
)
from rephrase_rl.errors import ProcessError, VerifierError

LOST = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:9")


class Store(dict):
    """As far as torch's store is used."""

    def check(self, keys) -> bool:
        return all(key in self for key in keys)

    def get(self, key) -> bytes:
        return self[key].encode()

    def set(self, key, value) -> None:
        self[key] = value


@pytest.fixture
def store(monkeypatch) -> Store:
    made = Store()
    monkeypatch.setattr(processes, "_store", lambda: made)
    monkeypatch.setattr(processes, "WAIT_FOR_MESSAGE_S", 0.1)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    return made


def test_the_message_of_the_first_that_fails_is_left_for_the_others(store) -> None:
    with pytest.raises(VerifierError), shared_failures():
        raise VerifierError("broken")
    assert store[FAILURE_KEY] == "process 1: VerifierError: broken"
    with pytest.raises(ValueError), shared_failures():  # noqa: PT011
        raise ValueError("later")
    assert "broken" in store[FAILURE_KEY]
    with pytest.raises(ProcessError, match=r"process 1: .*broken"), shared_failures():
        raise LOST


def test_a_process_that_was_killed_left_no_message(store) -> None:
    with pytest.raises(ProcessError, match=r"left no message.*closed by peer"), shared_failures():
        raise LOST
    assert FAILURE_KEY not in store


def test_a_single_process_keeps_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="gloo"), shared_failures():
        raise LOST


def test_other_errors_are_no_lost_connection() -> None:
    assert is_lost_connection(LOST)
    assert not is_lost_connection(RuntimeError("shapes differ"))
    assert not is_lost_connection(ValueError("Connection closed by peer"))


def test_processes_wait_for_what_one_does_alone(store, monkeypatch) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        assert len(looks) <= 3, "what was done is never seen"
        if len(looks) == 3:
            mark_done("evaluated")

    monkeypatch.setattr("time.sleep", sleep)
    wait_until_done("evaluated")
    wait_until_done("evaluated")
    assert len(looks) == 3


def test_nobody_waits_for_a_process_that_has_failed(store) -> None:
    store[FAILURE_KEY] = "process 0: VerifierError: broken"
    with pytest.raises(ProcessError, match=r"process 0: .*broken.*--resume"):
        wait_until_done("evaluated")


@pytest.mark.parametrize(("is_initialized", "size"), [(False, 2), (True, 1)])
def test_a_single_process_has_nobody_to_wait_for(monkeypatch, is_initialized, size) -> None:
    store, looks = Store(), []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        store["never marked"] = "done"  # so that one that waits comes to an end

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: is_initialized)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: size)
    monkeypatch.setattr("torch.distributed.distributed_c10d._get_default_store", lambda: store)
    wait_until_done("never marked")
    mark_done("evaluated")
    assert looks == []
    assert store == {}
