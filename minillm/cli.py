"""The program `minillm`: run, example, chat, eval, export, publish, fetch, info.

Results go to standard output, progress and messages to standard error. A mistake in the input is told in one
line, with exit status 2.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from minillm import __version__, checks
from minillm.command import FromOption, JsonOption, OutOption, PresetOption, command, option
from minillm.process import decoded, prepare_streams
from minillm.settings import named_source, overrides, with_source

__all__ = ["app", "main"]

# What imports torch is imported inside the commands, so that --help answers at once.

app = typer.Typer(
    help="Train your own small language model, stage by stage, and write with it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_CORPUS = """Text to train on instead of the preset's: a .txt, .md, .jsonl or .parquet file, a crawl
(.warc.gz), a folder or pattern of such files, a dataset of the Hugging Face Hub (owner/name), or world, the built-in
corpus."""
_TEMPERATURE = "0: always the likeliest token [default: 0.3, with a base model 0.8]."
_CONVERSATIONS = """Conversations to fine-tune on instead of the preset's: a .jsonl file, a folder or pattern of such
files with {"messages": [...]} on each line, a dataset of the Hugging Face Hub (owner/name), or tasks, the
built-in ones."""
_PREFERENCES = """Ranked answers for the stages dpo and reward instead of the preset's: a .jsonl file, a folder or
pattern of such files with {"prompt": ..., "chosen": ..., "rejected": ...} on each line, a dataset of the Hugging Face
Hub (owner/name), or judge, the built-in ones."""
_DOMAIN = """Conversations to make a specialist with (the stage lora) instead of the preset's help desk: a source as for
--sft, or 'letters' (built in)."""

_FETCH = """Which missing stages to fetch instead of training them: none, before (those before the last ones) or all
[default: $MINILLM_FETCH, else none]."""


@command(app, trains=True)
def run(
    preset: PresetOption = "auto",
    stages: Annotated[
        str | None, option("NAMES", "Stages to train, with commas between [default: all].")
    ] = None,
    corpus: Annotated[str | None, option("SOURCE", _CORPUS)] = None,
    conversations: Annotated[str | None, option("SOURCE", _CONVERSATIONS, "--sft")] = None,
    preferences: Annotated[str | None, option("SOURCE", _PREFERENCES)] = None,
    domain: Annotated[str | None, option("SOURCE", _DOMAIN)] = None,
    out: OutOption = None,
    seed: Annotated[int | None, option("N", "First weights and order of the documents [default: 0].")] = None,
    changes: Annotated[
        list[str] | None,
        option("NAME=VALUE", "Change a setting, such as base.fit.steps=200; may be repeated.", "--set"),
    ] = None,
    device: Annotated[str, option("NAME", "auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, option("NAME", "auto, fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, option("N", "CPU threads [default: all cores].", min=1)] = None,
    compile: Annotated[str, option("WHEN", "Use torch.compile: auto, yes or no.")] = "auto",
    fetch: Annotated[str | None, option("WHICH", _FETCH)] = None,
    published: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the stages that are missing, and report.

    What is trained already is found again; a training that was stopped goes on where it was.
    """
    from minillm.course import STAGES, Course
    from minillm.report import print_answers, print_samples, print_table, stage_entry
    from minillm.train.runtime import choose_runtime, leave_processes

    sources = {"corpus": corpus, "conversations": conversations, "preferences": preferences, "domain": domain}
    settings = overrides([*(changes or []), *([] if seed is None else [f"seed={seed}"])])
    for name, source in sources.items():
        if source is not None:
            with_source(settings, name, source)
    given = {name: source for name in sources if (source := named_source(settings, name)) is not None}
    names = _stages_to_train(stages, given, own_conversations=given.get("conversations", "tasks") != "tasks")
    course = Course(preset, out, fetch=fetch, models=published, **settings)
    cached = {name: course.is_trained(name) for name in names}
    course.runtime = choose_runtime(device, precision, threads, _compile_setting(compile))
    course.fetch(*names)
    course.check(*names)
    course.check_fits(*names)
    artifacts = {name: course.stage(name) for name in names}
    leave_processes()
    if not course.runtime.is_main:
        return
    entries = [stage_entry(artifact) | {"cached": cached[name]} for name, artifact in artifacts.items()]
    if as_json:
        print(json.dumps({"stages": entries}))
        return
    print_table(entries)
    for name, artifact in artifacts.items():
        if STAGES[name].output == "text":
            print_samples(artifact, course.preset.corpus, course.preset.seed)
    assistants = [artifact for name, artifact in artifacts.items() if STAGES[name].is_usual_assistant]
    if assistants:
        print_answers(assistants, course.preset.conversations)


