"""A folder of a study takes no cells that other settings made."""

from __future__ import annotations

import json

import pytest

from rephrase_rl.config.study import StudyConfig
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.studies.begun import FILE, refuse_another_study, settings
from study_fakes import tiny_study

STUDY = tiny_study()


def changed(**fields) -> StudyConfig:
    return STUDY.model_copy(update=fields)


@pytest.fixture
def begun(tmp_path):
    refuse_another_study(STUDY, tmp_path)
    return tmp_path


def test_everything_but_names_and_order_is_what_cells_rest_on() -> None:
    fields = {name.partition(".")[0] for name in settings(STUDY)}
    assert fields == set(StudyConfig.model_fields) - {"name", "order", "sweep", "baseline"}


def test_the_same_study_goes_on_and_asks_for_other_cells(begun) -> None:
    record = (begun / FILE).read_text()
    refuse_another_study(changed(order=STUDY.order[:1], name="other", baseline=None), begun)
    assert (begun / FILE).read_text() == record


@pytest.mark.parametrize("field", ["problems", "trained_samples"])
def test_other_settings_are_refused_by_name(begun, field) -> None:
    other = changed(**{field: getattr(STUDY, field) + 1})
    with pytest.raises(ConfigError, match=f"other settings of {field}, .*--out"):
        refuse_another_study(other, begun)


def test_an_arm_may_come_and_go_but_not_change(begun) -> None:
    name, arm = next(iter(STUDY.arms.items()))
    more = changed(arms={**STUDY.arms, "new": arm})
    refuse_another_study(more, begun)
    refuse_another_study(STUDY, begun)
    other = arm.model_copy(update={"rate": 0.125})
    for arms in ({name: other}, {"new": other}):
        with pytest.raises(ConfigError, match=f"other settings of arms.{next(iter(arms))},"):
            refuse_another_study(changed(arms=arms), begun)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_record_is_told(begun, text) -> None:
    (begun / FILE).write_text(text)
    with pytest.raises(DataError, match="is no record of a study"):
        refuse_another_study(STUDY, begun)


def test_the_record_is_plain(begun) -> None:
    assert json.loads((begun / FILE).read_text()) == settings(STUDY)
