"""Constants of this machine's CPU for ``planning``: small models with random weights, timed.

The models are Llama-shaped, from the lab's width to one whose weights exceed any cache; every case
is the program that a step runs: the sampler, the trainer's scored pass, its backward pass, AdamW.
Work is counted by the functions that plans use, so what they leave out ends up in the constants.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.planning.batches import RowBatch, packed_rows
from rephrase_rl.planning.devices import Device, ProgramRates
from rephrase_rl.planning.fitting import Timing, fit_programs
from rephrase_rl.planning.measured import FORMAT_VERSION, rates_to_plain
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
"""Times that all models are gone through: a neighbour's burst then spoils half of a case."""
REPETITIONS = 2
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


def measure_constants(
    numbers: Sequence[Number], *, command: str, on_progress: Callable[[str], None] | None = None
) -> dict[str, JSON]:
    """Time everything and fit the constants of this machine.

    Args:
        numbers: Number formats of the arithmetic; each takes about a minute on two cores.
        command: What is being run, for the record.
        on_progress: Called with the name of each model.

    Returns:
        Plain data, as ``planning.measured`` reads it.
    """
    about = collect_manifest(command, seed=0)
    process_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rates: dict[str, JSON] = {}
    errors: dict[str, JSON] = {}
    optimiser: list[Timing] = []
    for number in numbers:
        timings: dict[str, list[Timing]] = defaultdict(list)
        for case in CASES * ROUNDS:
            if on_progress is not None:
                on_progress(f"{number}, {case.shape.name}")
            _time_model(case, number, timings, optimiser)
        fit = fit_programs(timings)
        rates[number] = rates_to_plain(fit.rates)
        errors[number] = {program: _spread(each) for program, each in fit.errors.items()}
    seconds = sum(timing.seconds for timing in optimiser)
    hardware = about["hardware"]
    return {
        "format_version": FORMAT_VERSION,
        "about": about,
        "cpu": hardware["cpu"],
        "cores": hardware["cores"],
        "memory_bytes": hardware["memory_bytes"],
        "process_bytes": process_bytes,
        "rates": rates,
        "fit_errors": errors,
        "verify_s": {name: _time_verifier(name) for name in VERIFIERS},
        "optimiser_s_per_parameter": seconds
        / sum(timing.work.element_passes for timing in optimiser),
    }


def _spread(errors: Sequence[float]) -> dict[str, float]:
    return {"lowest": min(errors), "highest": max(errors), "timings": len(errors)}


def _time_model(
    case: ModelCase,
    number: Number,
    timings: dict[str, list[Timing]],
    optimiser: list[Timing],
) -> None:
    import torch

    from rephrase_rl.trainers.trl.probe import prepare

    with forked_rng(0):
        model = random_model(case.shape)
        prepare(model)
        for sampling in case.sampling:
            _time_sampling(model, case.shape, sampling, number, timings)
        for rows in case.scoring:
            ids = _rows(case.shape, rows)
            with torch.no_grad():
                seconds = _median(partial(_pass, model, ids, rows.tokens, number))
            timings["score"].append(Timing(_row_work(case.shape, rows, number)[0], seconds))
        for rows in case.training:
            _time_training(model, case.shape, rows, number, timings)
        optimiser.append(_time_optimiser(model, case.shape))


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
    model: Any,
    shape: ModelShape,
    case: SamplingCase,
    number: Number,
    timings: dict[str, list[Timing]],
) -> None:
    """Prefill from a call for one token, decoding from what a longer call takes beyond it."""
    import torch

    from rephrase_rl.rollout.shared_prefix import TokenSampling, sample_shared_prefix

    model.eval()
    prompts = torch.randint(shape.vocab, (case.prompts, case.prompt_tokens)).tolist()

    def sample(tokens: int) -> None:
        with _autocast(number):
            settings = TokenSampling(max_new_tokens=tokens)
            sample_shared_prefix(model, prompts, case.copies, settings, seed=0, max_rows=512)

    prefill_s = _median(lambda: sample(1))
    total_s = _median(lambda: sample(case.tokens))
    ask = Ask(case.prompts, case.copies, case.prompt_tokens, case.tokens, case.tokens)
    work = sampling_work(_bare_setting(shape, number), [ask])
    timings["score"].append(Timing(work.prefill, prefill_s))
    timings["decode"].append(Timing(work.decode, total_s - prefill_s))


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
    model: Any, shape: ModelShape, case: RowCase, number: Number, timings: dict[str, list[Timing]]
) -> None:
    model.train()
    ids = _rows(shape, case)
    halves: list[tuple[float, float]] = []
    for _ in range(1 + REPETITIONS):
        started = time.perf_counter()
        logps = _pass(model, ids, case.tokens, number)
        between = time.perf_counter()
        logps.sum().backward()
        halves.append((between - started, time.perf_counter() - between))
        model.zero_grad()
    forward, scored = _row_work(shape, case, number)
    pairs = zip(("forward", "backward"), zip(*halves[1:], strict=True), strict=True)
    works = {"forward": forward, "backward": backward_work(shape, forward, scored, 1.0)}
    for program, seconds in pairs:
        timings[program].append(Timing(works[program], statistics.median(seconds)))


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
        batch = packed_rows(
            case.prompts, case.members, case.prompt_tokens, case.tokens, shape.hidden
        )
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


def _time_optimiser(model: Any, shape: ModelShape) -> Timing:
    """AdamW and the clipping of gradients; the work's ``element_passes`` are parameters here."""
    import torch

    from rephrase_rl.planning.work import Work

    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-4)
    optimiser = torch.optim.AdamW(parameters, lr=1e-6, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    seconds = _median(step)
    model.zero_grad()
    return Timing(Work(element_passes=shape.parameters), seconds)


def _time_verifier(name: str) -> float:
    """Seconds of one verdict, workers already started."""
    verifier = get_verifier(name)
    steps = "First add the two numbers, then divide the sum by their product. " * 8
    completions = [
        f"{steps}The answer is \\boxed{{{i} + \\frac{{1}}{{2}}}}." for i in range(VERDICTS)
    ]
    answers = [f"{2 * i + 1}/2" for i in range(VERDICTS)]
    try:
        return _median(lambda: verifier.verify(completions, answers)) / VERDICTS
    finally:
        verifier.close()


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


def _median(work: Callable[[], object]) -> float:
    """Median seconds, after one call that warms up."""
    work()
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
