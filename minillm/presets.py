"""Presets: the settings of every stage for one kind of machine, as data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from minillm.data.conversations import Conversations, TaskConversations
from minillm.data.corpora import Corpus, HubCorpus, MixedCorpus, WorldCorpus
from minillm.data.preferences import Preferences, SampledPreferences
from minillm.data.tasks import DOMAINS, TASKS_PER_FAMILY
from minillm.files import check_name
from minillm.model.config import GPTConfig
from minillm.model.lora import LoRAConfig
from minillm.seeds import check_seed
from minillm.stages.lora import DomainConfig
from minillm.stages.ppo_config import PPOConfig
from minillm.stages.pretrain import PretrainConfig
from minillm.stages.reward import RewardConfig
from minillm.stages.sft import SFTConfig
from minillm.stages.tokenizer import TokenizerConfig
from minillm.train.config import FitConfig

__all__ = ["PRESETS", "Preset", "choose_preset"]

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
    seed: int = 0  # first weights and order of the documents, in every stage
    test_tasks: int = (
        TASKS_PER_FAMILY  # of each family, on which models are tested; decides nothing that is trained
    )

    def __post_init__(self) -> None:
        kinds = {
            "corpus": Corpus,
            "base": PretrainConfig,
            "conversations": Conversations,
            "sft": SFTConfig,
            "preferences": Preferences,
            "reward": RewardConfig,
            "ppo": PPOConfig,
            "domain": Conversations,
            "lora": DomainConfig,
        }
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} is {getattr(self, name)!r}; use a {kind.__name__}")
        check_name("name", self.name)
        check_seed("seed", self.seed)
        if isinstance(self.test_tasks, bool) or not isinstance(self.test_tasks, int) or self.test_tasks < 1:
            raise ValueError(f"test_tasks is {self.test_tasks!r}; use a whole number of at least 1")

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
            "smoke",
            WorldCorpus(n_documents=2_000, n_validation=100),
            PretrainConfig(
                GPTConfig(2048, context_length=160, n_layer=2, n_head=2, d_model=64, d_ff=160),
                FitConfig(steps=40, validate_every=20, checkpoint_every=20),
                rows=8,
            ),
            TaskConversations(n_train=1_000, n_validation=50),
            SFTConfig(_adamw(steps=40, checkpoint_every=20), rows=8, corpus_documents=50),
            SampledPreferences(n_train=60, n_validation=20, max_new_tokens=20),
            RewardConfig(_adamw(steps=8, checkpoint_every=4), prompts=8),
            PPOConfig(iterations=4, prompts=8, max_new_tokens=20, evaluate_every=2, checkpoint_every=2),
            TaskConversations(100, 20, _HELP_DESK),
            _domain(8, rows=4, learning_rate=2e-3, full=1e-3, checkpoint_every=4),
            test_tasks=10,
        ),
        Preset(  # the website, CI, laptops: minutes on two cores
            "cpu",
            WorldCorpus(n_documents=85_000, n_validation=1_500),
            PretrainConfig(
                GPTConfig(2048, context_length=160, n_layer=3, n_head=4, d_model=128, d_ff=352),
                FitConfig(
                    steps=2_000,
                    embedding_learning_rate=4e-2,
                    momentum=0.75,  # few steps, little noise: a long memory of gradients only lags behind
                    validate_every=200,
                    patience=6,
                    checkpoint_every=400,
                ),
                rows=17,
            ),
            TaskConversations(n_train=30_000),
            SFTConfig(_adamw(steps=900), rows=17),
            SampledPreferences(n_train=3_000),
            RewardConfig(_adamw(steps=375, learning_rate=1e-3), prompts=8),
            PPOConfig(),
            TaskConversations(600, 100, _HELP_DESK),
            _domain(200, rows=8, learning_rate=2e-3, full=1e-3),
        ),
        Preset(  # a free T4: 15 M parameters
            "colab",
            MixedCorpus((HubCorpus(_TINY_STORIES, 300_000, 1_000), WorldCorpus(100_000, 1_000))),
            PretrainConfig(
                GPTConfig(8192, context_length=512, n_layer=7, n_head=6, d_model=384, d_ff=1024),
                FitConfig(steps=2_000, validate_every=100, checkpoint_every=200, micro_batch_rows=32),
                rows=64,
            ),
            TaskConversations(n_train=30_000),
            SFTConfig(_adamw(steps=600, learning_rate=1e-3, micro_batch_rows=32), rows=32),
            SampledPreferences(n_train=6_000),
            RewardConfig(_adamw(steps=400, learning_rate=5e-4, micro_batch_rows=4)),
            PPOConfig(iterations=80, prompts=128, learning_rate=5e-5, rows=64),
            TaskConversations(600, 100, _HELP_DESK),
            _domain(150, rows=8, learning_rate=1e-3, full=2e-4),
        ),
        Preset(  # one modern GPU: 124 M parameters
            "gpu",
            MixedCorpus(
                (
                    HubCorpus(_FINEWEB_EDU, 1_000_000, 1_000, config="sample-10BT"),
                    HubCorpus(_TINY_STORIES, 500_000, 1_000),
                    WorldCorpus(200_000, 1_000),
                )
            ),
            PretrainConfig(
                GPTConfig(50_304, context_length=1024, n_layer=12, n_head=12, d_model=768, d_ff=2048),
                FitConfig(steps=2_500, validate_every=250, checkpoint_every=250, micro_batch_rows=32),
                rows=512,
            ),
            TaskConversations(n_train=30_000),
            SFTConfig(_adamw(steps=600, learning_rate=3e-4, micro_batch_rows=32), rows=32),
            SampledPreferences(n_train=8_000),
            RewardConfig(_adamw(steps=500, learning_rate=1e-4, micro_batch_rows=4)),
            PPOConfig(iterations=100, prompts=128, learning_rate=1e-5, critic_learning_rate=5e-5, rows=32),
            TaskConversations(600, 100, _HELP_DESK),
            _domain(150, rows=8, learning_rate=5e-4, full=5e-5),
        ),
    )
}


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
