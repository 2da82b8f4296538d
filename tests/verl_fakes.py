"""verl without GPUs: its own configuration, worker and trainer code, around scripted servers.

Real: verl's configuration composed by Hydra from a run's overrides, its model configuration and
tokenizer of the lab's policy, its agent loop, worker, reward manager, GRPO and losses. Replaced:
the language model server (``ScriptedServer``) and, except in the test with Ray, TransferQueue.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import verl
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.workers.rollout.replica import TokenOutput

from fakes import problem
from rephrase_rl.assembly.objects import solve_template
from rephrase_rl.assembly.verl.launching import files_in
from rephrase_rl.assembly.verl.overrides import translate
from rephrase_rl.assembly.verl.parts import TRAINING, facts_of
from rephrase_rl.config import RunConfig, parse_config
from rephrase_rl.methods import resolve_config
from rephrase_rl.prompts import render_prompt
from rephrase_rl.records import Problem, to_json
from rephrase_rl.trainers.verl.attachment import WHERE, sealed

VERL_CONFIG = str(Path(verl.__file__).parent / "trainer" / "config")
EOS = 1
"""Of the lab's tokenizer; checked in a test."""


def run_config(method: str = "repo", **changes: Any) -> RunConfig:
    """A run of a method on the lab, four rollouts of a problem, two problems a step."""
    raw: dict[str, Any] = {
        "method": method,
        "model": {"path": "lab:base"},
        "data": [{"name": "lab", "path": "lab:hard", "limit": 4}],
        "rewards": [{"verifier": "verl_blocks:LastWord"}],
        "trainer": {"num_generations": 4, "max_completion_length": 64} | changes.pop("trainer", {}),
        "verl": {"prompts_per_step": 2, "gpus_per_node": 1, "max_prompt_length": 128},
    }
    return resolve_config(parse_config(raw | changes))


def verl_config(
    run: RunConfig, folder: Path, *, overrides: Sequence[str] = (), problems: Sequence[Problem] = ()
) -> Any:
    """verl's whole configuration of a run, as its workers get it."""
    settings = translate(run, files_in(Path("/nothing/is/here"))).overrides()
    asked = [o for o in settings if not o.startswith("hydra.")]
    config = copy.deepcopy(_composed((*asked, *overrides)))
    OmegaConf.update(config, "trainer.default_local_dir", str(folder / "checkpoints"))
    facts = facts_of(run, problems or [lab_problem("a")])
    OmegaConf.update(config, f"{WHERE}.text", sealed(facts), force_add=True)
    OmegaConf.update(config, f"{WHERE}.run_path", None, force_add=True)
    OmegaConf.update(config, f"{WHERE}.guided", True, force_add=True)
    return config


@functools.cache
def _composed(overrides: tuple[str, ...]) -> Any:
    with initialize_config_dir(VERL_CONFIG, version_base=None):
        return compose("ppo_trainer", list(overrides))


def lab_problem(name: str, **changes: Any) -> Problem:
    """A problem whose answer is its name in capitals."""
    fields = {
        "question": f"say {name}",
        "reference_answer": name.upper(),
        "expert_solution": f"the expert says {name.upper()}",
        "task_kind": "lab",
    }
    return problem(name, **(fields | changes))


def row_of(asked: Problem, run: RunConfig, uid: str | None = None) -> dict[str, Any]:
    """A data row of a problem, as verl hands it to a worker."""
    messages = render_prompt(asked, solve_template(asked, run.prompts))
    return {
        "uid": uid or f"uid{asked.problem_id}",
        "raw_prompt": [dict(m) for m in messages],
        "data_source": TRAINING,
        "reward_model": {"style": "rule", "ground_truth": asked.reference_answer},
        "extra_info": {"index": 0, "split": "train", "problem": json.dumps(to_json(asked))},
        "agent_name": "single_turn_agent",
        "index": 0,
        "global_steps": 1,
    }


Script = Callable[[str, int], str]
"""(decoded prompt, how often it was asked before) -> completion; one ending in "…" is cut off."""


