"""A trained stage as a folder: what is in it, whether it is whole, and its model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minillm.files import read_json, sha256_file, write_atomic, write_json
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.model.pretrained import is_reward_model, read_model
from minillm.model.snapshots import snapshot_file, snapshot_steps
from minillm.text.chat import TEMPLATE_FILE
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "examined_again",
    "find_artifacts",
    "model_card",
    "write_artifact",
]

FORMAT_VERSION = 1  # of summary.json; raised when an older reader would misread it
SUMMARY, WEIGHTS, TOKENIZER = "summary.json", "model.safetensors", "tokenizer.json"
METRICS, CARD = "metrics.jsonl", "README.md"
RECEIPT = "minillm_export.json"  # what an export wrote, and of which stage
_BOOKKEEPING = (
    "format",
    "stage",
    "key",
    "examination",
    "labels",
    "settings",
    "tokenizer_fingerprint",
    "weights_sha256",
    "fetched",
)


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
            return _summary_of_export(self.folder)
        summary = read_json(path)
        version = summary.get("format") if isinstance(summary, dict) else None
        if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
            raise ValueError(
                f"{path} is of format {version!r}, this minillm reads up to {FORMAT_VERSION}; "
                "update minillm, or delete the folder and train again"
            )
        wanted = {"stage": str, "key": str, "settings": dict, "tokenizer_fingerprint": str}
        wrong = [name for name, kind in wanted.items() if not isinstance(summary.get(name), kind)]
        wrong += ["labels"] if not isinstance(summary.get("labels", {}), dict) else []
        if not isinstance(summary.get("weights_sha256", 0), str | None):
            wrong.append("weights_sha256")
        if not isinstance(summary.get("fetched", {}), dict):
            wrong.append("fetched")
        if wrong:
            raise ValueError(
                f"{path} is damaged: it has no proper {wrong[0]}; restore it, or delete the folder and train again"
            )
        return dict(summary)

    @property
    def stage(self) -> str:
        """The stage's name."""
        return str(self.summary["stage"])

    @property
    def has_model(self) -> bool:
        """Whether the stage trains a model."""
        return self.summary["weights_sha256"] is not None

    @property
    def figures(self) -> dict[str, Any]:
        """The key figures of the summary alone: those of the training and those of the examination."""
        return {name: value for name, value in self.summary.items() if name not in _BOOKKEEPING}

    @property
    def examination(self) -> str | None:
        """The key of the examination that gave the figures; None where that is not known."""
        examination = self.summary.get("examination")
        key = examination.get("key") if isinstance(examination, dict) else None
        return None if key is None else str(key)

    @property
    def fetched(self) -> dict[str, Any] | None:
        """Where it was fetched from and its size in bytes; None where it was trained here."""
        return self.summary.get("fetched")

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
        return self.writes and (self.folder / TEMPLATE_FILE).is_file()

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

    @property
    def language_model(self) -> GPT:
        """The model of a stage that writes."""
        if not isinstance(self.model, GPT):
            raise ValueError(
                f"the model of the stage {self.stage!r} in {self.folder} scores and does not write"
            )
        return self.model

    @property
    def reward_model(self) -> RewardModel:
        """The model of a stage that scores."""
        if not isinstance(self.model, RewardModel):
            raise ValueError(
                f"the model of the stage {self.stage!r} in {self.folder} writes and does not score"
            )
        return self.model

    @property
    def snapshots(self) -> list[int]:
        """The steps of its training whose weights were kept, in order; mostly none."""
        return snapshot_steps(self.folder)

    def snapshot(self, step: int) -> GPT:
        """The model of a stage that writes as it was after a step of its training, 0: before the first.

        Raises:
            ValueError: the weights of that step were not kept, or are damaged.
        """
        if step not in self.snapshots:
            kept = ", ".join(map(str, self.snapshots)) or "none"
            raise ValueError(
                f"the weights of step {step!r} were not kept in {self.folder} (kept: {kept}); train with "
                f"{self.stage}.fit.snapshot_steps"
            )
        return read_model(self.folder, GPT, file=snapshot_file(step)).eval()

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, in order; empty for a stage without steps."""
        path = self.folder / METRICS
        if not path.is_file():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} is damaged ({error}); restore it, or delete the folder and train again"
            ) from error


def _summary_of_export(folder: Path) -> dict[str, Any]:
    """What an exported folder, which has no summary, is known to hold.

    Raises:
        ValueError: it is no export, or one that only other programs read.
    """
    if not (folder / RECEIPT).is_file():
        raise ValueError(f"{folder} holds no {SUMMARY}: it is no artifact, or its training did not end")
    receipt = read_json(folder / RECEIPT)
    stage, kind = (receipt.get(name) if isinstance(receipt, dict) else None for name in ("stage", "to"))
    if not isinstance(stage, str) or kind != "hf" or not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"{folder} is an export for other programs ({kind}); name the stage itself, or export it with --to hf"
        )
    return {
        "format": FORMAT_VERSION,
        "stage": stage,
        "key": receipt.get("key", ""),
        "settings": {"data": f"The text that the README.md of the export {folder.name} names"},
        "tokenizer_fingerprint": Tokenizer.load(folder).fingerprint,
        "weights_sha256": sha256_file(folder / WEIGHTS),
    }


def write_artifact(
    folder: Path,
    stage: str,
    key: str,
    settings: dict[str, Any],
    figures: Mapping[str, Any],
    *,
    examined: Mapping[str, Any] | None = None,
    examination: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Artifact:
    """Write the model card and, last, the summary that marks an artifact as whole.

    Args:
        folder: holds tokenizer.json and, where the stage has a model, model.safetensors.
        stage: its name.
        key: the key of its settings and parents.
        settings: what it was trained from and how, as JSON values.
        figures: the key figures of the training.
        examined: those that were measured afterwards.
        examination: the key of what measured them.
        labels: names of figures for the model card, beside those that all stages share.
    """
    weights, examined = folder / WEIGHTS, examined or {}
    summary = {
        "format": FORMAT_VERSION,
        "stage": stage,
        "key": key,
        **figures,
        **examined,
        "examination": {"key": examination, "figures": list(examined)},
        "labels": dict(labels or {}),
        "settings": settings,
        "tokenizer_fingerprint": Tokenizer.load(folder).fingerprint,
        "weights_sha256": sha256_file(weights) if weights.is_file() else None,
    }
    _write_summary(folder, summary)
    return Artifact(folder)


def examined_again(
    artifact: Artifact, examined: Mapping[str, Any], examination: str, labels: Mapping[str, str]
) -> Artifact:
    """Write other figures of an examination into an artifact, in place of the earlier ones; the training's stay."""
    summary = artifact.summary
    earlier = [] if artifact.examination is None else summary["examination"].get("figures")
    names = earlier if isinstance(earlier, list) else []
    kept = {name: value for name, value in summary.items() if name not in names}
    marks = {"examination": {"key": examination, "figures": list(examined)}, "labels": dict(labels)}
    _write_summary(artifact.folder, kept | dict(examined) | marks)
    return Artifact(artifact.folder)


