"""Every stage's training in a few steps, and what is done with models afterwards, wherever they run.

Each gives numbers that do not depend on the device but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minillm.data.batches import Batch
from minillm.data.comparisons import Comparison
from minillm.data.conversations import TaskConversations
from minillm.data.corpora import WorldCorpus
from minillm.data.tasks import DOMAINS, Tasks
from minillm.data.world import World
from minillm.evaluate import answer_tasks, evaluate_policy
from minillm.export.formats import export_hf
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.heads import RewardModel
from minillm.model.inspect import attention_weights, hidden_states, trace, without_heads
from minillm.model.lora import LoRAConfig, apply_lora, lora_state_dict
from minillm.model.sampling import generate
from minillm.stages.dpo import DPOConfig, comparison_log_probs, train_dpo
from minillm.stages.grpo import GRPOConfig, train_by_check
from minillm.stages.lora import DomainConfig, adapt
from minillm.stages.ppo import PPOConfig, train_policy
from minillm.stages.pretrain import PretrainConfig, pretrain, validation_figures
from minillm.stages.reward import RewardConfig, score_comparisons, train_reward_model
from minillm.stages.sft import SFTConfig, answer_losses, fine_tune
from minillm.terminal import ChatSession, TextSession
from minillm.text.chat import END
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.loop import fit
from minillm.train.options import RunOptions
from minillm.train.runtime import Runtime

__all__ = ["STAGES", "USES", "CutOffError", "adapter_weights", "make_gpt", "make_reward", "tokenizer"]

CORPUS = WorldCorpus(60, 6)
CHATS = TaskConversations(24, 4)
HELP_DESK = TaskConversations(12, 3, tuple(DOMAINS["help desk"]))
PROMPTS = [[1, 2, 3], [4], [5] * 9]


@cache
def tokenizer() -> Tokenizer:
    """With 400 tokens."""
    return Tokenizer.train((document.text for document in World().documents(200)), 400)


def make_gpt(seed: int = 1) -> GPT:
    """Random weights everywhere, in a shape whose numbers all differ."""
    config = GPTConfig(
        tokenizer().vocab_size, context_length=96, n_layer=2, n_head=4, n_kv_head=2, d_model=24, d_ff=40
    )
    model = GPT(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        weight.data.normal_(1.0 if "norm" in name else 0.0, 0.2, generator=generator)
    return model


def make_reward() -> RewardModel:
    """A model of the same shape that scores."""
    return RewardModel.from_body(make_gpt(), generator=3).eval()


def comparisons() -> list[Comparison]:
    """Answers of different length and number."""
    chat = ({"role": "user", "content": "Where is my kettle?"},)
    return [
        Comparison(
            chat, ("It is in the kitchen.", "No.", "I do not know that.")[: 2 + n % 2], (0, 1, 1)[: 2 + n % 2]
        )
        for n in range(6)
    ]


def _fit(**settings: Any) -> FitConfig:
    return FitConfig(steps=3, validate_every=2, checkpoint_every=2, **settings)


def base(options: RunOptions) -> dict[str, float]:
    """Pretraining with Muon, in micro batches."""
    config = PretrainConfig(make_gpt().config, _fit(micro_batch_rows=3), rows=5, validation_tokens=300)
    model, figures = pretrain(config, tokenizer(), CORPUS, options)
    return {"train_loss": figures["train_loss"], **validation_figures(model, tokenizer(), CORPUS)}


def sft(options: RunOptions) -> dict[str, float]:
    """Fine-tuning with AdamW and early stopping."""
    config = SFTConfig(_fit(optimizer="adamw", patience=2), rows=4, corpus_documents=5)
    model = make_gpt()
    figures = fine_tune(config, model, tokenizer(), CHATS, CORPUS, options, new_control_tokens=True)
    return {"train_loss": figures["train_loss"], **answer_losses(config, model, tokenizer(), CHATS, CORPUS)}


def reward(options: RunOptions) -> dict[str, float]:
    """A reward model."""
    config = RewardConfig(_fit(optimizer="adamw"), prompts=4)
    model, figures = train_reward_model(
        config, make_gpt().to(options.runtime.device), tokenizer(), comparisons(), comparisons(), options
    )
    scores = score_comparisons(model, tokenizer(), comparisons())
    return {"train_loss": figures["train_loss"], "first": scores[0][0], "last": scores[-1][-1]}


def dpo(options: RunOptions) -> dict[str, float]:
    """A policy from rankings."""
    policy, figures = train_dpo(
        DPOConfig(_fit(optimizer="adamw"), prompts=4),
        make_gpt().to(options.runtime.device),
        tokenizer(),
        comparisons(),
        comparisons(),
        options,
    )
    log_probs = comparison_log_probs(policy, tokenizer(), comparisons())
    return {"train_loss": figures["train_loss"], "first": log_probs[0][0], "last": log_probs[-1][-1]}


def ppo(options: RunOptions) -> dict[str, float]:
    """Two iterations of PPO, watched."""
    config = PPOConfig(
        iterations=2, prompts=5, epochs=2, minibatches=2, max_new_tokens=6, rows=3, checkpoint_every=1
    )
    watched: list[int] = []

    def watch(policy: GPT) -> dict[str, Any]:
        watched.append(len(generate(policy, PROMPTS, 3, temperature=0)))
        return {}

    _, figures = train_policy(
        config, make_gpt(), make_reward(), tokenizer(), CHATS.prompt, options, evaluate=watch
    )
    assert watched and figures["first_ratio_error"] < 1e-3
    return {name: figures[f"train_{name}"] for name in ("reward", "kl", "entropy", "length")}


def grpo(options: RunOptions) -> dict[str, float]:
    """Two iterations of GRPO with a leash; a model that often says nothing, and a checker that likes that."""
    model, end = make_gpt(), tokenizer().special_tokens[END]
    model.model.embed_tokens.weight.data[end] *= 6
    config = GRPOConfig(
        iterations=2,
        prompts=3,
        answers=8,
        minibatches=2,
        kl_coef=0.01,
        learning_rate=1e-4,
        max_new_tokens=12,
        rows=5,
        checkpoint_every=1,
    )
    _, figures = train_by_check(
        config,
        model,
        tokenizer(),
        lambda number: Tasks("train", ["world"]).task(1, number),
        options,
        check=lambda task, answer: float(not answer),
    )
    assert figures["first_ratio_error"] < 1e-3 and figures["train_mixed_groups"] > 0
    return {name: figures[f"train_{name}"] for name in ("reward", "kl", "entropy", "length")}


def lora(options: RunOptions) -> dict[str, float]:
    """An adapter with dropout, whose random numbers are the device's own: only what comes before them is told."""
    training = SFTConfig(_fit(optimizer="adamw"), rows=4, pretraining_share=0.0, corpus_documents=5)
    config = DomainConfig(LoRAConfig(rank=3, alpha=6, dropout=0.1), training, full_learning_rate=1e-3)
    model = make_gpt()
    figures = adapt(config, model, tokenizer(), HELP_DESK, CORPUS, options)
    assert 0 < figures["train_loss"] < 20
    return {"trainable_share": figures["trainable_share"]}


