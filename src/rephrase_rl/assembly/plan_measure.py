"""Constants of this machine's CPU for ``planning``: small models with random weights, timed.

The models are Llama-shaped, from the lab's width to one whose weights exceed any cache; every case
is the program that a step runs: the sampler, the trainer's scored pass, its backward pass, AdamW.
Work is counted by the functions that plans use, so what they leave out ends up in the constants.
"""

from __future__ import annotations

import contextlib
import math
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.planning.batches import Members, RowBatch, packed_rows
from rephrase_rl.planning.devices import Device, ProgramRates
from rephrase_rl.planning.fitting import Timing, fit_programs
from rephrase_rl.planning.measured import FORMAT_VERSION, PROGRAMS, rates_to_plain
from rephrase_rl.planning.sampling import Ask, sampling_work
from rephrase_rl.planning.setting import BYTES, Computing, Number, Setting, Workload
from rephrase_rl.planning.shape import ModelShape
from rephrase_rl.planning.work import Rates, backward_work, forward_work
from rephrase_rl.rewards import get_verifier
from rephrase_rl.runs import collect_manifest
from rephrase_rl.seeding import forked_rng

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import JSON

ROUNDS = 2
"""Times that all models are gone through."""
REPETITIONS = 2
"""Timed calls of each case in a round, after one that warms up. The fastest of all counts: others
on the machine can only make a call slower, and their bursts last for seconds."""
VERIFIERS = ("exact", "math")
VERDICTS = 64
GROUP = 8


class SamplingCase(NamedTuple):
    """Prompts of one length, each with as many completions."""

    prompts: int
    copies: int
    prompt_tokens: int
    tokens: int


class RowCase(NamedTuple):
    """Groups for a training pass, or single rows (``members`` 1) for one without gradient."""

    prompts: int
    members: int
    prompt_tokens: int
    tokens: int


class ModelCase(NamedTuple):
    """One model and what is timed on it."""

    shape: ModelShape
    sampling: tuple[SamplingCase, ...]
    training: tuple[RowCase, ...]
    scoring: tuple[RowCase, ...]


