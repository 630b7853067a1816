"""Presets: the settings of every stage for one kind of machine, as data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import torch

from minillm import checks
from minillm.data.conversations import Conversations, TaskConversations, open_conversations, open_domain
from minillm.data.corpora import Corpus, HubCorpus, MixedCorpus, WorldCorpus, open_corpus
from minillm.data.preferences import Preferences, SampledPreferences, open_preferences
from minillm.data.tasks import DOMAINS, TASKS_PER_FAMILY
from minillm.files import check_name
from minillm.model.config import GPTConfig
from minillm.model.lora import LoRAConfig
from minillm.stages.dpo import DPOConfig
from minillm.stages.grpo import GRPOConfig
from minillm.stages.lora import DomainConfig
from minillm.stages.ppo_config import PPOConfig
from minillm.stages.pretrain import PretrainConfig
from minillm.stages.reward import RewardConfig
from minillm.stages.sft import SFTConfig
from minillm.stages.tokenizer import TokenizerConfig
from minillm.train.config import FitConfig

__all__ = ["LARGEST_FIRST", "PRESETS", "SOURCES", "Preset", "choose_preset"]

# The fields of a preset that are sources, and what opens one by the name that a user gives.
SOURCES: dict[str, Callable[[str | Path], Any]] = {
    "corpus": open_corpus,
    "conversations": open_conversations,
    "preferences": open_preferences,
    "domain": open_domain,
}

_BIG_GPU_BYTES = 20 * 2**30


@dataclass(frozen=True)
class Preset:
    """Everything that decides what the course trains."""

    name: str  # names the folder of its artifacts
    corpus: Corpus  # what the tokenizer and the base model are trained on
    base: PretrainConfig  # the base model; its vocab_size is the tokenizer's as well
    conversations: Conversations  # what the assistant is fine-tuned on
    sft: SFTConfig  # supervised fine-tuning
    preferences: Preferences  # what the reward model learns from
    reward: RewardConfig  # the reward model
    ppo: PPOConfig  # the policy
    domain: Conversations  # what a specialist is made with
    lora: DomainConfig  # the specialist
    dpo: DPOConfig = DPOConfig()  # the policy that learns from rankings without a reward model
    grpo: GRPOConfig = GRPOConfig()  # the policy that is rewarded for right answers
    seed: int = 0  # first weights and order of the documents, in every stage
    test_tasks: int = TASKS_PER_FAMILY  # of each family, on which models are tested; trains nothing
    more: Mapping[str, Any] = field(default_factory=dict)  # settings of stages without a field here, by stage

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Preset).items():
            if kind not in (str, int) and name != "more":
                checks.instance(name, getattr(self, name), kind)
        checks.instance("more", self.more, Mapping)
        check_name("name", self.name)
        checks.seed("seed", self.seed)
        checks.whole_number("test_tasks", self.test_tasks, at_least=1)

    @property
    def context_length(self) -> int:
        """Tokens that the models of all stages see at once."""
        return self.base.model.context_length

    @property
    def tokenizer(self) -> TokenizerConfig:
        """Settings of the tokenizer."""
        return TokenizerConfig(self.base.model.vocab_size)


def _adamw(steps: int, learning_rate: float = 2e-3, **settings: Any) -> FitConfig:
    """Fine-tuning: AdamW for everything, which is gentler than Muon on what is known already."""
    return FitConfig(steps, "adamw", learning_rate=learning_rate, warmup_share=0.1, **settings)


def _domain(steps: int, rows: int, learning_rate: float, full: float, **settings: Any) -> DomainConfig:
    """LoRA with r = 8 and alpha = 32, and full fine-tuning at a learning rate of its own; no plain documents beside."""
    fit = _adamw(steps, learning_rate, **settings)
    training = SFTConfig(fit, rows, pretraining_share=0.0, max_epochs=40)
    return DomainConfig(LoRAConfig(rank=8, alpha=32), training, full)


_HELP_DESK = tuple(DOMAINS["help desk"])
_TINY_STORIES = "roneneldan/TinyStories"
_FINEWEB_EDU = "HuggingFaceFW/fineweb-edu"

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(  # unit tests: seconds
            name="smoke",
            corpus=WorldCorpus(n_documents=2_000, n_validation=100),
            base=PretrainConfig(
                GPTConfig(2048, context_length=160, n_layer=2, n_head=2, d_model=64, d_ff=160),
                FitConfig(steps=40, validate_every=20, checkpoint_every=20),
                rows=8,
            ),
            conversations=TaskConversations(n_train=1_000, n_validation=50),
            sft=SFTConfig(_adamw(steps=40, checkpoint_every=20), rows=8, corpus_documents=50),
            preferences=SampledPreferences(n_train=60, n_validation=20, max_new_tokens=20),
            reward=RewardConfig(_adamw(steps=8, checkpoint_every=4), prompts=8),
            ppo=PPOConfig(iterations=4, prompts=8, max_new_tokens=20, evaluate_every=2, checkpoint_every=2),
            domain=TaskConversations(100, 20, _HELP_DESK),
            lora=_domain(8, rows=4, learning_rate=2e-3, full=1e-3, checkpoint_every=4),
            dpo=DPOConfig(_adamw(steps=8, learning_rate=1e-4, checkpoint_every=4)),
            grpo=GRPOConfig(
                iterations=4, prompts=4, answers=4, max_new_tokens=20, evaluate_every=2, checkpoint_every=2
            ),
            test_tasks=10,
        ),
        Preset(  # the website, CI, laptops: minutes on two cores
            name="cpu",
            corpus=WorldCorpus(n_documents=85_000, n_validation=1_500, introduce_every=33),
            base=PretrainConfig(
                GPTConfig(2048, context_length=160, n_layer=3, n_head=4, d_model=128, d_ff=352),
                FitConfig(
                    steps=2_000,
                    embedding_learning_rate=4e-2,
                    momentum=0.75,  # few steps, little noise: a long memory of gradients only lags behind
                    validate_every=200,
                    patience=6,
                    checkpoint_every=400,
                    snapshot_steps=(0, 50, 300, 400, 600),  # for chapter 03 and the page: a model growing up
                ),
                rows=17,
                lesson_steps=250,
            ),
            conversations=TaskConversations(n_train=45_000),
            sft=SFTConfig(_adamw(steps=1_200), rows=17, pretraining_share=0.15),
            preferences=SampledPreferences(n_train=3_000),
            reward=RewardConfig(_adamw(steps=560, learning_rate=1e-3), prompts=8),
            ppo=PPOConfig(),
            domain=TaskConversations(600, 100, _HELP_DESK),
            lora=_domain(200, rows=8, learning_rate=2e-3, full=4e-4),
        ),
        Preset(  # a free T4: 15 M parameters
            name="colab",
            corpus=MixedCorpus(
                (HubCorpus(_TINY_STORIES, 300_000, 1_000), WorldCorpus(100_000, 1_000, introduce_every=33))
            ),
            base=PretrainConfig(
                GPTConfig(8192, context_length=512, n_layer=7, n_head=6, d_model=384, d_ff=1024),
                FitConfig(steps=2_000, validate_every=100, checkpoint_every=200, micro_batch_rows=32),
                rows=64,
            ),
            conversations=TaskConversations(n_train=30_000),
            sft=SFTConfig(_adamw(steps=600, learning_rate=1e-3, micro_batch_rows=32), rows=32),
            preferences=SampledPreferences(n_train=6_000),
            reward=RewardConfig(_adamw(steps=400, learning_rate=5e-4, micro_batch_rows=4)),
            ppo=PPOConfig(iterations=80, epochs=2, learning_rate=5e-5, rows=64),
            domain=TaskConversations(600, 100, _HELP_DESK),
            lora=_domain(150, rows=8, learning_rate=1e-3, full=2e-4),
            dpo=DPOConfig(
                _adamw(steps=300, learning_rate=3e-5, validate_every=60, micro_batch_rows=4), prompts=16
            ),
            grpo=GRPOConfig(prompts=24, learning_rate=5e-5, max_new_tokens=100, rows=64),
        ),
        Preset(  # one modern GPU: 124 M parameters
            name="gpu",
            corpus=MixedCorpus(
                (
                    HubCorpus(_FINEWEB_EDU, 1_000_000, 1_000, config="sample-10BT"),
                    HubCorpus(_TINY_STORIES, 500_000, 1_000),
                    WorldCorpus(200_000, 1_000, introduce_every=33),
                )
            ),
            base=PretrainConfig(
                GPTConfig(50_304, context_length=1024, n_layer=12, n_head=12, d_model=768, d_ff=2048),
                FitConfig(steps=2_500, validate_every=250, checkpoint_every=250, micro_batch_rows=32),
                rows=512,
            ),
            conversations=TaskConversations(n_train=30_000),
            sft=SFTConfig(_adamw(steps=600, learning_rate=3e-4, micro_batch_rows=32), rows=32),
            preferences=SampledPreferences(n_train=8_000),
            reward=RewardConfig(_adamw(steps=500, learning_rate=1e-4, micro_batch_rows=4)),
            ppo=PPOConfig(iterations=100, epochs=2, learning_rate=1e-5, critic_learning_rate=5e-5, rows=32),
            domain=TaskConversations(600, 100, _HELP_DESK),
            lora=_domain(150, rows=8, learning_rate=5e-4, full=5e-5),
            dpo=DPOConfig(
                _adamw(steps=400, learning_rate=5e-6, validate_every=80, micro_batch_rows=4), prompts=16
            ),
            grpo=GRPOConfig(iterations=60, prompts=32, learning_rate=1e-5, max_new_tokens=100),
        ),
    )
}

LARGEST_FIRST = (
    "gpu",
    "colab",
    "cpu",
)  # what a machine that is good for one of them is good for as well, from there on


def choose_preset() -> str:
    """The name of the preset that fits this machine: gpu or colab where CUDA is, by its memory, else cpu.

    $MINILLM_PRESET, where it is set, has the last word.

    Raises:
        ValueError: the variable names no preset.
    """
    if chosen := os.environ.get("MINILLM_PRESET"):
        if chosen not in PRESETS:
            raise ValueError(f"MINILLM_PRESET is {chosen!r}; choose one of {', '.join(PRESETS)}, or unset it")
        return chosen
    if not torch.cuda.is_available():
        return "cpu"
    return "gpu" if torch.cuda.get_device_properties(0).total_memory >= _BIG_GPU_BYTES else "colab"
