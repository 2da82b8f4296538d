"""All samples of a teacher, kept problem by problem, so that nothing is paid for twice.

The file is append-only: a killed run loses at most the problems under way, and a later line about a
problem takes the place of an earlier one. What is kept of the samples, and by which rule, is
decided afterwards and can be decided anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# At run time too: records.from_json reads the annotations.
from rephrase_rl.assembly.teachers import TeacherSample  # noqa: TC001
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.records import JSON, Verdict, from_json, to_json
from rephrase_rl.runs.jsonl import append_lines, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.records import Problem


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """A teacher's attempt and what the verifier says of it."""

    sample: TeacherSample
    verdict: Verdict | None
    """None: there was nothing to judge."""

    def outcome(self, failure_reward_threshold: float) -> str:
        """One word: ``correct``, or why it is not kept."""
        sample, verdict = self.sample, self.verdict
        if sample.status != "answered":
            return f"teacher_{sample.status}"
        if not sample.finished:
            return "truncated"
        if verdict is None:
            return "empty"
        if verdict.status != "scored":
            return verdict.status if verdict.status == "unscorable" else f"judging_{verdict.status}"
        return "correct" if verdict.reward >= failure_reward_threshold else "incorrect"

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher failed to answer and may be asked again."""
        return self.sample.status != "answered"

    @property
    def needs_verdict(self) -> bool:
        """Whether the verifier failed and may be asked again."""
        return self.verdict is not None and self.verdict.status in ("timeout", "error")


@dataclass(frozen=True, slots=True)
class ProblemSamples:
    """One line of the file: every sample of one problem."""

    problem_id: str
    key: str
    """Hash of the settings, the question and the answer: whether the line still holds."""
    settings: Mapping[str, JSON]
    """Teacher, sampling, template and verifier, for people and for provenance."""
    samples: tuple[JudgedSample, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the teacher answered every time."""
        return not any(sample.needs_teacher for sample in self.samples)

    def outcomes(self, failure_reward_threshold: float) -> Counter[str]:
        """How often each outcome occurs."""
        return Counter(sample.outcome(failure_reward_threshold) for sample in self.samples)


def sample_key(problem: Problem, settings: Mapping[str, JSON]) -> str:
    """Hash (hex) of what decides the samples of a problem and their verdicts."""
    content = [to_json(problem.messages), problem.reference_answer, settings]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class SampleFile:
    """The samples of a data set, by problem id."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            DataError: The file holds something else.
        """
        self.path = path
        self._lines: dict[str, ProblemSamples] = {}
        for number, line in enumerate(read_lines(path), start=1):
            try:
                found = from_json(ProblemSamples, line)
            except DataError as error:
                raise DataError(
                    f"{path}: line {number} holds no samples of a problem ({error}); name another "
                    "output, or move this file away"
                ) from error
            self._lines[found.problem_id] = found

    def get(self, problem_id: str) -> ProblemSamples | None:
        """The samples of a problem; None if it was not sampled yet."""
        return self._lines.get(problem_id)

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, lines: Iterable[ProblemSamples]) -> None:
        """Add the samples of problems."""
        new = list(lines)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_lines(self.path, new)
        self._lines.update({line.problem_id: line for line in new})

    def check(
        self, problems: Sequence[Problem], settings: Mapping[str, Mapping[str, JSON]]
    ) -> None:
        """Refuse to mix samples that were made differently.

        Args:
            problems: Those to be sampled now.
            settings: Task kind -> how problems of that kind are sampled now.

        Raises:
            ConfigError: A problem was sampled with other settings, or has changed.
        """
        for problem in problems:
            line = self.get(problem.problem_id)
            now = settings[problem.task_kind]
            if line is None or line.key == sample_key(problem, now):
                continue
            changed = sorted(
                name
                for name in {*now, *line.settings}
                if to_json(now.get(name)) != line.settings.get(name)
            )
            what = ", ".join(changed) or "the question or the reference answer"
            raise ConfigError(
                f"{self.path} holds samples of problem {problem.problem_id!r} that were made with "
                f"something else: {what} changed; required: the same settings and data for one "
                "output. Restore them, or choose another output"
            )


def as_settings(settings: Mapping[str, Any]) -> dict[str, JSON]:
    """Settings as they come back from JSON, so that they can be compared."""
    plain: dict[str, JSON] = json.loads(json.dumps(to_json(settings)))
    return plain
