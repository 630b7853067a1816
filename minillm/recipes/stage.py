"""What a stage is: its place in the graph, how it is trained and tested, and what others want to know of it.

A stage is two files: its training in `minillm.stages`, and its recipe here, which joins the training with data, parents
and judge. Everything else (cache, command line, report, model card, costs) asks the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from minillm.artifact import Artifact
from minillm.data.conversations import Conversations
from minillm.data.corpora import Corpus
from minillm.data.preferences import Preferences
from minillm.data.source import Source
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.presets import Preset
from minillm.text.chat import save_chat_format
from minillm.text.tokenizer import Tokenizer
from minillm.train.options import RunOptions

__all__ = ["Figures", "Job", "Output", "Stage", "Trained"]

Config = TypeVar("Config")
Figures = dict[str, Any]
"""Key figures by name, as JSON values; every name has a label in `FIGURE_NAMES` or in the recipe."""
Output = Literal["tokenizer", "text", "answers", "comparisons", "scores"]
"""What a stage makes: a tokenizer, a model that continues texts, that answers, that scores, or ranked answers."""


@dataclass(frozen=True, kw_only=True)
class Job(RunOptions, Generic[Config]):
    """All that a stage is given.

    Attributes:
        config: its settings.
        parents: the artifacts that it starts from, by stage.
        sources: what it reads, by field of the preset.
        folder: of its artifact; what it writes there beside the model belongs to the artifact.
        seed, runtime, progress: as in `RunOptions`.
        scratch: a folder for what can be made again, shared by all jobs of the stage with the same parents.
        test_tasks: of each family, on which models are tested.
    """

    config: Config
    parents: Mapping[str, Artifact]
    sources: Mapping[str, Source]
    folder: Path
    scratch: Path
    test_tasks: int

    @property
    def corpus(self) -> Corpus:
        """The source of that name."""
        return cast(Corpus, self.sources["corpus"])  # the preset has checked it

    @property
    def conversations(self) -> Conversations:
        """The source of that name."""
        return cast(Conversations, self.sources["conversations"])

    @property
    def preferences(self) -> Preferences:
        """The source of that name."""
        return cast(Preferences, self.sources["preferences"])

    @property
    def domain(self) -> Conversations:
        """The source of that name."""
        return cast(Conversations, self.sources["domain"])


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training made.

    Attributes:
        tokenizer: the new one, or that of the parents.
        model: None where the stage has none.
        figures: of the training.
        others: further models by the name of their folder in the artifact, such as a yardstick.
    """

    tokenizer: Tokenizer
    model: GPT | RewardModel | None = None
    figures: Figures = field(default_factory=dict)
    others: Mapping[str, GPT] = field(default_factory=dict)

    @property
    def language_model(self) -> GPT:
        """The model, of a stage that writes."""
        assert isinstance(self.model, GPT)
        return self.model

    @property
    def reward_model(self) -> RewardModel:
        """The model, of a stage that scores."""
        assert isinstance(self.model, RewardModel)
        return self.model

    def save(self, folder: Path, *, chat: bool) -> None:
        """Write tokenizer and models; `chat`: with the chat template, for models that answer."""
        places = {folder: self.model} | {folder / name: model for name, model in self.others.items()}
        for place, model in places.items():
            self.tokenizer.save(place)
            if model is not None:
                model.save_pretrained(place)
            if chat:
                save_chat_format(place, self.tokenizer)

    @classmethod
    def load(cls, artifact: Artifact) -> Trained:
        """What an artifact holds, to be tested again."""
        others = {
            config.parent.name: GPT.from_pretrained(config.parent).eval()
            for config in sorted(artifact.folder.glob("*/config.json"))
        }
        model = artifact.model if artifact.has_model else None
        return cls(tokenizer=artifact.tokenizer, model=model, others=others)

    def on(self, options: RunOptions) -> Trained:
        """The same with its models in evaluation mode on the device of a run."""
        for model in (self.model, *self.others.values()):
            if model is not None:
                model.eval().to(options.runtime.device)
        return self


def _training_passes(preset: Preset) -> float:
    """Three forward passes for each token: the backward pass costs two."""
    return 3


def _nothing(job: Job[Any], trained: Trained) -> Figures:
    """No figures."""
    return {}


def _anything(sources: Mapping[str, Source]) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[Config]):
    """One node of the graph.

    Attributes:
        name: of the stage, and of its settings in the preset.
        parents: the stages that it starts from, first the one whose model it goes on with.
        reads: its sources, as fields of the preset, first the one that it learns from.
        config: the type of its settings, with defaults for presets that know nothing of them; None: it has none.
        output: what it makes.
        train: trains and hands on; every process of a data-parallel run calls it, all but the first may return None.
        headline: the one thing to know about its figures.
        test: measures what was made; called in the first process only.
        labels: names of its figures for the model card, beside those that all stages share.
        tokens: of a preset, tokens that its training computes, padding included; None: no training worth counting.
        passes: of a preset, forward passes for each of them: three for training.
        validated: whether the validation splits of what it reads reach its training or its figures.
        tested_on_tasks: whether its figures depend on the course's held-out tasks and their judge.
        specialist: whether its model has to be named to be talked with.
        needs: for sources whose built-in form belongs to the built-in conversations: what to give beside one's own;
            what no source can give stands under a name that is no source's.
        accepts: refuses sources that it cannot learn from, before any stage is trained (ValueError).
        seeded: whether the preset's seed decides anything.
        scratch: name of a folder for what can be made again; "" for none.
        version: raised when the code of the training changes what comes out.
        test_version: raised when the code of the test changes the figures.
    """

    name: str
    parents: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    config: type[Config] | None = None
    output: Output
    train: Callable[[Job[Config]], Trained | None]
    headline: Callable[[Figures], str]
    test: Callable[[Job[Config], Trained], Figures] = _nothing
    labels: Mapping[str, str] = field(default_factory=dict)
    tokens: Callable[[Preset], int] | None = None
    passes: Callable[[Preset], float] = _training_passes
    validated: bool = True
    tested_on_tasks: bool = False
    specialist: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    accepts: Callable[[Mapping[str, Source]], None] = _anything
    seeded: bool = True
    scratch: str = ""
    version: int = 1
    test_version: int = 1

    @property
    def writes(self) -> bool:
        """Whether its model writes."""
        return self.output in ("text", "answers")

    @property
    def is_usual_assistant(self) -> bool:
        """Whether its model answers whatever it is asked, and not in a domain only."""
        return self.output == "answers" and not self.specialist
