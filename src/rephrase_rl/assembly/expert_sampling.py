"""Sampling of a teacher and verification of what it writes, request by request.

Resumable: problems that have their samples are passed over, those that a teacher failed on are
asked again, and those that a verifier failed on are judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.expert_samples import (
    JudgedSample,
    ProblemSamples,
    as_settings,
    sample_key,
)
from rephrase_rl.assembly.objects import VERIFIER_OF_KIND, solve_template
from rephrase_rl.errors import BudgetError, EndpointError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rewards import context_of, verify_in_context
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.assembly.expert_samples import SampleFile
    from rephrase_rl.assembly.teachers import Teacher, TeacherSample
    from rephrase_rl.config import ExpertsConfig
    from rephrase_rl.records import JSON, Problem, Verdict
    from rephrase_rl.rewards import Verifier

PROBLEMS_PER_REQUEST = 32
"""Problems that are sampled, verified and written together. Fixed, since on this machine they share
one random stream, and samples must not depend on where a run stopped."""


class ExpertSampling:
    """Sampling and verifying of all problems, request by request."""

    def __init__(
        self,
        config: ExpertsConfig,
        teacher: Teacher,
        verifiers: Mapping[str, Verifier],
        problems: Sequence[Problem],
        file: SampleFile,
    ) -> None:
        """Describe the work.

        Args:
            config: How to sample and by which rule the best is chosen.
            teacher: Who solves.
            verifiers: Who judges, by task kind.
            problems: What there is to solve; their kinds decide templates and settings.
            file: Where samples are kept.

        Raises:
            ConfigError: ``file`` holds samples of these problems that were made differently.
        """
        self.config = config
        self.teacher = teacher
        self.verifiers = verifiers
        self.problems = problems
        self.file = file
        by_kind = {problem.task_kind: problem for problem in problems}
        self.templates = {
            kind: solve_template(problem, config.prompts) for kind, problem in by_kind.items()
        }
        self.settings = {kind: self._settings(kind) for kind in by_kind}
        file.check(problems, self.settings)

    def _settings(self, kind: str) -> dict[str, JSON]:
        config, template = self.config, self.templates[kind]
        return as_settings(
            {
                "teacher": self.teacher.describe(),
                "temperature": config.temperature,
                "top_p": config.top_p,
                "max_new_tokens": config.max_new_tokens,
                "samples_per_problem": config.samples_per_problem,
                "seed": config.seed,
                "template": template.template_id,
                "template_sha256": template.sha256,
                "verifier": config.verifier or VERIFIER_OF_KIND[kind],
                "verifier_options": _deciding_options(config.verifier_options) or None,
            }
        )

    def run(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Give every problem its samples and verdicts, as far as that has not been done.

        Args:
            on_progress: Called with (problems sampled, problems).

        Raises:
            BudgetError: The teacher's budget is used up, or a judge's.
            EndpointError: The teacher does not answer, or not with what the choice needs.
        """
        problems = self.problems
        for start in range(0, len(problems), PROBLEMS_PER_REQUEST):
            request = problems[start : start + PROBLEMS_PER_REQUEST]
            try:
                self._work_off(request, start)
            except BudgetError as error:
                raise BudgetError(
                    f"{error}. Samples of {len(self.file)} of {len(problems)} problems are kept in "
                    f"{self.file.path}; run the same command again to go on from there"
                ) from None
            if on_progress is not None:
                on_progress(start + len(request), len(problems))

    def _work_off(self, request: Sequence[Problem], start: int) -> None:
        """Do what is left to do for the problems from ``start`` on that make one request."""
        self._judge_again(request)
        open_problems = [problem for problem in request if not self._is_done(problem)]
        if open_problems:
            self._sample(request, open_problems, start)

    def _is_done(self, problem: Problem) -> bool:
        found = self.file.get(problem.problem_id)
        return found is not None and found.is_whole

    def _sample(
        self, request: Sequence[Problem], open_problems: Sequence[Problem], start: int
    ) -> None:
        asked = request if self.teacher.draws_together else open_problems
        prompts = [render_prompt(p, self.templates[p.task_kind]) for p in asked]
        drawn = self.teacher.draw(prompts, derive_seed(self.config.seed, "experts", start))
        self._check_drawn([sample for of_problem in drawn for sample in of_problem])
        by_id = {problem.problem_id: samples for problem, samples in zip(asked, drawn, strict=True)}
        self._append([(problem, by_id[problem.problem_id]) for problem in open_problems])

    def _append(self, samples: Sequence[tuple[Problem, Sequence[TeacherSample]]]) -> None:
        judged = self._judge(samples)
        self.file.append(
            ProblemSamples(
                problem.problem_id,
                sample_key(problem, self.settings[problem.task_kind]),
                self.settings[problem.task_kind],
                tuple(judged[problem.problem_id]),
            )
            for problem, _ in samples
        )

    def _judge(
        self, samples: Sequence[tuple[Problem, Sequence[TeacherSample]]]
    ) -> dict[str, list[JudgedSample]]:
        """Verdicts on all samples with a text, in one call for each task kind."""
        rows = [(problem, sample) for problem, drawn in samples for sample in drawn]
        verdicts: dict[int, Verdict] = {}
        for kind, verifier in self.verifiers.items():
            own = [i for i, (p, s) in enumerate(rows) if p.task_kind == kind and s.text]
            of_kind = [rows[i][0] for i in own]
            if own:
                found = verify_in_context(
                    verifier,
                    [rows[i][1].text for i in own],
                    [problem.reference_answer for problem in of_kind],
                    context_of(verifier, of_kind),
                )
                verdicts.update(zip(own, found, strict=True))
        judged: dict[str, list[JudgedSample]] = {}
        for i, (problem, sample) in enumerate(rows):
            judged.setdefault(problem.problem_id, []).append(JudgedSample(sample, verdicts.get(i)))
        return judged

    def _judge_again(self, request: Sequence[Problem]) -> None:
        """Ask the verifier again where it failed in an earlier part of the run."""
        again = []
        for problem in request:
            found = self.file.get(problem.problem_id)
            if found is not None and any(sample.needs_verdict for sample in found.samples):
                again.append((problem, [judged.sample for judged in found.samples]))
        if again:
            self._append(again)

    def _check_drawn(self, samples: Sequence[TeacherSample]) -> None:
        """Stop early where going on would only cost: nothing that comes back can be used.

        Raises:
            EndpointError: None of the samples is an answer, or log-probs are needed and missing.
        """
        answered = [sample for sample in samples if sample.status == "answered"]
        if not answered:
            raise EndpointError(
                f"the teacher answered none of {len(samples)} requests; the last one ended as "
                f"{samples[-1].status}: {samples[-1].detail}. Check address, model, key and limits"
            )
        if self.config.choose == "most_likely":
            missing = sum(sample.mean_logp is None for sample in answered)
            if missing:
                raise EndpointError(
                    f"the teacher gave no log-probs with {missing} of {len(answered)} answers; "
                    "choose: most_likely requires them. Choose first or shortest"
                )


def _deciding_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a verifier that decide its verdicts.

    How a judge is reached and paid does not: a larger budget must not cost all samples.
    """
    kept = dict(options)
    if isinstance(kept.get("endpoint"), Mapping):
        endpoint = kept["endpoint"]
        kept["endpoint"] = {
            name: endpoint[name] for name in ("model", "extra_body") if endpoint.get(name)
        }
    return kept
