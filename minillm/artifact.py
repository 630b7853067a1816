"""A trained stage as a folder: what is in it, whether it is whole, and its model card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minillm.files import read_json, sha256_file, write_atomic, write_json
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.model.pretrained import is_reward_model
from minillm.text.tokenizer import Tokenizer

__all__ = ["FORMAT_VERSION", "Artifact", "find_artifacts", "model_card", "write_artifact"]

FORMAT_VERSION = 1  # of summary.json; raised when an older reader would misread it
SUMMARY, WEIGHTS, TOKENIZER = "summary.json", "model.safetensors", "tokenizer.json"
METRICS, CARD = "metrics.jsonl", "README.md"
_TEXT_STAGES = ("base",)  # their models continue a text; those of all later stages answer
_BOOKKEEPING = ("format", "stage", "key", "settings", "tokenizer_fingerprint", "weights_sha256")


@dataclass(frozen=True)
class Artifact:
    """The folder of a trained stage; its parts are loaded when they are first asked for.

    Its parts raise ValueError where the folder is no artifact, of a newer format or damaged, or holds another
    tokenizer than the one that the model was trained with.
    """

    folder: Path  # where it lies

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The final figures, the settings, and the checksums."""
        path = self.folder / SUMMARY
        if not path.is_file():
            raise ValueError(
                f"{self.folder} holds no {SUMMARY}: it is no artifact, or its training did not end"
            )
        summary = read_json(path)
        version = summary.get("format") if isinstance(summary, dict) else None
        if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
            raise ValueError(
                f"{path} is of format {version!r}, this minillm reads up to {FORMAT_VERSION}; "
                "update minillm or train again"
            )
        wanted = {"stage": str, "key": str, "settings": dict, "tokenizer_fingerprint": str}
        wrong = [name for name, kind in wanted.items() if not isinstance(summary.get(name), kind)]
        if not isinstance(summary.get("weights_sha256", 0), str | None):
            wrong.append("weights_sha256")
        if wrong:
            raise ValueError(f"{path} is damaged: it has no proper {wrong[0]}; restore it, or train again")
        return summary

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self.summary["stage"]

    @property
    def has_model(self) -> bool:
        """Whether the stage trains a model."""
        return self.summary["weights_sha256"] is not None

    @property
    def figures(self) -> dict[str, Any]:
        """The key figures of the summary alone."""
        return {name: value for name, value in self.summary.items() if name not in _BOOKKEEPING}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, checked to be the one of this artifact."""
        tokenizer = Tokenizer.load(self.folder)
        if tokenizer.fingerprint != self.summary["tokenizer_fingerprint"]:
            raise ValueError(
                f"{self.folder / TOKENIZER} is not the tokenizer that this artifact was trained with; "
                "restore it, or delete the folder and train again"
            )
        return tokenizer

    @property
    def writes(self) -> bool:
        """Whether the stage's model is a language model: a reward model only scores."""
        return self.has_model and not is_reward_model(self.folder)

    @property
    def answers(self) -> bool:
        """Whether the stage's model writes answers in the chat format: a base model continues a text."""
        return self.writes and self.stage not in _TEXT_STAGES

    @cached_property
    def model(self) -> GPT | RewardModel:
        """The model in evaluation mode on the CPU, its file checked against its checksum; a GPT if it `writes`."""
        if not self.has_model:
            raise ValueError(f"the stage {self.stage!r} in {self.folder} has no model; choose another stage")
        _ = self.tokenizer  # refused here, if it is another model's
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise ValueError(f"{path} is missing; restore it, or delete the folder and train again")
        if sha256_file(path) != self.summary["weights_sha256"]:
            raise ValueError(
                f"{path} is damaged or was changed: its checksum is not the one in {SUMMARY}; "
                "restore it, or delete the folder and train again"
            )
        kind = GPT if self.writes else RewardModel
        return kind.from_pretrained(self.folder).eval()

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, in order; empty for a stage without steps."""
        path = self.folder / METRICS
        if not path.is_file():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}); restore it, or train again") from error


def write_artifact(
    folder: Path, stage: str, key: str, settings: dict[str, Any], figures: dict[str, Any]
) -> Artifact:
    """Write the model card and, last, the summary that marks an artifact as whole.

    Args:
        folder: holds tokenizer.json and, where the stage has a model, model.safetensors.
        stage: its name.
        key: the key of its settings and parents.
        settings: what it was trained from and how, as JSON values.
        figures: the key figures.
    """
    weights = folder / WEIGHTS
    summary = {
        "format": FORMAT_VERSION,
        "stage": stage,
        "key": key,
        **figures,
        "settings": settings,
        "tokenizer_fingerprint": Tokenizer.load(folder).fingerprint,
        "weights_sha256": sha256_file(weights) if weights.is_file() else None,
    }
    write_atomic(folder / CARD, model_card(stage, settings, figures))
    write_json(folder / SUMMARY, summary)
    return Artifact(folder)


_LIMITS = """This is a small model, made for learning how language models are made. It knows only what
its training text says, states false things fluently, and has no filter. Do not rely on what it writes."""

_FIGURE_NAMES = {
    "parameters": "parameters",
    "vocab_size": "vocabulary (tokens)",
    "bytes_per_token": "bytes per token, held out",
    "documents": "training documents",
    "steps": "optimizer steps",
    "tokens": "tokens seen",
    "epochs": "epochs",
    "train_loss": "training loss (nats/token)",
    "val_loss": "validation loss (nats/token)",
    "entropy_floor": "entropy floor of the text (nats/token)",
    "above_floor": "validation loss above the floor (share)",
    "bits_per_byte": "bits per byte, held out",
    "val_loss_before": "validation loss before (nats/token)",
    "conversations": "training conversations",
    "cut_conversations": "conversations longer than the context, cut",
    "corpus_loss_before": "loss on the base model's text, before (nats/token)",
    "corpus_loss": "loss on the base model's text (nats/token)",
    "forgetting": "rise of the loss on the base model's text (share)",
    "task_accuracy": "held-out tasks done (share)",
    "gold_score": "mean score of the judge (0 to 1)",
    "ended_share": "answers that the model ended itself (share)",
    "repeated_share": "answers that repeat four words (share)",
    "bleu": "BLEU against the reference answers (0 to 100)",
    "comparisons": "prompts with ranked answers",
    "pairs": "pairs of answers compared",
    "identical_pairs": "pairs left out: the same text twice (share)",
    "truncated_pairs": "pairs left out: an answer without its end (share)",
    "pair_accuracy_gold": "held-out pairs ordered as the judge does (share)",
    "pair_accuracy_noisy": "held-out pairs ordered as the annotator did (share)",
    "annotator_accuracy": "pairs that the annotator ordered as the judge does (share)",
    "correlation_with_judge": "correlation of scores with the judge's",
    "win_rate_vs_sft": "wins against the fine-tuned model, ties half (share)",
    "kl_per_response": "distance to the fine-tuned model (nats per response)",
    "answers": "answers sampled in training",
    "train_reward": "learned reward at the end of training",
    "fill_share": "share of the batches' columns that hold text",
    "trained_parameters": "parameters that were trained",
    "trainable_share": "of all parameters (share)",
    "domain_accuracy_before": "held-out tasks of the domain done, before (share)",
    "domain_accuracy": "held-out tasks of the domain done (share)",
    "task_accuracy_before": "held-out tasks of the course done, before (share)",
    "domain_gain_share": "gain on the domain, of that of full fine-tuning (share)",
    "forgetting_ratio": "rise of the loss on the base model's text, of that of full fine-tuning (share)",
    "task_forgetting_ratio": "fall of the tasks done, of that of full fine-tuning (share)",
    "full": "full fine-tuning on the same conversations",
    "seconds": "time of the whole stage (seconds)",
    "training_seconds": "time of training alone (seconds)",
}


def model_card(stage: str, settings: dict[str, Any], figures: dict[str, Any], use: str = "") -> str:
    """The README.md of an artifact: data, figures, settings, limits; ``use`` says how to load it."""
    rows = [f"| {_FIGURE_NAMES.get(k, k.replace('_', ' '))} | {_cell(v)} |" for k, v in figures.items()]
    lines = [
        f"# minillm {stage}",
        "",
        f"The `{stage}` stage of the minillm course, trained from nothing but the text named below.",
        "",
        *(["## Use", "", use.strip(), ""] if use else []),
        "## Data",
        "",
        f"{settings['data']}.",
        "",
        "## Figures",
        "",
        "| figure | value |",
        "|---|---|",
        *rows,
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(settings, indent=2),
        "```",
        "",
        "## Limits",
        "",
        _LIMITS,
        "",
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """A figure as a reader wants it: thousands separated, four digits of a fraction."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_cell(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def find_artifacts(root: str | Path) -> list[Artifact]:
    """The finished artifacts below a folder of runs, the latest first."""
    summaries = Path(root).glob(f"*/*/{SUMMARY}")
    latest_first = sorted(summaries, key=lambda path: path.stat().st_mtime, reverse=True)
    return [Artifact(path.parent) for path in latest_first]
