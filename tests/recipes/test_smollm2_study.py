"""The study of SmolLM2: its parts by themselves, and all of it in order with a tiny model."""

from __future__ import annotations

import copy
import json
import math
import signal
import sys
import time
from pathlib import Path

import made_up_rows as made
import pytest
import recipe_scripts
import yaml

from fakes import ByteTokenizer, tiny_model
from rephrase_rl.cli.main import main as command_line
from rephrase_rl.errors import DataError

problems = recipe_scripts.load("smollm2/problems")
study = recipe_scripts.load("smollm2/study")
table = recipe_scripts.load("smollm2/table")
measure = recipe_scripts.load("smollm2/measure")
choices = recipe_scripts.load("smollm2/choices")


def word_problems(count: int) -> list[dict]:
    return [
        {
            "source": "made up",
            "question": f"A box holds {i} pens and {i + 1} more. How many pens?",
            "equation_prefix": "+ number0 number1",
            "steps": [f"{i} + {i + 1} = {2 * i + 1}"],
            "answer": str(2 * i + 1),
        }
        for i in range(count)
    ]


@pytest.fixture
def data(tmp_path) -> Path:
    """A folder with files in the columns of those that the study reads."""
    folder = tmp_path / "data"
    made.lines(folder / "mwp/mwp_train_steps.jsonl", word_problems(40))
    question = "Which is wet?\n\nA) fire\nB) water\nC) sand\nD) dust\n"
    arc = [{"source": "arc", "question": question, "answer": "B"}] * 3
    made.lines(folder / "choice/arc_challenge_test.jsonl", arc)
    ecqa = "What flies?\\nOptions:\\n- a stone\\n- a bird\ta bird\tIt has wings.\n"
    (folder / "choice/ecqa_train.tsv").write_text(ecqa * 3)
    entries = {str(i): {"CONTEXTS": [f"Study {i} found", "nothing at all."]} for i in range(4)}
    (folder / "choice/pubmedqa_pqal.json").write_text(json.dumps(entries))
    return folder


def test_parts_are_disjoint_and_repeated_questions_are_in_none() -> None:
    rows = [*word_problems(30), {**word_problems(1)[0], "answer": "7"}]
    sizes = {"warm_up": 10, "pool": 10, "test_pool": 5, "held_out": 4}
    parts = problems.split(rows, sizes, 0)
    questions = [row["question"] for part in parts.values() for row in part]
    assert [len(part) for part in parts.values()] == list(sizes.values())
    assert len(set(questions)) == 29
    assert rows[0]["question"] not in questions
    assert problems.split(rows, sizes, 1) != parts
    with pytest.raises(DataError, match="found 29 questions"):
        problems.split(rows, {**sizes, "held_out": 5}, 0)


def test_the_warm_up_solves_and_rewrites_in_words(tmp_path) -> None:
    rows = problems.warm_up_rows(made.lines(tmp_path / "rows.jsonl", word_problems(2)))
    assert "<solution>" not in rows[0]["question"]
    assert "1 + 2 = 3\nThe final answer is \\boxed{3}." in rows[1]["question"]
    assert rows[1]["expert_solution"] == "1 plus 2 is 3. So the answer is \\boxed{3}."


def test_arms_come_in_their_order_all_with_the_first_seed_first(tmp_path) -> None:
    found = study.read_study(recipe_scripts.SCRIPTS / "smollm2" / "study.yaml")
    assert found.steps >= 40
    assert len(found.seeds) >= 2
    jobs = study.jobs_of(found, Path("m"), Path("d"), tmp_path)
    names = [job.name for job in jobs]
    assert names[:5] == ["data", "warm_up", "mined", "mined_test", "measure warm"]
    arms = [name for name in names[5:-1] if not name.startswith("measure")]
    all_seeds = ["repo", "grpo", "luffy", "naive", "rewrite_sft"]
    first, second, third = ([f"{arm}-{seed}" for arm in all_seeds] for seed in (0, 1, 2))
    assert arms == [*first, "repo_lora-0", *second, "repo_steps_valid-1", *third]
    (lora,) = [job for job in jobs if job.name == "repo_lora-0"]
    assert {"method=repo", "model.lora.r=16"} <= {*lora.command}
    assert names[-2:] == ["measure base", "measure choices of base"]


