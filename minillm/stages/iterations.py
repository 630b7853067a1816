"""Going through the iterations of an on-policy run: the loop around `minillm.stages.on_policy`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from minillm.model.gpt import GPT
from minillm.progress import progress_bar
from minillm.stages.on_policy import OnPolicyRun
from minillm.train.interrupt import stop_signal
from minillm.train.runtime import from_main

__all__ = ["carry_out"]


def carry_out(
    run: OnPolicyRun[Any, Any, Any],
    evaluate: Callable[[GPT], dict[str, Any]] | None,
    status: Callable[[dict[str, float]], str],
) -> tuple[GPT, dict[str, Any]]:
    """Go through all iterations of a run, from its last checkpoint on.

    Args:
        run: what is carried out.
        evaluate: called before the first iteration, every `evaluate_every` and after the last; what it returns is
            logged, and reaches nothing else.
        status: what the progress bar says of an iteration's numbers.
    Returns:
        the policy, and the figures of its training.
    Raises:
        TrainingDivergedError: a loss or gradient became NaN or infinite; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the state has been saved.
        ValueError: the folder holds a run of other settings.
    """
    run.resume()
    config, runtime = run.config, run.options.runtime
    shown = run.options.progress and runtime.is_main
    bar = progress_bar(shown, total=config.iterations, initial=run.iteration, unit="iteration")
    with bar, stop_signal(runtime.world_size == 1, run.what_is_kept) as stop:
        watch = evaluate if runtime.is_main else None  # the others need not know
        if watch and not run.log.lines:
            run.log.add({"step": 0} | watch(run.policy))
        while run.iteration < config.iterations:
            numbers = run.iterate()
            last = run.iteration == config.iterations
            if watch and (last or run.iteration % config.evaluate_every == 0):
                numbers |= watch(run.policy)
            run.log.add({"step": run.iteration} | numbers | {"seconds": round(run.seconds, 3)})
            bar.set_postfix_str(status(numbers), refresh=False)
            bar.update()
            stopping = stop.is_set()
            if last or stopping or run.iteration % config.checkpoint_every == 0:
                run.save()
            if stopping:
                done = f"stopped after iteration {run.iteration} of {config.iterations}"
                again = "run the same command again to go on from there"
                raise stop.interruption(f"{done}; {run.what_is_kept() if run.checkpoints is None else again}")
    figures: dict[str, Any] = from_main(partial(_figures, run), runtime)  # which has the log
    return run.policy, figures


def _figures(run: OnPolicyRun[Any, Any, Any]) -> dict[str, Any]:
    """The key numbers of a run; averages are over the last tenth of the iterations."""
    lines = [line for line in run.log.lines if "seconds_sampling" in line]  # those of iterations
    recent = lines[-max(1, len(lines) // 10) :]
    averaged = {name: [line[name] for line in recent if name in line] for name in run.averaged}
    spent = {
        name: round(sum(line[name] for line in lines), 2)
        for name in ("seconds_sampling", "seconds_scoring", "seconds_learning")
    }
    return {
        "seconds": round(run.seconds, 2),
        "training_seconds": round(sum(spent.values()), 2),
        "parameters": run.policy.n_parameters,
        "iterations": run.iteration,
        "answers": run.iteration * run.config.prompts * run.answers_each,
        "tokens": run.tokens,
        "first_ratio_error": max(line["first_ratio_error"] for line in lines),
        **{f"train_{name}": sum(values) / len(values) for name, values in averaged.items() if values},
        **spent,
    }
