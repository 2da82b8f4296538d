"""Several gloo processes: the decisions and gradient of one, and an end when one of them ends."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forks import Child
from world import Outcome, fault, lab, train

QUESTIONS = ("ab", "cd", "ef", "gh")
TOGETHER = "every process ends, within the limit, with the message of the one that failed"
SAME = "same decisions, and the same gradient as one process within 1e-6"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ranks(
    count: int, body: Callable[[int], Any], folder: Path, limit_s: float = 60.0
) -> list[Child]:
    """Fork so many processes of one run; the store lives in this one, as a launcher's does."""
    import torch.distributed

    port = free_port()
    children = []
    for rank in range(count):
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        if count == 1:
            for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
                os.environ.pop(name)
        children.append(Child(lambda rank=rank: body(rank), folder / f"rank-{rank}.log", limit_s))
    if count > 1:
        # After forking: it runs a thread.
        children[0].store = torch.distributed.TCPStore(  # type: ignore[attr-defined]
            "127.0.0.1", port, is_master=True, wait_for_workers=False
        )
    return children


def scripted(failing: Sequence[str], rewrite: str) -> Callable[[list[str], int], list[str]]:
    """Rollouts of these questions fail; a rewrite is the expert's answer, or nothing."""

    def script(prompts: list[str], call: int) -> list[str]:
        texts = []
        for index, prompt in enumerate(prompts):
            found = re.search(r"expert:(\w+)", prompt)
            question = re.search(r"(?:<rewrite>|<\|user\|>)(\w+)", prompt)
            assert question is not None  # noqa: S101  (narrows the type)
            if found:
                texts.append(found.group(1) if rewrite == "right" else "")
            elif question.group(1) in failing or index % 2:
                texts.append("x")
            else:
                texts.append(question.group(1)[::-1])
        return texts

    return script