def test_a_run_that_broke_off_is_resumed_or_begun_anew(tmp_path) -> None:
    job = study.training("x", Path("c.yaml"), tmp_path / "run", [])
    assert not {"--resume", "--overwrite"} & set(job.words())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    assert job.words()[-1] == "--overwrite"
    (tmp_path / "run" / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    assert job.words()[-1] == "--resume"
    assert not job.is_done
    (tmp_path / "run" / "summary.json").write_text("{}")
    assert job.is_done


def job_of(tmp_path: Path, name: str, program: str) -> study.Job:
    done = tmp_path / name
    return study.Job(name, [sys.executable, "-c", program.format(done=str(done))], done)


def test_done_jobs_are_passed_over_and_a_failure_stops(tmp_path, capsys) -> None:
    write = "open({done!r}, 'w').close()"
    jobs = [job_of(tmp_path, "a", write), job_of(tmp_path, "b", "raise SystemExit(3)")]
    jobs.append(job_of(tmp_path, "c", write))
    assert study.carry_out(jobs, tmp_path, time.monotonic() + 60) == 3
    assert (jobs[0].is_done, jobs[2].is_done) == (True, False)
    assert "b failed" in capsys.readouterr().out
    jobs[1].done.touch()
    assert study.carry_out(jobs, tmp_path, time.monotonic() + 60) == 0
    assert jobs[2].is_done
    assert capsys.readouterr().out.count("status 0") == 1  # a and b are not done again


def test_at_the_deadline_the_running_job_is_told_and_the_next_not_begun(tmp_path, capsys) -> None:
    saves = (
        "import signal, sys, time\n"
        "def save(*_):\n    open({done!r} + '.saved', 'w').close(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\ntime.sleep(60)\n"
    )
    jobs = [job_of(tmp_path, "a", saves), job_of(tmp_path, "b", "open({done!r}, 'w').close()")]
    assert study.STOPPED == 128 + signal.SIGTERM == 143
    assert study.carry_out(jobs, tmp_path, time.monotonic() + 0.5) == 0
    assert (tmp_path / "a.saved").is_file()
    assert not jobs[1].is_done
    assert "the hours ran out in a" in capsys.readouterr().out


def in_this_process(monkeypatch):
    """Stands in for ``run_until``: the same command lines without starting Python each time."""
    ran = []

    def run(words, log, deadline) -> int:
        ran.append(words)
        if words[1] == "-m":
            return command_line(words[3:])
        module = recipe_scripts.load(f"smollm2/{Path(words[1]).stem}")
        monkeypatch.setattr(sys, "argv", words[1:])
        module.main()
        return 0

    monkeypatch.setattr(study, "run_until", run)
    return ran


@pytest.mark.integration
def test_the_whole_study_with_a_tiny_model(data, tmp_path, monkeypatch, capsys) -> None:
    model = tmp_path / "model"
    tiny_model(max_position_embeddings=2048).save_pretrained(model)
    ByteTokenizer().save_pretrained(model)
    small = {
        "arms": {
            "repo": {}, "luffy": {}, "rewrite_sft": {}, "unseen": {"method": "repo", "seeds": [1]},
            "repo_lora": {"method": "repo", "set": ["model.lora.r=2"]},
        },
        "seeds": [0], "steps": 1, "tokens": 48,
        "samples": 2, "high": 0.25, "limit": 2, "choices": 2,
        "parts": {"warm_up": 8, "pool": 4, "test_pool": 2, "held_out": 2},
        "set": ["trainer.num_generations=2", "trainer.per_device_train_batch_size=4",
                "trainer.bf16=false"],
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(small))
    runs = tmp_path / "runs"
    words = ["study.py", "--study", str(tmp_path / "study.yaml"), "--model", str(model)]
    words += ["--data", str(data), "--runs", str(runs)]
    ran = in_this_process(monkeypatch)
    monkeypatch.setattr(sys, "argv", words)
    assert study.main() == 0
    assert "every job is done" in capsys.readouterr().out
    assert len(ran) == 6 + 3 * 4 + 2
    monkeypatch.setattr(sys, "argv", words)
    assert study.main() == 0  # nothing is left
    assert len(ran) == 20

    record = table.gathered(runs)
    assert list(record["arms"]) == ["base", "warm", "luffy", "repo", "repo_lora", "rewrite_sft"]
    assert record["mined"]["mined"]["problems"] == 4
    assert record["arms"]["repo"]["costs"][0]["steps"] == 1
    assert record["arms"]["repo"]["costs"][0]["generated_tokens"] > 0
    assert list(record["repo_minus"]) == ["luffy", "repo_lora", "rewrite_sft"]
    page = table.as_markdown(record)
    (line,) = [line for line in page.splitlines() if line.startswith("| repo |")]
    assert "0.000 [0.000" in line
    assert line.count("|") == 12
    assert record["arms"]["repo"]["ecqa"]["problems"] == 2
    assert record["arms"]["repo"]["costs"][0]["peak_bytes"] > 1e8
    repo, supervised = (record["arms"][arm]["costs"][0] for arm in ("repo", "rewrite_sft"))
    assert sum(repo["refusals"].values()) == repo["candidates"] - repo["accepted"]
    assert repo["cut_off_at_the_end"] >= 0.0
    assert (supervised["refusals"], supervised["cut_off_at_the_end"]) == ({}, None)


def test_refused_rewrites_are_counted_by_their_rules(tmp_path) -> None:
    whole = {"accepted": True, "refusals": []}
    wrong = {"accepted": False, "refusals": ["reward_above_replaced", "finished"]}
    rows = [{"candidates": [whole, wrong]}, {"candidates": [wrong]}, {"candidates": []}]
    found = table.refusals(made.lines(tmp_path / "groups.jsonl", rows))
    assert found == {"reward_above_replaced and finished": 2}
    shares = [{"completions/clipped_ratio": 0.5}, {"completions/clipped_ratio": 0.25}, {}]
    assert table.cut_off(shares) == 0.375


def measured(rate: float, nll: float) -> dict:
    values = {f"p{i}": [rate, rate] for i in range(10)}
    texts = {"nll": [nll, nll + 0.1], "tokens": 10}
    shares = (*table.SHARES, table.WRITTEN)
    return {name: {"values": values} for name in shares} | {"text": texts}


def test_seeds_are_joined_problem_by_problem(tmp_path) -> None:
    found = table.row([measured(0.0, 2.0), measured(1.0, 2.2)], ["x-0", "x-1"], tmp_path)
    assert found["hard"]["mean"] == 0.5
    assert found["hard"]["per_seed"] == [0.0, 1.0]
    assert found["hard"]["problems"] == 10
    assert found["perplexity"]["mean"] == pytest.approx(math.exp(2.15))
    assert found["perplexity"]["low"] < found["perplexity"]["mean"] < found["perplexity"]["high"]
    assert "gain" not in found["hard"]
    gained = table.row([measured(0.5, 2.0)], ["x-0"], tmp_path, measured(0.2, 2.0))
    assert gained["hard"]["gain"]["mean"] == pytest.approx(0.3)
    assert "<br>+0.300 [+0.300, +0.300] |" in table.table_row("x", gained)
    half = measured(0.2, 2.0)
    half["hard"]["values"]["p0"] = [1.0, None]  # one sample could not be judged
    assert table.row([measured(0.5, 2.0)], ["x"], tmp_path, half)["hard"]["gain"][
        "mean"
    ] == pytest.approx((9 * 0.3 - 0.5) / 10)
    lone = table.row([measured(0.3, 2.0)], ["x-0"], tmp_path)
    assert "| 0.300 [" in table.table_row("warm", lone)


def test_arms_are_compared_with_repo_problem_by_problem() -> None:
    ones, others = [measured(0.5, 2.0), measured(0.7, 2.0)], [measured(0.2, 2.0)]
    ones[0]["hard"] = {"values": ones[0]["hard"]["values"] | {"p0": [1.0, 1.0]}}
    found = table.differences(ones, others)
    assert found["hard"]["mean"] == pytest.approx((9 * 0.4 + 0.65) / 10)
    assert found["held_out"]["mean"] == pytest.approx(0.4)
    assert found["held_out"]["low"] == pytest.approx(0.4)
    assert table.of_same_seed("repo_lora-1") == "repo-1"
    record = {"arms": {}, "repo_minus": {"grpo": found}}
    assert table.table(record)[-1].startswith("| grpo | +0.425 [+0.3")
    assert "<br>" not in table.table(record)[-1]  # one seed tells nothing of a method


def test_seeds_that_differ_widen_what_is_said_of_methods() -> None:
    repo = [measured(0.5, 2.0), measured(0.9, 2.0)]
    other = [measured(0.2, 2.0), measured(0.3, 2.0)]
    found = table.differences(repo, other)["hard"]
    assert (found["low"], found["high"]) == pytest.approx((0.45, 0.45))
    assert found["methods"]["low"] < 0.0 < 0.45 < found["methods"]["high"]
    assert found["methods"]["p_value"] > 0.05
    gap = measured(0.5, 2.0)
    gap["hard"]["values"]["p0"] = [None, 0.5]  # a sample that could not be judged
    alike = table.differences([gap] * 2, [measured(0.2, 2.0)] * 2)["hard"]
    assert alike["methods"]["low"] == pytest.approx(0.3)
    one_seed = table.differences([gap], [measured(0.2, 2.0)])
    arms = {arm: {"hard": found, "held_out": found} for arm in ("grpo", "naive")}
    arms["grpo"] = copy.deepcopy(arms["grpo"])
    table.corrected({**arms, "lora": one_seed})
    assert found["methods"]["p_holm"] == pytest.approx(2 * found["methods"]["p_value"])
    low, high = (f"{found['methods'][end]:+.3f}" for end in ("low", "high"))
    p_value = f"{found['methods']['p_holm']:.3f}"
    line = table.table({"arms": {}, "repo_minus": arms})[-1]
    assert f"+0.450 [+0.450, +0.450]<br>[{low}, {high}], p {p_value} |" in line


def test_the_table_leaves_out_a_policy_measured_in_part(tmp_path) -> None:
    made.lines(tmp_path / "measured/x-0.json", [measured(0.5, 2.0)])
    with pytest.raises(DataError, match="found no policy measured in both"):
        table.gathered(tmp_path)


def test_options_stand_apart_from_the_question(tmp_path) -> None:
    lettered = {"question": "Which is wet?\n\nA) fire\nB) water\n", "answer": "B"}
    numbered = {"question": "Which is hot?\n\n1) fire\n2) ice\n3) fog\n", "answer": "1"}
    rows = choices.arc_questions(made.lines(tmp_path / "arc.jsonl", [lettered, numbered]))
    assert rows == [
        {"question": "Which is wet?", "choices": ["fire", "water"], "label": 1},
        {"question": "Which is hot?", "choices": ["fire", "ice", "fog"], "label": 0},
    ]
    file = tmp_path / "ecqa.tsv"
    line = 'Who says \\"yes\\"?\\nOptions:\\n- a stone\\n- she\t{}\tWhy.\n'
    file.write_text(line.format("she"))
    (row,) = choices.ecqa_questions(file)
    assert row["choices"] == ["a stone", "she"]
    assert (row["label"], row["question"].split()[:2]) == (1, ["Who", "says"])
    assert row["question"].endswith("?")
    file.write_text(line.format("nobody"))
    with pytest.raises(DataError, match="question 1: found the right option 'nobody'"):
        choices.ecqa_questions(file)


def test_nothing_measured_is_told(tmp_path) -> None:
    with pytest.raises(DataError, match="found no policy measured in both"):
        table.gathered(tmp_path)


def test_perplexity_is_that_of_the_text_after_its_first_token() -> None:
    row = measure.given(ByteTokenizer(), "abc" * 100)
    assert row.prompt_ids == (ord("a"),)
    assert bytes(row.token_ids) == (b"abc" * 100)[1 : measure.TEXT_TOKENS]