def _stages_to_train(stages: str | None, given: Collection[str], own_conversations: bool) -> list[str]:
    """The stages that were named, or all; with conversations of the user's own, those that have data of theirs."""
    from minillm.recipes import STAGES, left_out

    if stages is not None:
        return [name.strip() for name in stages.split(",")]
    without: set[str] = set()
    if own_conversations:
        for names, remedy in left_out(given).values():
            *most, last = names
            told = f"{', '.join(most)} and {last} are" if most else f"{last} is"
            trained = "them" if most else "it"
            logging.getLogger("minillm").info("%s left out: %s, to train %s", told, remedy, trained)
            without.update(names)
    return [name for name in STAGES if name not in without]


def _compile_setting(word: str) -> bool | str:
    settings: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}
    if word not in settings:
        raise ValueError(f"--compile is {word!r}; choose one of {', '.join(settings)}")
    return settings[word]


@command(app)
def example(
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet, or empty.", metavar="DIR")],
) -> None:
    """Write a small example of your own data: texts, conversations and preferences about a harbour.

    They show the formats that `minillm run` takes: texts for --corpus, conversations for --sft, and preferences.
    """
    from minillm.data.example import write_example

    for path, content in write_example(folder).items():
        print(f"{path}: {content}")


@command(app)
def chat(
    model: Annotated[
        str | None,
        typer.Argument(help="A stage, or a folder [default: the model trained last].", metavar="STAGE|DIR"),
    ] = None,
    prompt: Annotated[
        str | None, option("TEXT", "Answer this message, or continue this text, once.", "--prompt", "-p")
    ] = None,
    preset: Annotated[str | None, option("NAME", "Take the stage of this preset.")] = None,
    out: OutOption = None,
    system: Annotated[str | None, option("TEXT", "What an assistant is told before all messages.")] = None,
    temperature: Annotated[float | None, option("X", _TEMPERATURE, min=0.0, max=10.0)] = None,
    top_p: Annotated[
        float, option("X", "Draw from the likeliest tokens of this total probability.", min=0.01, max=1.0)
    ] = 0.95,
    max_tokens: Annotated[int, option("N", "Tokens of one answer or continuation at most.", min=1)] = 200,
    seed: Annotated[int, option("N", "Decides the draws.")] = 0,
    web: Annotated[
        bool, typer.Option("--web", help="Talk in the browser: a page on this machine, for nobody else.")
    ] = False,
    port: Annotated[int | None, option("N", "Of the page [default: a free one].", min=1, max=65535)] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the browser, only tell the page's address.")
    ] = False,
) -> None:
    """Talk with an assistant; or write a text with a base model: you begin, it goes on.

    Without --prompt, a piped text is answered once; in a terminal you write in turns, and /help tells the commands.
    Where a conversation outgrows the model's context, its oldest messages are left out.
    """
    from minillm.lookup import find_model
    from minillm.report import short_path
    from minillm.terminal import open_session, show, talk

    artifact = find_model(model, preset, out)
    if web or port is not None or no_browser:
        from minillm.web import check_options, serve

        check_options(web, {"--prompt": prompt, "--system": system, "--temperature": temperature})
        serve(artifact, port, browse=not no_browser)
        return
    session = open_session(artifact, system, temperature=temperature, top_p=top_p, seed=seed)
    print(f"{artifact.stage} from {short_path(artifact.folder)}", file=sys.stderr)
    if prompt is None and sys.stdin.isatty():
        talk(session, max_tokens)
        return
    show(session, _piped_text() if prompt is None else prompt, max_tokens)


def _piped_text() -> str:
    try:
        content = sys.stdin.buffer.read()
    except OSError as error:
        raise ValueError(f"standard input cannot be read ({error}); pipe a text, or give --prompt") from None
    return decoded(content, "the piped text").rstrip("\n")


