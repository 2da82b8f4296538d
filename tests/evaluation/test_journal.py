"""Unfinished evaluations: what is kept, gone on with, and refused."""

from __future__ import annotations

import pytest

from fakes import completion
from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.evaluation.journal import SampleJournal

SETTINGS = {"model": "m", "protocol": {"temperature": 0.5, "pass_at_k": (1,)}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evals" / "0" / "hard" / "partial.jsonl"


def test_what_is_kept_is_known_to_the_next_part(path) -> None:
    journal = SampleJournal.open(path, SETTINGS, resume=False)
    assert journal.known == {}
    journal.keep({3: [completion("a", logp=-1.0), completion("b", finished=False)]})
    journal.keep({0: [completion("c")] * 2})
    again = SampleJournal.open(path, SETTINGS, resume=True)
    assert {i: [c.text for c in found] for i, found in again.known.items()} == {
        3: ["a", "b"],
        0: ["c", "c"],
    }
    first, second = again.known[3]
    assert (first.token_ids, first.sampling_logps) == (completion("a").token_ids, None)
    assert not second.finished
    again.remove()
    assert not path.exists()


def test_a_torn_last_line_is_left_out_and_written_over(path) -> None:
    SampleJournal.open(path, SETTINGS, resume=False).keep({0: [completion("a")]})
    with path.open("ab") as file:
        file.write(b'{"prompt": 1, "comple')
    journal = SampleJournal.open(path, SETTINGS, resume=True)
    assert set(journal.known) == {0}
    journal.keep({1: [completion("b")]})
    assert set(SampleJournal.open(path, SETTINGS, resume=True).known) == {0, 1}


def test_a_file_torn_in_its_first_line_is_begun_anew(path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"settings": {')
    assert SampleJournal.open(path, SETTINGS, resume=False).known == {}
    assert SampleJournal.open(path, SETTINGS, resume=True).known == {}


def test_an_unfinished_one_is_neither_replaced_nor_mixed_with_another(path) -> None:
    SampleJournal.open(path, SETTINGS, resume=False)
    with pytest.raises(CheckpointError, match="go on with --resume, or remove"):
        SampleJournal.open(path, SETTINGS, resume=False)
    with pytest.raises(ConfigError) as caught:
        SampleJournal.open(path, {**SETTINGS, "model": "n", "seed": 1}, resume=True)
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["model", "seed"]


@pytest.mark.parametrize(
    "line", ['{"prompt": 0}', '{"prompt": "x", "completions": []}', "[1]", '{"completions": 3}']
)
def test_a_line_that_nobody_wrote_is_told(path, line) -> None:
    SampleJournal.open(path, SETTINGS, resume=False)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(CheckpointError, match="no evaluation writes"):
        SampleJournal.open(path, SETTINGS, resume=True)