def llama_shape(name: str, sizes: tuple[int, int, int, int, int, int]) -> ModelShape:
    """Sizes: layers, width, query heads, key heads, width of the MLP, vocabulary."""
    layers, hidden, heads, kv_heads, mlp, vocab = sizes
    return ModelShape(name, layers, hidden, heads, kv_heads, hidden // heads, mlp, vocab, tied=True)


CASES = (
    ModelCase(
        llama_shape("width 128", (4, 128, 4, 4, 288, 103)),
        (SamplingCase(8, 8, 40, 24), SamplingCase(32, 8, 40, 24), SamplingCase(4, 1, 80, 24)),
        (RowCase(8, 8, 40, 24), RowCase(32, 8, 40, 24), RowCase(2, 8, 40, 24)),
        (RowCase(8, 1, 40, 24), RowCase(64, 1, 40, 24)),
    ),
    ModelCase(
        llama_shape("width 256", (6, 256, 4, 2, 704, 4096)),
        (SamplingCase(2, 8, 96, 24), SamplingCase(8, 8, 64, 24), SamplingCase(4, 1, 160, 16)),
        (RowCase(2, 8, 96, 48), RowCase(1, 4, 512, 64)),
        (RowCase(8, 1, 96, 48), RowCase(2, 1, 512, 64)),
    ),
    ModelCase(
        llama_shape("width 576", (6, 576, 9, 3, 1536, 49152)),
        (SamplingCase(2, 8, 128, 12), SamplingCase(8, 8, 128, 8), SamplingCase(2, 1, 200, 12)),
        (RowCase(2, 8, 128, 32), RowCase(1, 8, 64, 32)),
        (RowCase(2, 1, 128, 32), RowCase(8, 1, 128, 32)),
    ),
    ModelCase(
        llama_shape("width 1024", (2, 1024, 16, 4, 2816, 8192)),
        (SamplingCase(2, 8, 64, 16), SamplingCase(8, 8, 64, 8)),
        (RowCase(2, 8, 64, 32),),
        (RowCase(4, 1, 64, 32),),
    ),
)
"""Chosen so that every kind of work is the largest part of some case."""


class Best:
    """The fastest time of everything that is timed."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[object, ...], float] = {}

    def time(self, key: tuple[object, ...], work: Callable[[], object]) -> None:
        """Call once to warm up, then a few times against the clock."""
        work()
        for _ in range(REPETITIONS):
            started = time.perf_counter()
            work()
            self.note(key, time.perf_counter() - started)

    def note(self, key: tuple[object, ...], seconds: float) -> None:
        """Keep a time that was taken elsewhere."""
        self._seconds[key] = min(seconds, self._seconds.get(key, math.inf))

    def __getitem__(self, key: tuple[object, ...]) -> float:
        return self._seconds[key]


def measure_constants(
    numbers: Sequence[Number],
    *,
    command: str,
    rounds: int = ROUNDS,
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Time everything and fit the constants of this machine.

    Args:
        numbers: Number formats of the arithmetic; each takes about a minute on two cores.
        command: What is being run, for the record.
        rounds: Times that all models are gone through.
        on_progress: Called with the name of each model.

    Returns:
        Plain data, as ``planning.measured`` reads it.
    """
    about = collect_manifest(command, seed=0)
    process_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    best = Best()
    for _ in range(rounds):
        for number in numbers:
            for case in CASES:
                if on_progress is not None:
                    on_progress(f"{number}, {case.shape.name}")
                _time_model(case, number, best)
    fits = {number: fit_programs(timings_of(number, best)) for number in numbers}
    hardware = about["hardware"]
    return {
        "format_version": FORMAT_VERSION,
        "about": about,
        "cpu": hardware["cpu"],
        "cores": hardware["cores"],
        "memory_bytes": hardware["memory_bytes"],
        "process_bytes": process_bytes,
        "rates": {number: rates_to_plain(fit.rates) for number, fit in fits.items()},
        "fit_errors": {
            number: {program: _spread(each) for program, each in fit.errors.items()}
            for number, fit in fits.items()
        },
        "verify_s": {name: _time_verifier(name, best) for name in VERIFIERS},
        "optimiser_s_per_parameter": sum(best[case.shape.name, "optimiser"] for case in CASES)
        / sum(case.shape.parameters for case in CASES),
    }


def _spread(errors: Sequence[float]) -> dict[str, float]:
    return {"lowest": min(errors), "highest": max(errors), "cases": len(errors)}


def timings_of(number: Number, best: Best) -> dict[str, list[Timing]]:
    """Work and fastest seconds of every case, by program."""
    timings: dict[str, list[Timing]] = {program: [] for program in PROGRAMS}
    for case in CASES:
        shape, about = case.shape, (number, case.shape.name)
        for sampling in case.sampling:
            ask = Ask(*sampling, longest_tokens=sampling.tokens)
            sampled = sampling_work(_bare_setting(shape, number), [ask])
            prefill_s = best[*about, sampling, "prefill"]
            decode_s = best[*about, sampling, "whole"] - prefill_s
            timings["score"].append(Timing(sampled.prefill, prefill_s))
            timings["decode"].append(Timing(sampled.decode, decode_s))
        for rows in case.scoring:
            timings["score"].append(
                Timing(_row_work(shape, rows, number)[0], best[*about, rows, "score"])
            )
        for rows in case.training:
            forward, scored = _row_work(shape, rows, number)
            backward = backward_work(shape, forward, scored, 1.0)
            for program, work in (("forward", forward), ("backward", backward)):
                timings[program].append(Timing(work, best[*about, rows, program]))
    return timings


def _time_model(case: ModelCase, number: Number, best: Best) -> None:
    import torch

    from rephrase_rl.trainers.trl.probe import prepare

    about = (number, case.shape.name)
    with forked_rng(0):
        model = random_model(case.shape)
        prepare(model)
        for sampling in case.sampling:
            _time_sampling(model, case.shape, sampling, number, best)
        for rows in case.scoring:
            ids = _rows(case.shape, rows)
            with torch.no_grad():
                best.time((*about, rows, "score"), partial(_pass, model, ids, rows.tokens, number))
        for rows in case.training:
            _time_training(model, case.shape, rows, number, best)
        _time_optimiser(model, case.shape, best)


def random_model(shape: ModelShape, **more: Any) -> Any:
    """A Llama of these sizes with random weights; ``more`` are further fields of its config."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        **more,
    )
    return LlamaForCausalLM(config)


def _time_sampling(
    model: Any, shape: ModelShape, case: SamplingCase, number: Number, best: Best
) -> None:
    """A call for one token, which is the prompts' pass, and a longer one."""
    import torch

    from rephrase_rl.rollout.shared_prefix import TokenSampling, sample_shared_prefix

    model.eval()
    prompts = torch.randint(shape.vocab, (case.prompts, case.prompt_tokens)).tolist()

    def sample(tokens: int) -> None:
        with _autocast(number):
            settings = TokenSampling(max_new_tokens=tokens)
            sample_shared_prefix(model, prompts, case.copies, settings, seed=0, max_rows=512)

    for tokens, part in ((1, "prefill"), (case.tokens, "whole")):
        best.time((number, shape.name, case, part), partial(sample, tokens))


def _bare_setting(shape: ModelShape, number: Number) -> Setting:
    """What the counting of work asks a setting for."""
    nothing = ProgramRates(Rates(), Rates(), Rates(), Rates())
    return Setting(
        shape,
        Workload(1, 1, 1, 1, 1, 1, 1, 1, 1),
        Computing("shared_prefix", True, True, number, "float32"),
        Device("this", 0.0, {number: nothing}, 0.0, is_cpu=True),
    )


def _time_training(
    model: Any, shape: ModelShape, case: RowCase, number: Number, best: Best
) -> None:
    model.train()
    ids = _rows(shape, case)
    for repetition in range(1 + REPETITIONS):
        started = time.perf_counter()
        logps = _pass(model, ids, case.tokens, number)
        between = time.perf_counter()
        logps.sum().backward()
        ended = time.perf_counter()
        if repetition:
            best.note((number, shape.name, case, "forward"), between - started)
            best.note((number, shape.name, case, "backward"), ended - between)
        model.zero_grad()


def _rows(shape: ModelShape, case: RowCase) -> Any:
    import torch

    prompts = torch.randint(shape.vocab, (case.prompts, case.prompt_tokens))
    completions = torch.randint(shape.vocab, (case.prompts * case.members, case.tokens))
    return torch.cat([prompts.repeat_interleave(case.members, dim=0), completions], dim=1)


def _row_work(shape: ModelShape, case: RowCase, number: Number) -> tuple[Any, float]:
    """Work of one pass, and the positions that it scores."""
    scored = case.prompts * case.members * case.tokens
    packed = case.members > 1
    batch = RowBatch(case.prompts, case.prompt_tokens + case.tokens)
    if packed:
        members = Members(case.members, case.tokens)
        batch = packed_rows(case.prompts, case.prompt_tokens, members, shape.hidden)
    work = forward_work(
        shape,
        rows=batch.rows,
        length=batch.length,
        scored=scored,
        calls=1,
        bytes_per_number=BYTES[number],
        seen_share=1.0 if packed else 0.5,
    )
    return work, float(scored)


def _time_optimiser(model: Any, shape: ModelShape, best: Best) -> None:
    """AdamW and the clipping of gradients."""
    import torch

    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-4)
    optimiser = torch.optim.AdamW(parameters, lr=1e-6, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    best.time((shape.name, "optimiser"), step)
    model.zero_grad()


def _time_verifier(name: str, best: Best) -> float:
    """Seconds of one verdict, workers already started."""
    verifier = get_verifier(name)
    steps = "First add the two numbers, then divide the sum by their product. " * 8
    completions = [
        f"{steps}The answer is \\boxed{{{i} + \\frac{{1}}{{2}}}}." for i in range(VERDICTS)
    ]
    answers = [f"{2 * i + 1}/2" for i in range(VERDICTS)]
    try:
        best.time((name,), lambda: verifier.verify(completions, answers))
    finally:
        verifier.close()
    return best[name,] / VERDICTS


def _pass(model: Any, ids: Any, completion_tokens: int, number: Number) -> Any:
    from rephrase_rl.trainers.trl.probe import scored_pass

    with _autocast(number):
        return scored_pass(model, ids, completion_tokens)


@contextlib.contextmanager
def _autocast(number: Number) -> Iterator[None]:
    import torch

    if number == "float32":
        yield
        return
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