STAGES: dict[str, Callable[[RunOptions], dict[str, float]]] = {
    stage.__name__: stage for stage in (base, sft, reward, grpo, dpo, ppo, lora)
}


class CutOffError(Exception):
    """A training was cut off."""


class _Rows:
    """Random rows; after so many batches the training is cut off."""

    def __init__(self, cut_at: int | None) -> None:
        self.cut_at = cut_at

    def batch(self, step: int) -> Batch:
        if step == self.cut_at:
            raise CutOffError
        ids = torch.randint(0, 400, (4, 17), generator=torch.Generator().manual_seed(step))
        return Batch(ids, ids.roll(-1, dims=1), torch.arange(17).expand(4, 17) // 7)


def adapter_weights(
    runtime: Runtime, folder: Path, cut_at: int | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """The weights of an adapter after six steps with dropout, and a checkpoint after every second."""
    model = apply_lora(make_gpt(), LoRAConfig(rank=3, alpha=6, dropout=0.3))
    config = FitConfig(steps=6, optimizer="adamw", checkpoint_every=2, seed=seed)
    fit(model, _Rows(cut_at), config, directory=folder, runtime=runtime, progress=False)
    return {name: weight.cpu() for name, weight in lora_state_dict(model).items()}


def greedy(device: torch.device, folder: Path) -> Any:
    """Answers of different length; rows that end early are left out on the way."""
    return generate(make_gpt().to(device), PROMPTS, 40, temperature=0, stop=range(0, 400, 9))


def sampled(device: torch.device, folder: Path) -> Any:
    """By random numbers of the CPU."""
    return generate(make_gpt().to(device), PROMPTS, 20, top_k=9, top_p=0.9)


def talk(device: torch.device, folder: Path) -> Any:
    """What the terminal shows."""
    model = make_gpt().to(device)
    sessions = (
        (ChatSession(model, tokenizer(), temperature=0), "Hi!"),
        (TextSession(model, tokenizer()), "The"),
    )
    return ["".join(session.write(text, 8)) for session, text in sessions]


def tasks(device: torch.device, folder: Path) -> Any:
    """Questions of the course, with the distance to another model and learned rewards."""
    model, asked = make_gpt().to(device), list(Tasks("test").tasks(3))
    report = evaluate_policy(
        model, make_gpt(2).to(device), tokenizer(), asked, make_reward().to(device), max_new_tokens=5
    )
    answers = answer_tasks(model, tokenizer(), asked, max_new_tokens=5).answers
    return [answer.text for answer in answers], {
        name: value for name, value in report.figures().items() if isinstance(value, float)
    }


def looked_into(device: torch.device, folder: Path) -> Any:
    """What the chapters look at."""
    model, ids = make_gpt().to(device), torch.tensor([PROMPTS[2]]).to(device)
    with torch.no_grad(), without_heads(model, [(0, 1)]):
        silenced = model(ids)
    seen = [attention_weights(model, ids), hidden_states(model, ids), trace(model, ids)["logits"], silenced]
    return [tensor.cpu() for tensor in seen]


def exported(device: torch.device, folder: Path) -> Any:
    """Read again from the files."""
    model = GPT.from_pretrained(export_hf(make_gpt().to(device), folder, tokenizer()))
    return list(model.parameters())


USES: dict[str, Callable[[torch.device, Path], Any]] = {
    use.__name__: use for use in (greedy, sampled, talk, tasks, looked_into, exported)
}
