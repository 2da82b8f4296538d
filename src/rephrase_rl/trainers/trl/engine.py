"""TRL's trainer as ``GuidanceEngine``: tokens, rewrites, rewards, log-probs for one batch.

Every rank calls ``sample``, ``score`` and ``measure`` once per generation batch and passes the same
number of rows, padded with rows of its own to the largest need of any rank: TRL's generation and
reward code gathers over processes, and sharded models gather weights around each forward pass.
"""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import gather_object
from trl.trainer.utils import pad

from rephrase_rl.guidance.blocks import TokenLogps
from rephrase_rl.records import Completion
from rephrase_rl.seeding import derive_seed, forked_rng
from rephrase_rl.trainers.trl.anticipation import Anticipation
from rephrase_rl.trainers.trl.rows import encode_messages
from rephrase_rl.trainers.trl.sampling import eval_mode, sampler_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from rephrase_rl.guidance.blocks import Guidance, Measurement, Score
    from rephrase_rl.records import Message
    from rephrase_rl.trainers.trl.batch import GenerationOutput
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


class Judgement(NamedTuple):
    """What reward functions said of one candidate."""

    rewards_per_func: list[float]
    """One reward per reward function; NaN where it did not apply."""
    extra_columns: dict[str, Any]
    """What they logged with ``log_extra``."""