@command(app)
def eval(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Stages or folders [default: base and all after it].", metavar="[STAGE|DIR]..."),
    ] = None,
    preset: Annotated[str | None, option("NAME", "Take the stages of this preset.")] = None,
    out: OutOption = None,
    n: Annotated[int, option("N", "Tasks of each family.", "-n", "--tasks", min=1)] = 100,
    temperature: Annotated[float, option("X", "Of the sampled answers.", min=0.01, max=10.0)] = 0.8,
    seed: Annotated[int, option("N", "Decides the draws.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Test models on the same held-out tasks, and compare the later ones with the first.

    Every model answers greedily and sampled. The judge says which answers are right and which of two is the better.
    """
    from minillm.lookup import find_model, stages_with_models
    from minillm.report import evaluation_entry, print_evaluation, win_entries

    checks.seed("--seed", seed)
    artifacts = [find_model(name, preset, out) for name in models or stages_with_models(preset, out)]
    entries, reports = [], []
    for artifact in artifacts:
        print(f"{artifact.stage}: answering", file=sys.stderr)
        entry, report = evaluation_entry(artifact, n, temperature, seed)
        entries.append(entry)
        reports.append(report)
    wins = win_entries(entries, reports)
    if as_json:
        print(json.dumps({"stages": entries, "win_rates": wins}))
        return
    print_evaluation(entries, wins)


@command(app)
def export(
    model: Annotated[str, typer.Argument(help="A stage, or a folder.", metavar="STAGE|DIR")],
    folder: Annotated[
        Path, typer.Argument(help="A folder that is not there yet, or an earlier export.", metavar="OUT")
    ],
    to: Annotated[str, option("FORMAT", "hf (transformers, vLLM), peft (the adapter alone) or onnx.")] = "hf",
    base: Annotated[
        str | None,
        option("NAME", "For peft: the adapter's base model [default: it is exported into OUT/base]."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that holds other files.")
    ] = False,
    preset: Annotated[str | None, option("NAME", "Take the stage of this preset.")] = None,
    out: OutOption = None,
) -> None:
    """Write a trained model for other programs, with tokenizer, chat template and model card."""
    from minillm.export import export_artifact
    from minillm.lookup import find_model
    from minillm.report import short_path

    artifact = find_model(model, preset, out, writes=False)
    print(f"{artifact.stage} from {short_path(artifact.folder)}", file=sys.stderr)
    for path in export_artifact(artifact, to, folder, base=base, force=force):
        print(path)


@command(app)
def publish(
    folder: Annotated[
        Path, typer.Argument(help="A folder that is not there yet, or an earlier publication.", metavar="DIR")
    ],
    preset: PresetOption = "auto",
    out: OutOption = None,
    if_any: Annotated[
        bool, typer.Option("--if-any", help="Where no stage is trained, write nothing and say so.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the trained stages of a preset as static files with a manifest, from which `minillm fetch` reads."""
    from minillm.course import STAGES, Course
    from minillm.fetch import size_told
    from minillm.publish import publish as publish_stages

    course = Course(preset, out, fetch="none")
    if if_any and not any(map(course.is_trained, STAGES)):
        told = f"no stage of preset {course.preset.name} is trained: nothing is published"
        print(json.dumps({"stages": []}) if as_json else told)
        return
    manifest = publish_stages(course, folder)
    if as_json:
        entries = [{"stage": one.stage, "key": one.key, "bytes": one.bytes} for one in manifest.stages]
        print(json.dumps({"folder": str(folder), "preset": manifest.preset, "stages": entries}))
        return
    for one in manifest.stages:
        print(f"{folder / one.folder}: {len(one.files)} files, {size_told(one.bytes)}")
    n, size = len(manifest.stages), size_told(sum(one.bytes for one in manifest.stages))
    print(f"{folder}: {n} stage{'s' if n > 1 else ''}, {size}")


@command(app, trains=True)
def fetch(
    stages: Annotated[
        list[str] | None,
        typer.Argument(help="Stages [default: all that are published].", metavar="[STAGE]..."),
    ] = None,
    preset: PresetOption = "auto",
    published: FromOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring published stages instead of training them: those with the key that the preset's settings have.

    A download that was stopped goes on where it was. Every file is checked before it is used.
    """
    from minillm.course import STAGES, Course
    from minillm.lookup import fetch_stages
    from minillm.report import print_table, stage_entry

    course = Course(preset, out, fetch="all", models=published)
    cached = {name for name in STAGES if course.is_trained(name)}
    artifacts = fetch_stages(course, stages or [])
    entries = [stage_entry(artifact) | {"cached": name in cached} for name, artifact in artifacts.items()]
    if as_json:
        print(json.dumps({"from": course.published.place.address, "stages": entries}))
        return
    print_table(entries)


@command(app)
def info(preset: PresetOption = "auto", out: OutOption = None, as_json: JsonOption = False) -> None:
    """Show this machine as minillm sees it, the preset, and what is trained."""
    import torch

    from minillm.artifact import find_artifacts
    from minillm.course import STAGES, Course
    from minillm.fetch import fetch_mode
    from minillm.recipes import stage_flops
    from minillm.report import print_table, stage_entry
    from minillm.train.runtime import choose_runtime, has_cpp_compiler

    course = Course(preset, out, fetch="none")
    facts: dict[str, Any] = {
        "minillm": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "runtime": choose_runtime().describe(),
        "compiler": has_cpp_compiler(),
        "preset": course.preset.name,
        "flops": sum(stage_flops(course.preset).values()),
        "root": str(course.root),
        "fetch": fetch_mode(),
        "models": str(course.published.address),
        "missing": [name for name in STAGES if not course.is_trained(name)],
    }
    entries = [stage_entry(artifact) for artifact in find_artifacts(course.root)]
    if as_json:
        print(json.dumps(facts | {"stages": entries}))
        return
    facts["compiler"] = "found" if facts["compiler"] else "none, training is not compiled"
    facts["flops"] = f"{facts['flops']:.2g} to train all stages"
    facts["missing"] = ", ".join(facts["missing"]) or "nothing"
    for name, value in facts.items():
        print(f"{name:10} {value}")
    if entries:
        print_table(entries)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    if version:
        print(f"minillm {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the program."""
    prepare_streams()
    try:
        try:
            app(prog_name="minillm")
        finally:
            sys.stdout.flush()
    except OSError as error:  # the help text, for a full disk
        print(f"minillm: {error.strerror}", file=sys.stderr)
        sys.exit(2)