class ScriptedServer:
    """verl's ``LLMServerClient``, by a script; keeps every request."""

    def __init__(
        self, tokenizer: Any, script: Script, *, delay: Callable[[str], float] | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._script = script
        self._delay = delay
        self._asked: dict[str, int] = defaultdict(int)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.logp = -0.5
        """Of every sampled token."""

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any
    ) -> TokenOutput:
        prompt = self._tokenizer.decode(prompt_ids)
        self.requests.append((prompt, dict(sampling_params)))
        number, self._asked[prompt] = self._asked[prompt], self._asked[prompt] + 1
        await asyncio.sleep(0 if self._delay is None else self._delay(prompt))
        extra = {"global_steps": 0, "min_global_steps": 0, "max_global_steps": 0}
        if "prompt_logprobs" in sampling_params:
            values = [[-float(i)] for i in range(len(prompt_ids))]
            return TokenOutput(token_ids=[EOS], extra_fields=extra | {"prompt_logprobs": values})
        text = self._script(prompt, number)
        ids = self._tokenizer.encode(text.rstrip("…"), add_special_tokens=False)
        if not text.endswith("…"):
            ids = [*ids, self._tokenizer.eos_token_id]
        return TokenOutput(token_ids=ids, log_probs=[self.logp] * len(ids), extra_fields=extra)


class InterruptedServer(ScriptedServer):
    """Breaks every request off after a token and goes on with newer weights, as verl's servers do.

    In the asynchronous modes weights come while requests are running. Rewrites are asked for later
    than rollouts: version 2 is there by then, and 3 comes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
        self._read: set[tuple[int, ...]] = set()

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any
    ) -> TokenOutput:
        asked = tuple(prompt_ids)
        if self._left[asked]:
            self.requests.append((self._tokenizer.decode(prompt_ids), dict(sampling_params)))
            return self._part(self._left[asked].pop(0), "completed", version=1 + self._age(asked))
        if "prompt_logprobs" in sampling_params and asked not in self._read:
            self._read.add(asked)
            return self._part([], "aborted", version=0)
        whole = await super().generate(
            request_id, prompt_ids=prompt_ids, sampling_params=sampling_params
        )
        if "prompt_logprobs" in sampling_params or len(whole.token_ids) < 2:
            return whole
        first, rest = whole.token_ids[:1], whole.token_ids[1:]
        self._left[*asked, *first].append(rest)
        return self._part(first, "aborted", version=self._age(asked))

    def _age(self, prompt_ids: Sequence[int]) -> int:
        return 2 if "the expert says" in self._tokenizer.decode(prompt_ids) else 0

    def _part(self, token_ids: list[int], stop_reason: str, version: int) -> TokenOutput:
        return TokenOutput(
            token_ids=token_ids,
            log_probs=[self.logp] * len(token_ids) if token_ids else None,
            stop_reason=stop_reason,
            extra_fields={"global_steps": version},
        )


class Remote:
    """A method of a Ray actor, in this process."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def remote(self, *args: Any, **kwargs: Any) -> Answer:
        return Answer(self._function(*args, **kwargs))


class Answer:
    """What a call of an actor gives; need not be waited for."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Any:
        if asyncio.iscoroutine(self._value):
            return (yield from self._value.__await__())
        return self._value


class Balancer:
    """verl's load balancer, with one server."""

    def __init__(self, server: ScriptedServer) -> None:
        self.require_acquire_fields = self.require_release_fields = Remote(lambda: [])
        handle = SimpleNamespace(generate=Remote(server.generate))
        self.acquire_server = Remote(lambda request_id: ("server", handle))
        self.release_server = Remote(lambda server_id: None)


class LocalRewards:
    """The handle of a reward worker, in this process."""

    def __init__(self, manager: Any) -> None:
        self.judged: list[str] = []
        self.compute_score = self
        self._manager = manager

    async def remote(self, data: Any) -> dict[str, Any]:
        return await self._manager.run_single(data)