class TrlGuidanceEngine:
    """Serves one generation batch; made anew for each by ``RePOTrainer``."""

    def __init__(
        self,
        trainer: RePOTrainer,
        guidance: Guidance,
        rows: Sequence[Mapping[str, Any]],
        generated: GenerationOutput,
        prompts: Sequence[Any],
        filler: Completion,
        draw: tuple[int, int],
        anticipation: Anticipation | None = None,
    ) -> None:
        """Bind the engine to a batch.

        Args:
            trainer: The trainer whose private methods sample and score.
            guidance: For the sampling settings of candidates.
            rows: Dataset rows of the batch, one per member (each repeated G times).
            generated: What TRL generated for the batch.
            prompts: The prompts q as TRL sees them, one per member.
            filler: A rollout of this rank, scored again where another rank has more candidates.
            draw: (optimiser step, index of the generation batch within it): with seed and rank the
                coordinates of the candidates' random stream.
            anticipation: Candidates that were sampled together with the rollouts.
        """
        self._trainer = trainer
        self._guidance = guidance
        self._rows = rows
        self._prompts = prompts
        self._question_ids = [
            tuple(ids) for ids in generated.prompt_ids[:: trainer.num_generations]
        ]
        self._filler = filler
        self._draw = draw
        self._conversational = not isinstance(prompts[0], str)
        self._anticipation = anticipation or Anticipation()
        self._judged: dict[tuple[int, tuple[int, ...]], Judgement] = {}

    def question_ids(self, group: int) -> tuple[int, ...]:
        """Token ids of q as TRL trains on it."""
        return self._question_ids[group]

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Token ids of a prompt, in the form (chat or plain) that the dataset's prompts have."""
        return encode_messages(self._trainer, messages, not self._conversational)

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Token ids of a completion's text, without special tokens."""
        return tuple(self._trainer._tokenizer.encode(text, add_special_tokens=False))

    def decode_completion(self, token_ids: Sequence[int]) -> str:
        """Text of a completion's tokens, without special tokens."""
        text: str = self._trainer.processing_class.decode(token_ids, skip_special_tokens=True)
        return text

    @property
    def end_id(self) -> int:
        """The tokenizer's end token, with which the chat format ends a turn.

        A model may have several, and the first of its list another one: Llama 3 Instruct lists
        ``<|end_of_text|>`` before ``<|eot_id|>``.
        """
        own = self._trainer._tokenizer.eos_token_id  # TRL adds it to the list if it is not there
        return int(self._trainer.eos_token_ids[0] if own is None else own)

    @property
    def max_completion_tokens(self) -> int:
        """``max_completion_length`` of the trainer."""
        return int(self._trainer.max_completion_length)

    def anticipated(self, prompt: tuple[int, ...]) -> bool:
        """Whether a candidate of this prompt was sampled together with the rollouts."""
        return self._anticipation.holds(prompt)

    def sample(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        """One completion per prompt: those at hand, the others sampled now."""
        at_hand = [self._anticipation.take(prompt) for prompt in prompts]
        missing = [p for p, found in zip(prompts, at_hand, strict=True) if found is None]
        sampled = iter(self._sample_now(missing))
        return [next(sampled) if found is None else found for found in at_hand]

    def _sample_now(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        """Under a forked random stream, so rollouts never notice."""
        trainer = self._trainer
        rows = _largest(len(prompts))
        if rows == 0:
            return []
        prompt_ids = [list(ids) for ids in prompts]
        padding = self.encode_prompt(_as_messages(self._prompts[0]))
        prompt_ids += [list(padding)] * (rows - len(prompts))
        with forked_rng(self._seed("rephrase")), self._candidate_sampling():
            completion_ids, logps = trainer._generate_single_turn(prompt_ids, None, {}, 1)
        if not prompts:  # this rank only took part; decoding an empty batch is not empty
            return []
        completion_ids = completion_ids[: len(prompts)]
        kept: list[Any] = [None] * len(prompts)
        if logps is not None and self._samples_as_measured:
            # vLLM has None for a log-prob that is not a number; such a row is measured.
            kept = [None if None in row else row for row in logps[: len(prompts)]]
        return completions_of(trainer, completion_ids, kept)

    @property
    def _samples_as_measured(self) -> bool:
        """Whether log-probs that come with samples are those that ``measure`` would find.

        vLLM's are of the distribution that was sampled from: at the candidates' temperature, and
        over the tokens that filters and penalties left. They also come from other kernels, so a
        train rule that weighs tokens by a ratio of two log-probs has both measured.
        """
        trainer, own = self._trainer, self._guidance
        if not trainer.use_vllm:
            return True
        same = own.temperature in (None, trainer.temperature) and own.top_p in (None, 1.0)
        filtered = trainer.top_p != 1.0 or trainer.top_k or trainer.min_p
        penalised = trainer.repetition_penalty != 1.0 or trainer.args.generation_kwargs
        return same and not (filtered or penalised or own.train.weighs_tokens)

    def score(self, groups: Sequence[int], completions: Sequence[Completion]) -> list[Score]:
        """Rewards of candidates by the trainer's reward functions, one call per candidate."""
        trainer = self._trainer
        need = _largest(len(completions))
        if need == 0:
            return []
        size = trainer.num_generations
        indices = [group * size for group in groups] + [0] * (need - len(completions))
        filled = [*completions, *[self._filler] * (need - len(completions))]
        wrapped = [
            [{"role": "assistant", "content": c.text}] if self._conversational else c.text
            for c in filled
        ]
        with logs_set_aside(trainer) as logged:
            gathered = trainer.score_rows(
                [dict(self._rows[i]) for i in indices],
                [self._prompts[i] for i in indices],
                wrapped,
                [list(completion.token_ids) for completion in filled],
            )
        start = trainer.accelerator.process_index * need
        local = gathered[start : start + len(completions)]
        for j, (group, completion) in enumerate(zip(groups, completions, strict=True)):
            columns = {name: values[j] for name, values in logged.items() if j < len(values)}
            self._judged[group, completion.token_ids] = Judgement(local[j].tolist(), columns)
        own = [self._rows[i] for i in indices[: len(completions)]]
        return trainer.scores(local, own)

    def judgement(self, group: int, completion: Completion) -> Judgement:
        """What reward functions said of a candidate of this group, in full."""
        return self._judged[group, completion.token_ids]

    def measure(self, wanted: Sequence[Measurement]) -> list[TokenLogps]:
        """Log-probs of completions without gradient, at the training temperature, as TRL's."""
        on_q = self._logps([(self._question_ids[m.group], m.token_ids) for m in wanted])
        shown = [m for m in wanted if m.context_ids is not None]
        on_context = iter(self._logps([(m.context_ids or (), m.token_ids) for m in shown]))
        return [
            TokenLogps(own, own if m.context_ids is None else next(on_context))
            for m, own in zip(wanted, on_q, strict=True)
        ]

    def _seed(self, purpose: str) -> int:
        trainer = self._trainer
        return derive_seed(trainer.args.seed, *self._draw, sampler_number(trainer), purpose)

    def _logps(
        self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
    ) -> list[tuple[float, ...]]:
        """Log-prob of each completion token for (prompt, completion) rows of this rank."""
        need = _largest(len(rows))
        if need == 0:
            return []
        filler = ((self.end_id,), (self.end_id,))
        # Without dropout, as the sampler's own log-probs are; it would draw from the rollouts'
        # stream as well.
        with eval_mode(self._trainer.model):
            logps_BT = self._padded_logps([*rows, *[filler] * (need - len(rows))])
        return [
            tuple(values[: len(completion)])
            for values, (_, completion) in zip(logps_BT.tolist(), rows, strict=False)
        ]

    def _padded_logps(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Tensor:
        trainer = self._trainer
        device = trainer.accelerator.device
        prompts = [torch.tensor(prompt) for prompt, _ in rows]
        completions = [torch.tensor(completion) for _, completion in rows]
        pad_id = trainer._tokenizer.pad_token_id
        input_ids = torch.cat(
            [
                pad(prompts, padding_value=pad_id, padding_side="left"),
                pad(completions, padding_value=pad_id, padding_side="right"),
            ],
            dim=1,
        ).to(device)
        prompt_mask = pad([torch.ones_like(p) for p in prompts], 0, padding_side="left")
        completion_mask = pad([torch.ones_like(c) for c in completions], 0, padding_side="right")
        attention_mask = torch.cat([prompt_mask, completion_mask], dim=1).to(device)
        with torch.no_grad():
            logps, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model,
                input_ids,
                attention_mask,
                completion_mask.size(1),
                batch_size=trainer.args.per_device_train_batch_size,
            )
        result: Tensor = logps.float()
        return result

    @contextlib.contextmanager
    def _candidate_sampling(self) -> Iterator[None]:
        """Let candidates have their own temperature and nucleus for the length of one call."""
        changes: dict[str, Any] = {
            name: value
            for name, value in (
                ("temperature", self._guidance.temperature),
                ("top_p", self._guidance.top_p),
            )
            if value is not None
        }
        trainer = self._trainer
        trainer.keeps_logps = True
        holder, attribute = (
            (trainer.vllm_generation, None) if trainer.use_vllm else (trainer, "generation_config")
        )
        if attribute is None:
            before = {name: getattr(holder, name) for name in changes}
            after = dict(changes)
        else:
            if changes.get("temperature") == 0:  # transformers asks for greedy decoding by name
                changes = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
            config = copy.deepcopy(trainer.generation_config)
            config.update(**changes)
            before = {
                attribute: trainer.generation_config,
                "generation_kwargs": trainer.generation_kwargs,
            }
            after = {attribute: config, "generation_kwargs": trainer.generation_kwargs | changes}
        try:
            for name, value in after.items():
                setattr(holder, name, value)
            yield
        finally:
            trainer.keeps_logps = False
            for name, value in before.items():
                setattr(holder, name, value)


def completions_of(
    trainer: RePOTrainer,
    completion_ids: Sequence[Sequence[int]],
    logps: Sequence[Sequence[float] | None],
) -> list[Completion]:
    """Sampled tokens as completions, with the log-probs that came along."""
    texts = trainer.processing_class.batch_decode(completion_ids, skip_special_tokens=True)
    ends = set(trainer.eos_token_ids)
    return [
        Completion(
            text,
            tuple(int(i) for i in ids),
            bool(ids) and int(ids[-1]) in ends,
            None if row_logps is None else tuple(row_logps),
        )
        for text, ids, row_logps in zip(texts, completion_ids, logps, strict=True)
    ]


@contextlib.contextmanager
def logs_set_aside(trainer: RePOTrainer) -> Iterator[dict[str, list[Any]]]:
    """Keep what reward functions log in the block apart from what they have logged so far.

    TRL expects exactly one value per row of the batch in each extra column. Yields a dictionary
    that holds the block's columns when the block has ended.
    """
    extra, metrics = trainer._pending_extra_logs, trainer._pending_metrics
    kept_extra = {column: list(values) for column, values in extra.items()}
    kept_metrics = {name: list(values) for name, values in metrics.items()}
    extra.clear()
    metrics.clear()
    logged: dict[str, list[Any]] = {}
    try:
        yield logged
        logged.update({column: list(values) for column, values in extra.items()})
    finally:
        for pending, kept in ((extra, kept_extra), (metrics, kept_metrics)):
            pending.clear()
            for name, values in kept.items():
                pending[name].extend(values)


def _as_messages(prompt: Any) -> tuple[Message, ...]:
    return ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(prompt)


def _largest(count: int) -> int:
    """The largest of the counts of all ranks: every rank then takes part with as many rows."""
    return max(gather_object([count]))