def _write_summary(folder: Path, summary: dict[str, Any]) -> None:
    figures = {name: value for name, value in summary.items() if name not in _BOOKKEEPING}
    card = model_card(summary["stage"], summary["settings"], figures, labels=summary.get("labels"))
    write_atomic(folder / CARD, card)
    write_json(folder / SUMMARY, summary)


_LIMITS = """This is a small model, made for learning how language models are made. It knows only what
its training text says, states false things fluently, and has no filter. Do not rely on what it writes."""

# Of figures that several stages have; a stage names its own in its recipe.
FIGURE_NAMES = {
    "parameters": "parameters",
    "steps": "optimizer steps",
    "tokens": "tokens seen",
    "epochs": "epochs",
    "train_loss": "training loss (nats/token)",
    "best_step": "step with the lowest validation loss",
    "stopped_early": "stopped before the last step",
    "fill_share": "share of the batches' columns that hold text",
    "val_loss": "validation loss (nats/token)",
    "val_loss_before": "validation loss before (nats/token)",
    "corpus_loss_before": "loss on the base model's text, before (nats/token)",
    "corpus_loss": "loss on the base model's text (nats/token)",
    "forgetting": "rise of the loss on the base model's text (share)",
    "conversations": "training conversations",
    "cut_conversations": "conversations longer than the context, cut",
    "task_accuracy": "held-out tasks done (share)",
    "accuracy": "held-out tasks done, by family (share)",
    "verified_share": "held-out tasks that a program finds right, of those it can check (share)",
    "gold_score": "mean gold score of the judge (0 to 1)",
    "parts": "mean mark of each part of the judge's rubric (0 to 1)",
    "mean_tokens": "mean length of an answer (tokens)",
    "ended_share": "answers that the model ended itself (share)",
    "repeated_share": "answers that repeat four words (share)",
    "distinct_bigrams": "different pairs of neighbouring words (share)",
    "seconds": "time of the whole stage (seconds)",
    "training_seconds": "time of training alone (seconds)",
}


def model_card(
    stage: str,
    settings: dict[str, Any],
    figures: Mapping[str, Any],
    use: str = "",
    labels: Mapping[str, str] | None = None,
) -> str:
    """The README.md of an artifact: data, figures, settings, limits; `use` says how to load it."""
    names = FIGURE_NAMES | dict(labels or {})
    rows = [f"| {names.get(k, k.replace('_', ' '))} | {_cell(v)} |" for k, v in figures.items()]
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
