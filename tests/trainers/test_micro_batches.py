"""A micro-batch computed in parts is the micro-batch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compute import CountingRows, one_solved, step
from test_groups_without_spread import saved_tiny_model
from test_repo_trainer import rewrite_or
from torch.nn.parallel import DistributedDataParallel

from fakes import tiny_model
from guidance_fakes import repo
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.streams import build_stream
from rephrase_rl.config import PromptsConfig
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import resolve_guidance
from rephrase_rl.trainers.trl.compute import Compute
from rephrase_rl.trainers.trl.micro_batches import TOKENS_ON_A_CPU, cut_rows, loss_in_parts
from rephrase_rl.trainers.trl.trained_rows import TrainedRows
from trl_fakes import trainer

pytestmark = pytest.mark.integration

WHOLE = Compute("generate", "plain", None, False)


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setattr("trl_fakes.ScriptedTrainer", CountingRows)


def unequal(prompts, call):
    """Completions of 1 to 9 tokens; in each group one is right, so that all are trained."""
    texts = []
    for i, prompt in enumerate(prompts):
        question = prompt.split("<|user|>")[1][:2]
        texts.append(question[::-1] if i % 2 else "x" * (1 + 2 * (i // 2)))
    return texts


# One row at a time, a group, and two groups; the longest row has 5 + 8 tokens.
@pytest.mark.parametrize(("budget", "passes"), [(1, 8), (26, 4), (52, 2)])
@pytest.mark.parametrize("forward", ["plain", "packed"])
@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "cispo"])
def test_any_cut_gives_the_loss_and_the_gradient_of_the_whole(
    tmp_path, counting, loss_type, forward, budget, passes
) -> None:
    extra = {"epsilon_high": 5.0} if loss_type == "cispo" else {}
    _, whole, expected = step(tmp_path, WHOLE, script=unequal, loss_type=loss_type, **extra)
    compute = Compute("generate", forward, budget, False)
    made, entry, weights = step(tmp_path, compute, script=unequal, loss_type=loss_type, **extra)
    assert len(made.sizes) == passes
    assert entry["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert entry["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-5)
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_figures_of_the_loss_are_those_of_the_whole(tmp_path, beta) -> None:
    """Among them the entropy, the KL term, clip shares and the figures of injected tokens."""
    args = {"beta": beta, "max_steps": 2, "num_iterations": 2, "learning_rate": 0.5}
    whole = every_entry(tmp_path, WHOLE, **args)
    parts = every_entry(tmp_path, Compute("generate", "plain", 30, False), **args)
    names = {name for entry in whole for name in entry if "time" not in name}
    assert {"entropy", "clip_ratio/low_min", "injection/policy_logp"} <= names
    assert any(entry["clip_ratio/region_mean"] > 0 for entry in whole[:2])
    for ours, theirs in zip(parts, whole, strict=True):
        for name in names & theirs.keys():
            if (
                isinstance(theirs[name], float)
                and "runtime" not in name
                and "per_second" not in name
            ):
                assert ours[name] == pytest.approx(theirs[name], abs=2e-6, rel=1e-4), name


def failing_at_different_lengths(prompts, call):
    texts = rewrite_or("x")(prompts, call)
    return ["x" * (1 + i) if text == "x" else text for i, text in enumerate(texts)]


def every_entry(tmp_path, compute, **args):
    made, _, _ = step_of_repo(tmp_path, compute, **args)
    return [entry for entry in made.state.log_history if "grad_norm" in entry]


def step_of_repo(tmp_path, compute, **args):
    made = trainer(
        tmp_path,
        repo(),
        script=failing_at_different_lengths,
        compute=compute,
        model=saved_tiny_model(tmp_path / "model"),  # TRL loads its reference from there
        args={"per_device_train_batch_size": 8, "shuffle_dataset": False, "optim": "sgd"} | args,
    )
    made.train()
    return made, None, None


@pytest.mark.parametrize("method", ["hpt", "naive", "luffy", "repo"])
def test_losses_of_injected_text_are_cut_as_well(tmp_path, counting, method) -> None:
    guidance = build_guidance(resolve_guidance(method, {}), PromptsConfig())
    script = rewrite_or("x") if method == "repo" else one_solved
    _, whole, expected = step(tmp_path, WHOLE, guidance, script)
    made, entry, weights = step(tmp_path, Compute("generate", "packed", 26, True), guidance, script)
    assert len(made.sizes) > 1
    assert entry["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert entry["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_longest_rows_come_first(tmp_path, counting) -> None:
    made, _, _ = step(tmp_path, Compute("generate", "plain", 26, False), script=unequal)
    widths = [columns for _, columns in made.sizes]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1]


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ({"loss_type": "bnpo"}, "'bnpo' divides by"),
        ({"entropy_coef": 0.1}, "entropy bonus"),
        ({"top_entropy_quantile": 0.5}, "top_entropy_quantile"),
    ],
)
def test_a_loss_that_depends_on_the_cut_is_refused_or_computed_whole(
    tmp_path, counting, args, what
) -> None:
    with pytest.raises(ConfigError, match=what):
        trainer(tmp_path, None, compute=Compute(tokens_per_pass=50), args=args)
    made, _, _ = step(tmp_path, Compute("generate", "plain", "auto", False), **args)
    assert [rows for rows, _ in made.sizes] == [8]


def test_a_joint_stream_is_computed_whole(tmp_path) -> None:
    config = resolve_guidance("chord", {})
    options = {"guidance": build_guidance(config, PromptsConfig()), "args": {}}
    stream = build_stream(config.slot)
    with pytest.raises(ConfigError, match="joint stream"):
        trainer(tmp_path, **options, stream=stream, compute=Compute(tokens_per_pass=50))


@pytest.mark.parametrize("wanted", [0, -3, "many"])
def test_a_budget_is_a_number_of_tokens(tmp_path, wanted) -> None:
    with pytest.raises(ConfigError, match="tokens_per_pass"):
        trainer(tmp_path, None, compute=Compute(tokens_per_pass=wanted))


def test_on_a_cpu_there_is_a_budget(tmp_path) -> None:
    assert trainer(tmp_path, None)._tokens_of_a_part == TOKENS_ON_A_CPU
    assert trainer(tmp_path, None, compute=Compute(tokens_per_pass=None))._tokens_of_a_part is None


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=6), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_parts_hold_every_row_once_and_keep_to_the_budget(groups, budget) -> None:
    lengths = [length for group in groups for length in group]
    numbers = iter(range(len(lengths)))
    by_prompt = [[next(numbers) for _ in group] for group in groups]
    parts = cut_rows(by_prompt, lengths, budget)
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    first_widths = []
    for part in parts:
        width = max(lengths[row] for row in part)
        first_widths.append(width)
        assert len(part) == 1 or width * len(part) <= budget
    # A group that fits into a part of its own is never cut.
    for group in by_prompt:
        if len(group) * max(lengths[row] for row in group) <= budget:
            assert sum(any(row in part for row in group) for part in parts) == 1
    assert first_widths[0] == max(lengths)


@pytest.fixture
def one_gloo_process():
    """With DDP, which exchanges gradients with itself."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_processes_exchange_gradients_once_for_all_parts(one_gloo_process) -> None:
    model = DistributedDataParallel(torch.nn.Linear(1, 1, bias=False))
    exchanges: list[torch.Tensor] = []

    def count(_, bucket):
        exchanges.append(bucket.buffer().clone())
        done: torch.futures.Future = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    model.register_comm_hook(None, count)
    accelerator = SimpleNamespace(
        distributed_type=DistributedType.MULTI_CPU,
        num_processes=1,
        no_sync=lambda wrapped: wrapped.no_sync(),
        backward=lambda loss: loss.backward(),
    )
    fake = SimpleNamespace(
        accelerator=accelerator,
        model=tiny_model(),
        loss_type="dapo",
        _metrics={"train": {}},
        loss_of_rows=lambda wrapped, rows: (
            wrapped(rows["completion_ids"].float().sum().view(1, 1)).sum(),
            None,
        ),
    )
    ones = torch.ones(4, 1, dtype=torch.long)
    inputs = {"prompt_ids": ones, "prompt_mask": ones, "completion_mask": ones}
    inputs["completion_ids"] = torch.tensor([[1], [2], [3], [4]])
    loss, _ = loss_in_parts(fake, model, TrainedRows(inputs, 1.0), budget=2)
    loss.backward()
    assert [float(gradient) for gradient in exchanges] == [1 + 2 + 3 + 4]