def guided_job(folder: Path, count: int, failing: Sequence[str], rewrite: str) -> Any:
    """One process of a scripted run of two steps; its decisions and the first gradient."""
    import torch
    from transformers import TrainerCallback

    from rephrase_rl.assembly.blocks import build_guidance
    from rephrase_rl.config import PromptsConfig
    from rephrase_rl.methods import resolve_guidance
    from trl_fakes import CountingReward, trainer

    gradients: list[list[float]] = []

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
            grads = [p.grad.flatten() for p in kw["model"].parameters() if p.grad is not None]
            gradients.append(torch.cat(grads).tolist())

    records: list[Any] = []
    made = trainer(
        folder / "trl",
        build_guidance(resolve_guidance("repo", {}), PromptsConfig()),
        reward_funcs=CountingReward({q[::-1]: 1.0 for q in QUESTIONS}),
        script=scripted(failing, rewrite),
        on_groups=records.extend,
        args={"per_device_train_batch_size": 8 // count, "max_steps": 2}
        | ({"ddp_backend": "gloo"} if count > 1 else {}),
    )
    made.add_callback(Keep())
    made.train()
    decisions = sorted(
        [r.step, r.problem_id, r.gate_open, r.slot, r.rescued, len(r.candidates)] for r in records
    )
    opened = {r.rank: 0 for r in records}
    for record in records:
        opened[record.rank] += record.gate_open
    return {"decisions": decisions, "gradient": gradients[0], "opened": opened}


def alike(count: int, failing: Sequence[str], rewrite: str = "right") -> Callable[[Path], Outcome]:
    def body(folder: Path) -> Outcome:
        results = []
        for number in (1, count):
            place = folder / str(number)
            job = functools.partial(guided_job, place, number, failing, rewrite)
            children = ranks(number, lambda _, job=job: job(), place)
            for child in children:
                if child.wait() != "done":
                    return Outcome(False, child.output()[-300:])
            results.append(children[0].result())
        one, many = results
        difference = max(abs(a - b) for a, b in zip(one["gradient"], many["gradient"], strict=True))
        same = one["decisions"] == many["decisions"]
        opened = [many["opened"].get(str(rank), 0) for rank in range(count)]
        message = f"gradients differ by {difference:.1e}; open gates by process: {opened}"
        return Outcome(
            same and difference <= 1e-6 and max(map(abs, one["gradient"])) > 1e-3, message
        )

    return body


for _count in (2, 4):
    fault("distributed", f"{_count} processes, unequal numbers of open gates", SAME)(
        alike(_count, ("ab", "ef", "gh"))
    )
    fault("distributed", f"{_count} processes, no open gate on a process", SAME)(
        alike(_count, ("ab",))
    )
    fault("distributed", f"{_count} processes, no open gate at all", SAME)(alike(_count, ()))
    fault("distributed", f"{_count} processes, empty rewrites", SAME)(
        alike(_count, ("ab", "gh"), "empty")
    )


def together(
    folder: Path,
    fail: Callable[[int], None],
    pattern: str,
    *,
    count: int = 2,
    guards: dict[str, Any] | None = None,
    dies: int | None = None,
) -> Outcome:
    """A real run in which one process fails while it judges; how all of them end."""
    from rephrase_rl.rewards.exact import ExactVerifier

    original = ExactVerifier.verify

    def verify(self: Any, completions: Any, answers: Any) -> Any:
        verify.calls += 1  # type: ignore[attr-defined]
        if verify.calls > 2:  # type: ignore[attr-defined]
            fail(int(os.environ["RANK"]))
        return original(self, completions, answers)

    verify.calls = 0  # type: ignore[attr-defined]

    def body(rank: int) -> Any:
        from rephrase_rl.cli.main import _leave_process_group, _speaker

        ExactVerifier.verify = verify  # type: ignore[method-assign]
        config = lab(trainer={"ddp_backend": "gloo"}, guards=guards or {})
        ran = train(folder / "run", config)
        print(f"{_speaker()}error: {ran.error}" if ran.error else "no error", flush=True)
        _leave_process_group(2 if ran.error else 0)

    children = ranks(count, body, folder, 60.0)
    statuses = [child.wait() for child in children]
    outputs = [child.output() for child in children]
    if "killed" in statuses:
        return Outcome(False, f"hangs: {statuses} {outputs[0][-200:]}")
    heard = [bool(re.search(pattern, out, re.DOTALL)) or r == dies for r, out in enumerate(outputs)]
    found = next((m for out in outputs if (m := re.search(pattern, out, re.DOTALL))), None)
    message = " ".join(found.group(0).split())[:300] if found else outputs[0][-300:]
    return Outcome(all(heard) and "done" not in statuses, message)


@fault("distributed", "verifier raises on one of two processes", TOGETHER)
def raises(folder: Path) -> Outcome:
    from rephrase_rl.errors import VerifierError

    def fail(rank: int) -> None:
        if rank == 1:
            raise VerifierError("the verifier of process 1 is broken on purpose")

    return together(folder, fail, r"[^\n]*the verifier of process 1 is broken on purpose")


@fault("distributed", "verifier raises on one of four processes", TOGETHER)
def raises_of_four(folder: Path) -> Outcome:
    from rephrase_rl.errors import VerifierError

    def fail(rank: int) -> None:
        if rank == 2:
            raise VerifierError("the verifier of process 2 is broken on purpose")

    return together(folder, fail, r"[^\n]*the verifier of process 2 is broken on purpose", count=4)


@fault("distributed", "kill -9 of one of two processes", "the other ends and says so")
def killed(folder: Path) -> Outcome:
    def fail(rank: int) -> None:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return together(folder, fail, r"another process is gone and left no message[^\n]*", dies=1)


@fault("distributed", "kill -9 of the first process", "the other ends and says so")
def first_killed(folder: Path) -> Outcome:
    def fail(rank: int) -> None:
        if rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return together(folder, fail, r"another process is gone and left no message[^\n]*", dies=0)


@fault("distributed", "one process hangs in its verifier", "all end with the stacks of all threads")
def hangs(folder: Path) -> Outcome:
    def fail(rank: int) -> None:
        if rank == 1:
            time.sleep(3600)

    guards = {"hang_limit_s": 5.0}
    pattern = r"process \d of 2: nothing has moved for 5 s[^\n]*|another process is gone[^\n]*"
    outcome = together(folder, fail, pattern, guards=guards)
    stack = (folder / "rank-1.log").read_text()
    return outcome if "in fail" in stack else Outcome(False, f"no stack: {stack[-300:]}")


@fault("distributed", "loss is NaN on one of two processes", "both refuse the step, and stay equal")
def nan_on_one(folder: Path) -> Outcome:
    import math

    from rephrase_rl.trainers.trl.trainer import RePOTrainer

    original = RePOTrainer._compute_loss

    def compute(self: Any, model: Any, inputs: Any) -> Any:
        loss = original(self, model, inputs)
        spoiled = self.state.global_step == 1 and os.environ["RANK"] == "1"
        return loss * math.nan if spoiled else loss

    def body(rank: int) -> Any:
        RePOTrainer._compute_loss = compute  # type: ignore[method-assign]
        ran = train(folder / "run", lab(trainer={"ddp_backend": "gloo"}))
        refused = [f.name for f in (folder / "run" / "refused").iterdir()]
        return {"error": str(ran.error or ""), "refused": sorted(refused)}

    children = ranks(2, body, folder)
    statuses = [child.wait() for child in children]
    if statuses != ["done", "done"]:
        return Outcome(False, f"{statuses}: {children[0].output()[-300:]}")
    results = [child.result() for child in children]
    names = ["step-1-process-0.json", "step-1-process-1.json"]
    good = not any(r["error"] for r in results) and results[0]["refused"] == names
    return Outcome(good, f"refused/ holds {', '.join(results[0]['refused'])} {results[0]['error']}")
