"""Every stage, trained by two processes, comes to the weights that one process comes to."""

from __future__ import annotations

import contextlib
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minillm.artifact import Artifact
from minillm.course import Course
from minillm.data.example import write_example
from minillm.model.gpt import GPT
from minillm.train import choose_runtime

pytestmark = pytest.mark.processes
PAGE = Path(__file__).parents[1] / "book" / "scale.md"
STAGES = ("base", "sft", "reward", "dpo", "ppo", "lora")
# Few steps, and data of one's own, so that no time is spent on the judge. AdamW divides a gradient by its own size, so
# that of gradients that cancel to almost nothing the rounding is scaled up to whole steps: the differences grow with
# the learning rate (at 2e-3, 3e-5 after 8 steps of fine-tuning), which is low here.
SETTINGS = {
    "corpus": "harbour/corpus",
    "base": {
        "fit": {"steps": 12, "validate_every": 6, "learning_rate": 1e-3, "matrix_learning_rate": 5e-3},
        "rows": 5,
    },
    "conversations": "harbour/conversations.jsonl",
    "sft": {"fit": {"steps": 8, "micro_batch_rows": 2, "learning_rate": 3e-4}},
    "preferences": "harbour/preferences.jsonl",
    "reward": {"fit": {"steps": 13}, "prompts": 89},  # every other batch has one prompt, for two processes
    "dpo": {"fit": {"steps": 13, "learning_rate": 3e-4}, "prompts": 89},
    "ppo": {"iterations": 2, "prompts": 7, "rows": 3, "minibatches": 4},  # of 2, 2, 2 answers and 1
    "domain": "harbour/radio.jsonl",
    "lora": {"training": {"fit": {"steps": 4, "learning_rate": 3e-4}}},
}
SCRIPT = f"""
    import os, sys
    from minillm.course import Course
    from minillm.stages import on_policy
    from minillm.train import choose_runtime, runtime, step

    if sys.argv[1] == "bypassed":
        step.synchronise_gradients = on_policy.synchronise_gradients = lambda model, world_size: None
    os.chdir(sys.argv[2])
    machine = choose_runtime("cpu", "fp32", threads=1, compile=False)
    for stage in {STAGES}:
        Course("smoke", stage, runtime=machine, progress=False, **{SETTINGS}).stage(stage)
    runtime.leave_processes()
"""


GRPO = """
    import sys
    from pathlib import Path
    import torch
    from minillm.data.tasks import Tasks
    from minillm.model.gpt import GPT, GPTConfig
    from minillm.stages import on_policy
    from minillm.stages.grpo import GRPOConfig, train_by_check
    from minillm.text.tokenizer import Tokenizer
    from minillm.train import choose_runtime, runtime
    from minillm.train.options import RunOptions

    how, place, n = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if how == "bypassed":
        on_policy.synchronise_gradients = lambda model, world_size: None
    tokenizer = Tokenizer([])
    model = GPT(GPTConfig(tokenizer.vocab_size, context_length=160, n_layer=1, n_head=2, d_model=16, d_ff=20), 0)
    with torch.no_grad():  # so that answers end, and differ
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    # Minibatches of 7, 7 and 7 answers, in pieces of 3: the processes get unequal shares.
    config = GRPOConfig(iterations=2, prompts=7, answers=3, minibatches=3, max_new_tokens=9, rows=3)
    machine = choose_runtime("cpu", "fp32", threads=1, compile=False)
    policy, figures = train_by_check(
        config,
        model,
        tokenizer,
        lambda number: Tasks("train", ["world"]).task(1, number),
        RunOptions(runtime=machine, progress=False),
        check=lambda task, answer: float(len(answer) % 3),
    )
    assert figures["train_mixed_groups"] > 0.3 and figures["train_reward"] > 0.05, figures
    if machine.is_main:
        policy.save_pretrained(place / f"{how}-{n}")
    runtime.leave_processes()
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The root of the stages that one process has trained; beside it lie the data."""
    place = tmp_path_factory.mktemp("place")
    write_example(place / "harbour")
    with contextlib.chdir(place):
        for stage in ("ppo", "dpo", "lora"):
            machine = choose_runtime("cpu", "fp32", threads=1, compile=False)
            Course("smoke", "alone", runtime=machine, progress=False, **SETTINGS).stage(stage)
    return place / "alone"


def by_two(torchrun: Callable[..., None], alone: Path, place: Path, how: str) -> dict[str, float]:
    """Train each stage by two processes from the parents of `alone`; the largest difference of a weight, by stage."""
    shutil.copytree(alone.with_name("harbour"), place / "harbour")
    for stage in STAGES:
        shutil.copytree(alone, place / stage)
        shutil.rmtree(folder(place / stage, stage))
    script = place / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    torchrun(2, script, how, place)
    return {stage: difference(*(weights(root, stage) for root in (alone, place / stage))) for stage in STAGES}


def folder(root: Path, stage: str) -> Path:
    with contextlib.chdir(root.parent):
        return Course("smoke", root, **SETTINGS).folder(stage)


def weights(root: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(folder(root, stage) / "model.safetensors")


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_two_processes_equal_one_in_every_stage(torchrun, alone, tmp_path):
    differences = by_two(torchrun, alone, tmp_path, "synchronised")
    assert max(differences.values()) < 5e-5, (
        differences
    )  # roundings; a gradient that is not shared gives over 1e-4
    figures = [Artifact(folder(root, "ppo")).figures for root in (alone, tmp_path / "ppo")]
    for name in (
        "train_reward",
        "train_kl",
        "train_entropy",
        "train_explained_variance",
        "answers",
        "tokens",
    ):
        one, other = (part[name] for part in figures)
        assert one == pytest.approx(other, abs=1e-4), name


def test_without_synchronisation_they_would_not(torchrun, alone, tmp_path):
    differences = by_two(torchrun, alone, tmp_path, "bypassed")
    assert min(differences.values()) > 1e-4, differences


def test_two_processes_equal_one_in_grpo(torchrun, tmp_path):
    """Which takes tasks with a checker, and not the data of one's own that the other stages are given here."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(GRPO), encoding="utf-8")
    models = {}
    for how, n in (("synchronised", 1), ("synchronised", 2), ("bypassed", 2)):
        torchrun(n, script, how, tmp_path, n)
        models[how, n] = load_file(tmp_path / f"{how}-{n}" / "model.safetensors")
    assert difference(models["synchronised", 1], models["synchronised", 2]) < 5e-5
    assert difference(models["synchronised", 1], models["bypassed", 2]) > 1e-4


def test_the_pages_program_for_a_sharded_model_trains_the_same_with_two_processes(torchrun, tmp_path):
    """FSDP2, as in the page about scale; what it writes is read by `GPT.from_pretrained`."""
    (program,) = re.findall(
        r"^```python\n(# fsdp.py\n.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
    (tmp_path / "fsdp.py").write_text(program, encoding="utf-8")
    models = []
    for n in (1, 2):
        torchrun(n, tmp_path / "fsdp.py", tmp_path / str(n))
        models.append(GPT.from_pretrained(tmp_path / str(n)).state_dict())
    assert difference(*models) < 1e-5
    assert difference(models[0], GPT(GPT.from_pretrained(tmp_path / "1").config, 0).state_dict()) > 1e-3
