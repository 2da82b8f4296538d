"""Records from JSON: faults are named in full, and the cost of a record is that of its fields."""

from __future__ import annotations

import typing

import pytest

from rephrase_rl import records
from rephrase_rl.errors import DataError
from rephrase_rl.records import GroupRecord, MemberRecord, Verdict, from_json, to_json

MEMBER = MemberRecord("1+1=3", "rollout", 0.0, 0.0, -0.5, 5, True)
GROUP = GroupRecord(0, 0, "p0", "1+1=", "2", None, 1.0, True, "open", (MEMBER, MEMBER))


def test_unknown_and_missing_keys_are_named_together() -> None:
    row = to_json(Verdict("scored", 1.0)) | {"score": 1, "zeal": 2}
    del row["status"], row["value"]
    expected = r"unknown keys \['score', 'zeal'\] and lacks \['status', 'value'\]"
    with pytest.raises(DataError, match=expected):
        from_json(Verdict, row)


def test_a_key_with_a_default_may_be_missing() -> None:
    assert from_json(Verdict, {"status": "timeout", "value": None}) == Verdict("timeout", None)


def test_a_fault_inside_a_record_is_named_by_its_place() -> None:
    row = to_json(GROUP)
    del row["members"][1]["origin"]
    with pytest.raises(DataError, match=r"GroupRecord\.members\[1\].*lacks \['origin'\]"):
        from_json(GroupRecord, row)


def test_annotations_are_evaluated_once_for_all_records_of_a_type(monkeypatch) -> None:
    evaluated = []
    plain = typing.get_type_hints

    def counted(record_type):
        evaluated.append(record_type)
        return plain(record_type)

    monkeypatch.setattr(typing, "get_type_hints", counted)
    records._layout.cache_clear()

    groups = [from_json(GroupRecord, to_json(GROUP)) for _ in range(3)]

    assert groups == [GROUP] * 3
    assert evaluated == [GroupRecord, MemberRecord]