class FakeQueue:
    """TransferQueue in a dictionary, with the functions that verl and we call."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.tags: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.history: list[tuple[str, str]] = []
        """(key, status) of every status, in order."""

    def init(self, *args: Any) -> None:
        pass

    async def async_kv_put(self, key: str, partition_id: str, tag: dict[str, Any]) -> None:
        self.tags[partition_id].setdefault(key, {}).update(tag)
        self.history.append((key, tag["status"]))

    async def async_kv_batch_put(
        self, keys: list[str], fields: TensorDict, tags: list[dict[str, Any]], partition_id: str
    ) -> None:
        self.kv_batch_put(keys, partition_id, fields, tags)
        self.history += [(key, "row") for key in keys]

    def kv_batch_put(
        self, keys: list[str], partition_id: str, fields: Any = None, tags: Any = None
    ) -> KVBatchMeta:
        for i, key in enumerate(keys):
            row = self.rows[partition_id].setdefault(key, {})
            for name, values in ({} if fields is None else fields).items():
                row[name] = _one(values, i)
            if tags is not None:
                self.tags[partition_id][key] = dict(tags[i])
        found = [self.tags[partition_id][key] for key in keys]
        return KVBatchMeta(partition_id=partition_id, keys=list(keys), tags=found)

    def kv_batch_get(
        self, keys: list[str], partition_id: str, select_fields: Any = None
    ) -> TensorDict:
        rows = [self.rows[partition_id][key] for key in keys]
        names = [n for n in rows[0] if select_fields is None or n in select_fields]
        columns = {name: _column([row[name] for row in rows]) for name in names}
        return TensorDict(columns, batch_size=[len(keys)])

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        found = {name: {k: dict(t) for k, t in tags.items()} for name, tags in self.tags.items()}
        return found if partition_id is None else {partition_id: found.get(partition_id, {})}

    def kv_clear(self, keys: Sequence[str], partition_id: str) -> None:
        for key in keys:
            self.rows[partition_id].pop(key, None)
            self.tags[partition_id].pop(key, None)

    def batch(self, partition: str = "train", uid: str = "") -> KVBatchMeta:
        """All rows, or those of a prompt, in the order of their keys."""
        keys = sorted(k for k in self.rows[partition] if "_" in k and k.startswith(uid))
        tags = [self.tags[partition][key] for key in keys]
        return KVBatchMeta(partition_id=partition, keys=keys, tags=tags)

    def statuses(self, partition: str = "train") -> dict[str, str]:
        """The last status of each prompt."""
        return {k: t["status"] for k, t in self.tags[partition].items() if "_" not in k}


def _one(values: Any, i: int) -> Any:
    if isinstance(values, NonTensorStack):
        return values[i].data
    if isinstance(values, torch.Tensor):
        return values[i].clone()
    return getattr(values, "data", values)


def _column(values: list[Any]) -> Any:
    if not all(isinstance(value, torch.Tensor) for value in values):
        return NonTensorStack(*values)
    if values[0].dim() == 0:
        return torch.stack(values)
    return torch.nested.as_nested_tensor(values, layout=torch.jagged)


class RayServer:
    """A scripted server that travels to Ray actors: a and b are solved, z is never rewritten."""

    def __init__(self, tokenizer: str) -> None:
        self._path = tokenizer
        self._server: ScriptedServer | None = None

    async def generate(self, request_id: str, **request: Any) -> TokenOutput:
        if self._server is None:
            from rephrase_rl.rollout import load_tokenizer

            self._server = ScriptedServer(
                load_tokenizer(self._path),
                self._answer,
                delay=lambda prompt: 60.0 if "the expert says Z" in prompt else 0.0,
            )
        return await self._server.generate(request_id, **request)

    @staticmethod
    def _answer(prompt: str, number: int) -> str:
        name = next(name for name in "abcdez" if f"say {name}" in prompt)
        return name.upper() if name in "ab" or "the expert says" in prompt else "no"
