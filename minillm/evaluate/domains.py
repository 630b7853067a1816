"""An adapter beside full fine-tuning: what each has learned of a domain, and what it has forgotten for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minillm import checks
from minillm.data.tasks import TASKS_PER_FAMILY, held_out_tasks
from minillm.data.world import TEST_SEED
from minillm.evaluate.answers import answer_tasks, fitting_tasks
from minillm.model.gpt import GPT
from minillm.text.tokenizer import Tokenizer

__all__ = ["best_rate", "domain_comparison", "domain_figures"]

DOMAIN_TASKS = TASKS_PER_FAMILY // 2  # of each family of a domain, on which its specialists are tested


def domain_figures(
    model: GPT,
    tokenizer: Tokenizer,
    families: Iterable[str] | None,
    n: int = DOMAIN_TASKS,
    n_known: int = TASKS_PER_FAMILY,
    known: Mapping[str, Any] | None = None,
    seed: int = TEST_SEED,
) -> dict[str, Any]:
    """How a model does on the held-out tasks of a domain, and on the course's tasks as all stages do.

    Args:
        model: an assistant.
        tokenizer: the model's.
        families: of the domain, one of `DOMAINS`.
        n: tasks of each of these families.
        n_known: tasks of each family of the course.
        known: the model's `task_accuracy` and `accuracy` on these, where its own stage has measured them.
        seed: of the stream of tasks; settings are chosen on another one than that of the test.

    Returns:
        `domain_accuracy` and `domain_accuracies` (by family), `task_accuracy` and `accuracy`, all 0-1; nothing where
        the model's context is too short for any of them.
    """
    tasks = fitting_tasks(held_out_tasks(n, families, seed), model, tokenizer)
    if known is None or "task_accuracy" not in known:
        report = answer_tasks(
            model, tokenizer, fitting_tasks(held_out_tasks(n_known, seed=seed), model, tokenizer)
        )
        known = report.figures() if report.tasks else {}
    if not tasks or not known:
        return {}
    report = answer_tasks(model, tokenizer, tasks)
    return {
        "domain_accuracy": report.task_accuracy,
        "domain_accuracies": report.accuracy,
        "task_accuracy": known["task_accuracy"],
        "accuracy": known["accuracy"],
    }


def domain_comparison(adapter: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, float | None]:
    """The shares of full fine-tuning's gain and forgetting that an adapter has.

    Gain is the rise of `domain_accuracy` where both were tested on tasks, else the fall of the loss on held-out answers
    of the domain. Forgetting is the rise of the loss on the text of pretraining, and, apart from it, the fall of
    `task_accuracy` on the tasks that the assistant knew.

    Args:
        adapter: figures of the `lora` stage, with `domain_accuracy_before` and `task_accuracy_before` where there are.
        full: those of full fine-tuning.

    Returns:
        `domain_gain_share`, `forgetting_ratio` (of the loss) and, with tasks, `task_forgetting_ratio`; None where full
        fine-tuning has gained or forgotten nothing, so that there is no share of it.

    >>> before = {"val_loss_before": 3.0, "corpus_loss_before": 0.5}
    >>> domain_comparison(before | {"val_loss": 1.0, "corpus_loss": 0.6}, {"val_loss": 0.5, "corpus_loss": 0.9})
    {'domain_gain_share': 0.8, 'forgetting_ratio': 0.25}
    """
    result = {"domain_gain_share": _share("val_loss", adapter, full)}
    if "domain_accuracy" in adapter and "domain_accuracy" in full:
        result["domain_gain_share"] = _share("domain_accuracy", adapter, full)
    result["forgetting_ratio"] = _share("corpus_loss", adapter, full)
    if "task_accuracy" in adapter and "task_accuracy" in full:
        result["task_forgetting_ratio"] = _share("task_accuracy", adapter, full)
    return result


def best_rate(runs: Mapping[float, tuple[float, float]], share: float = 0.95) -> float:
    """The learning rate of a method's own best run: it forgets least of those that learn nearly as much as any.

    Args:
        runs: for each rate the gain and the forgetting, measured on tasks that are not the test's.
        share: of the greatest gain, which the run has to reach (0-1].

    Returns:
        the rate; of several that forget alike the smallest.

    Raises:
        ValueError: there are no runs, none has gained anything, or `share` is out of range.

    >>> best_rate({1e-4: (0.5, 0.0), 4e-4: (0.96, 0.1), 1e-3: (1.0, 0.3)})
    0.0004
    """
    checks.number("share", share, above=0, at_most=1)
    most = max((gain for gain, _ in runs.values()), default=0.0)
    if most <= 0:
        raise ValueError(
            "no run has gained anything, so none is best; give runs of more steps or other rates"
        )
    return min((forgot, rate) for rate, (gain, forgot) in runs.items() if gain >= share * most)[1]


def _share(name: str, adapter: Mapping[str, Any], full: Mapping[str, Any]) -> float | None:
    """The change of a figure by the adapter in units of its change by full fine-tuning."""
    before = adapter[f"{name}_before"]
    change = full[name] - before
    return round((adapter[name] - before) / change, 6) if change else None
