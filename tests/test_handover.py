"""An exported assistant in other engines: the losses of the first steps, our data files there, and the way back.

The engines are tried where they are installed: TRL with PEFT, LLaMA-Factory, XTuner, and llama.cpp, of which
$LLAMA_CPP names a checkout with the converter.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import types
from itertools import islice
from pathlib import Path

import pytest
import torch

import minillm
from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.data.example import write_example
from minillm.data.readers import read_comparisons, read_conversations
from minillm.export import export_hf, export_peft
from minillm.model.adapters import load_adapter
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.text.chat import stop_ids

ROOT = Path(minillm.__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
if not (BENCHMARKS / "handover_trl.py").is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

transformers = pytest.importorskip("transformers")
pytest.importorskip("datasets")

from handover.data import as_messages, pairs  # noqa: E402
from handover.ours import dpo_steps, grpo_step, read_answers, sft_steps  # noqa: E402

STEPS, LEARNING_RATE, BETA = 3, 1e-3, 0.3
SYSTEM_TALK = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "A model."},
        {"role": "user", "content": "Thanks!"},
        {"role": "assistant", "content": "You are welcome."},
    ]
}


def randomised(config: GPTConfig, seed: int) -> GPT:
    """A model whose weights are large, so that no loss is nearly that of another model."""
    model, generator = GPT(config, generator=seed), torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        weight.data.normal_(1.0 if name.endswith("norm.weight") else 0.0, 0.2, generator=generator)
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two exported models, a specialist, five conversations and seven comparisons."""
    place = tmp_path_factory.mktemp("handover")
    write_example(place / "harbour")
    files = {"talks": ("conversations", 5), "pairs": ("preferences", 7)}
    for name, (source, count) in files.items():
        lines = (place / "harbour" / f"{source}.jsonl").read_text(encoding="utf-8").splitlines(True)
        (place / f"{name}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    with (place / "talks.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(SYSTEM_TALK) + "\n")
    texts = [path.read_text(encoding="utf-8") for path in sorted((place / "harbour" / "corpus").iterdir())]
    tokenizer = Tokenizer.train(texts, vocab_size=300)
    shape = GPTConfig(
        tokenizer.vocab_size, context_length=192, n_layer=2, n_head=4, n_kv_head=2, d_model=24, d_ff=36
    )
    for seed, name in enumerate(("policy", "reference")):
        export_hf(randomised(shape, seed), place / name, tokenizer)
    adapted = randomised(shape, 0)
    apply_lora(adapted, LoRAConfig(rank=3, alpha=6.0), generator=5)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(3))
    export_peft(adapted, place / "specialist", tokenizer, base=str(place / "policy"))
    return place


@pytest.fixture(scope="module")
def tokenizer(place) -> Tokenizer:
    return Tokenizer.load(place / "policy")


def as_there(place: Path, tokenizer: Tokenizer) -> GPT:
    """transformers gives no gradient to the vector of the padding token where it is read."""
    model = GPT.from_pretrained(place / "policy")
    model.model.embed_tokens.padding_idx = tokenizer.end_of_text_id
    return model


def agree(ours: list, theirs: list) -> None:
    """The sums are taken in another order, and each step builds on the one before."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert math.isclose(one.loss, other[0], rel_tol=1e-5, abs_tol=1e-7)
        assert math.isclose(one.grad_norm, other[1], rel_tol=1e-4)


# What the engines are compared with, against transformers and a few lines


def their_steps(model, loss_of, steps=STEPS) -> list[tuple[float, float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    found = []
    for _ in range(steps):
        loss = loss_of()
        loss.backward()
        found.append((loss.item(), torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()))
        optimizer.step()
        optimizer.zero_grad()
    return found


def their_model(folder: Path):
    return transformers.AutoModelForCausalLM.from_pretrained(folder).train()


def answer_log_prob(model, tokenizer, prompt, answer) -> torch.Tensor:
    """Summed over the tokens that the template adds when the answer is added."""
    messages = [*map(dict, prompt), {"role": "assistant", "content": answer}]
    start, whole = (
        tokenizer.apply_chat_template(part, add_generation_prompt=ask, return_dict=True)["input_ids"]
        for part, ask in ((messages[:-1], True), (messages, False))
    )
    log_probs = model(input_ids=torch.tensor([whole])).logits[0, :-1].log_softmax(-1)
    return log_probs[range(len(whole) - 1), whole[1:]][len(start) - 1 :].sum()


def test_our_sft_steps_are_those_of_transformers(place, tokenizer):
    model, loaded = (
        their_model(place / "policy"),
        transformers.AutoTokenizer.from_pretrained(place / "policy"),
    )
    rows = [
        loaded.apply_chat_template(
            list(map(dict, messages)), return_dict=True, return_assistant_tokens_mask=True
        )
        for messages in read_conversations(place / "talks.jsonl")
    ]

    def loss() -> torch.Tensor:
        nats, count = 0.0, 0
        for row in rows:
            labels = [
                token if said else -100
                for token, said in zip(row["input_ids"], row["assistant_masks"], strict=True)
            ]
            n_said = sum(row["assistant_masks"])
            ids = torch.tensor([row["input_ids"]])
            nats, count = (
                nats + n_said * model(input_ids=ids, labels=torch.tensor([labels])).loss,
                count + n_said,
            )
        return nats / count

    ours = sft_steps(as_there(place, tokenizer), tokenizer, place / "talks.jsonl", STEPS, LEARNING_RATE)
    agree(ours, their_steps(model, loss))
    plain = sft_steps(
        GPT.from_pretrained(place / "policy"), tokenizer, place / "talks.jsonl", 1, LEARNING_RATE
    )[0]
    assert plain.loss == ours[0].loss and plain.grad_norm > ours[0].grad_norm


def test_our_dpo_steps_are_those_of_transformers(place, tokenizer):
    model, reference = their_model(place / "policy"), their_model(place / "reference")
    loaded = transformers.AutoTokenizer.from_pretrained(place / "policy")
    rows = list(read_comparisons(place / "pairs.jsonl"))

    def loss() -> torch.Tensor:
        losses = []
        for row in rows:
            margins = [
                answer_log_prob(model, loaded, row["prompt"], answer)
                - answer_log_prob(reference, loaded, row["prompt"], answer).detach()
                for answer in row["answers"]
            ]
            losses.append(torch.log1p(torch.exp(-BETA * (margins[0] - margins[1]))))
        return torch.stack(losses).mean()

    ours = dpo_steps(
        as_there(place, tokenizer),
        GPT.from_pretrained(place / "reference"),
        tokenizer,
        place / "pairs.jsonl",
        BETA,
        STEPS,
        LEARNING_RATE,
    )
    assert abs(ours[0].loss - math.log(2)) > 0.1  # as it would be if policy and reference were the same
    agree(ours, their_steps(model, loss))


# The data


def test_texts_become_messages_and_messages_stay(place):
    asked, right, wrong = "Who?", "Ada.", "Go away."
    row = {"prompt": asked, "chosen": right, "rejected": wrong}
    made = as_messages(row)
    assert made["prompt"] == [{"role": "user", "content": asked}]
    assert made["chosen"] == [{"role": "assistant", "content": right}]
    assert as_messages(made) == made and as_messages({"text": "as it is"}) == {"text": "as it is"}
    assert list(pairs(row | {"family": "facts"})) == [made]


def test_ranked_answers_become_all_pairs_but_ties():
    row = {
        "prompt": [{"role": "user", "content": "?"}],
        "answers": ["b", "a", "c", "d"],
        "ranks": [1, 0, 2, 2],
    }
    made = [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs(row)]
    assert sorted(made) == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]


# TRL and PEFT


def trl_steps(place: Path, out: str, *words: object) -> list[tuple[float, float]]:
    """The steps of a run of `handover_trl.py` in this process."""
    import handover_trl

    usual = ("--cpu", "--steps", STEPS, "--learning-rate", LEARNING_RATE, "--beta", BETA)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(sys, "argv", ["handover_trl.py", *map(str, (*words[:2], out, *usual, *words[2:]))])
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.chdir(place)
        handover_trl.main()
    return logged_steps(place / out)


def logged_steps(folder: Path) -> list[tuple[float, float]]:
    history = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [(line["loss"], line["grad_norm"]) for line in history if "loss" in line]


def comes_back(place: Path, tokenizer: Tokenizer, model: GPT, theirs) -> None:
    """The model answers as it does there, and is not the one that left."""
    prompt = render_chat([{"role": "user", "content": "Who?"}], tokenizer, add_generation_prompt=True).ids
    answer = generate(model, [prompt], 20, temperature=0, stop=stop_ids(tokenizer))[0]
    output = (
        theirs.eval()
        .generate(input_ids=torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0]
        .tolist()[len(prompt) :]
    )
    while output and output[-1] in stop_ids(tokenizer):
        output.pop()
    assert answer == output
    ids = torch.tensor([prompt])
    assert not torch.allclose(model(ids), GPT.from_pretrained(place / "policy")(ids), atol=1e-3)


def test_sft_in_trl(place, tokenizer):
    pytest.importorskip("trl")
    theirs = trl_steps(place, "sft", "sft", "policy", "--data", "talks.jsonl", "--rows", 6)
    agree(
        sft_steps(as_there(place, tokenizer), tokenizer, place / "talks.jsonl", STEPS, LEARNING_RATE), theirs
    )
    assert Tokenizer.load(place / "sft").merges == tokenizer.merges
    comes_back(place, tokenizer, GPT.from_pretrained(place / "sft"), their_model(place / "sft"))


def test_dpo_in_trl(place, tokenizer):
    pytest.importorskip("trl")
    words = ("--data", "pairs.jsonl", "--reference", "reference", "--rows", 7)
    theirs = trl_steps(place, "dpo", "dpo", "policy", *words)
    reference = GPT.from_pretrained(place / "reference")
    file = place / "pairs.jsonl"
    agree(
        dpo_steps(as_there(place, tokenizer), reference, tokenizer, file, BETA, STEPS, LEARNING_RATE), theirs
    )
    comes_back(place, tokenizer, GPT.from_pretrained(place / "dpo"), their_model(place / "dpo"))


def test_grpo_in_trl(place, tokenizer, monkeypatch):
    """A random model is never right, so each answer that ends is rewarded here."""
    pytest.importorskip("trl")
    monkeypatch.setattr("minillm.data.judge.verify", lambda task, answer: True)
    theirs = trl_steps(place, "grpo", "grpo", "policy", "--tasks", 2, "--rows", 16, "--steps", 1)
    answers = read_answers(place / "grpo")
    assert len(answers) == 16 and 0 < sum(answer["reward"] for answer in answers) < 16
    agree([grpo_step(as_there(place, tokenizer), tokenizer, answers, 8)], theirs)
    comes_back(place, tokenizer, GPT.from_pretrained(place / "grpo"), their_model(place / "grpo"))


def test_an_adapter_goes_on_in_trl(place, tokenizer):
    pytest.importorskip("trl")
    from handover_trl import load

    theirs = trl_steps(place, "lora", "sft", "specialist", "--data", "talks.jsonl", "--rows", 6)
    model = load_adapter(as_there(place, tokenizer), place / "specialist")
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)
    agree(sft_steps(model, tokenizer, place / "talks.jsonl", STEPS, LEARNING_RATE), theirs)
    back = load_adapter(GPT.from_pretrained(place / "policy"), place / "lora")
    comes_back(place, tokenizer, back, load(place / "lora"))


@pytest.mark.processes
def test_fsdp_under_accelerate(place, tokenizer):
    pytest.importorskip("trl")
    handover = BENCHMARKS / "handover"
    launcher = ["-m", "accelerate.commands.launch", "--config_file", handover / "fsdp.yaml"]
    program = [handover / "fsdp_on_cpu.py", BENCHMARKS / "handover_trl.py", "sft", "policy", "fsdp"]
    words = [
        "--data",
        "talks.jsonl",
        "--rows",
        6,
        "--steps",
        STEPS,
        "--learning-rate",
        LEARNING_RATE,
        "--cpu",
    ]
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, (*launcher, *program, *words))],
        cwd=place,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-3000:]
    file = place / "talks.jsonl"
    ours = sft_steps(as_there(place, tokenizer), tokenizer, file, STEPS, LEARNING_RATE)
    agree(ours, logged_steps(place / "fsdp"))
    told = done.stdout.split("this process holds ")[1].split(" weights")[0].split(" of ")
    held, whole = (int(number.replace(",", "")) for number in told)
    assert whole == GPT.from_pretrained(place / "policy").n_parameters and held < 0.6 * whole
    comes_back(place, tokenizer, GPT.from_pretrained(place / "fsdp"), their_model(place / "fsdp"))


# Other engines' readers of our files


def talks_and_ids(place: Path, tokenizer: Tokenizer) -> list[tuple[dict, list[int], list[bool]]]:
    lines = (place / "talks.jsonl").read_text(encoding="utf-8").splitlines()
    rows = list(map(json.loads, lines))
    return [(row, *render_chat(row["messages"], tokenizer)) for row in rows]


@pytest.fixture
def llamafactory():
    """Its way from a row of a file, by our description, to ids and their loss mask."""
    pytest.importorskip("llamafactory.data.template", exc_type=ImportError)
    converter = importlib.import_module("llamafactory.data.converter")
    parser = importlib.import_module("llamafactory.data.parser")
    templates = importlib.import_module("llamafactory.data.template").TEMPLATES
    if "minillm" not in templates:
        importlib.import_module("handover.llamafactory_train").register()
    described = json.loads((BENCHMARKS / "handover" / "dataset_info.json").read_text(encoding="utf-8"))

    def read(name: str, row: dict, tokenizer) -> list[tuple[list[int], list[bool]]]:
        """For each response: ids and mask."""
        [attributes] = parser.get_dataset_list([name], described)
        made = converter.get_dataset_converter(attributes.formatting, attributes, None)(row)
        encoded = [
            templates["minillm"].encode_multiturn(
                tokenizer, [*made["_prompt"], response], made["_system"], None
            )
            for response in made["_response"]
        ]
        return [
            (
                [token for pair in turns for part in pair for token in part],
                [said for asked, told in turns for said in [False] * len(asked) + [True] * len(told)],
            )
            for turns in encoded
        ]

    return read


def test_llamafactory_reads_our_files(place, tokenizer, llamafactory):
    loaded = transformers.AutoTokenizer.from_pretrained(place / "policy")
    for row, ids, mask in talks_and_ids(place, tokenizer):
        assert llamafactory("conversations", row, loaded) == [(ids, mask)]
    asked, told = "Who is the baker?", "Ada is the baker."
    one = tuple(
        render_chat([{"role": "user", "content": asked}, {"role": "assistant", "content": told}], tokenizer)
    )
    other = tuple(
        render_chat([{"role": "user", "content": asked}, {"role": "assistant", "content": "No."}], tokenizer)
    )
    sharegpt = {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": told}]}
    assert llamafactory("sharegpt", sharegpt, loaded) == [one]
    assert llamafactory("completions", {"prompt": asked, "completion": told}, loaded) == [one]
    alpaca = {"instruction": asked, "input": "", "output": told}
    assert llamafactory("alpaca", alpaca, loaded) == [one]
    pair = {"prompt": asked, "chosen": told, "rejected": "No."}
    assert llamafactory("preferences", pair, loaded) == [one, other]


@pytest.fixture
def xtuner(monkeypatch):
    """Its modules for data alone: all of it wants a GPU's libraries and older versions of others."""
    found = importlib.util.find_spec("xtuner")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("XTuner is not installed")
    pytest.importorskip("mmengine")
    for name in ("xtuner", "xtuner.dataset", "xtuner.utils"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(found.submodule_search_locations[0]).parent.joinpath(*name.split(".")))]
        monkeypatch.setitem(sys.modules, name, package)
    for part in ("constants", "templates"):
        vars(sys.modules["xtuner.utils"]).update(vars(importlib.import_module(f"xtuner.utils.{part}")))
    yield importlib.import_module("xtuner.dataset.utils"), importlib.import_module("xtuner.dataset.map_fns")
    for name in [name for name in sys.modules if name.startswith("xtuner.")]:
        monkeypatch.delitem(sys.modules, name)


def test_xtuner_reads_our_conversations(place, tokenizer, xtuner):
    utils, maps = xtuner
    source = (BENCHMARKS / "handover" / "xtuner_sft.py").read_text(encoding="utf-8")
    part = source[source.index("def with_spaces") : source.index("tokenizer = dict(")]
    names = {
        "openai_map_fn": maps.openai_map_fn,
        "ConfigDict": importlib.import_module("mmengine").ConfigDict,
    }
    exec(f"from __future__ import annotations\n{part}", names)
    loaded = transformers.AutoTokenizer.from_pretrained(place / "policy")
    fill = maps.template_map_fn_factory(names["prompt_template"])
    for row, ids, mask in talks_and_ids(place, tokenizer):
        read = utils.encode_fn(fill(names["with_spaces"](row)), loaded, max_length=1000)
        assert read["input_ids"] == ids
        assert read["labels"] == [token if said else -100 for token, said in zip(ids, mask, strict=True)]


# llama.cpp


def test_greedy_tokens_in_llama_cpp(place, tokenizer):
    """Tokens, because a random model writes halves of characters, which are lost in a text."""
    pytest.importorskip("llama_cpp")
    if "LLAMA_CPP" not in os.environ:
        pytest.skip("set LLAMA_CPP to a checkout of llama.cpp, for its converter")
    from handover.gguf import GGUFModel, to_gguf

    file = to_gguf(place / "policy", place / "policy.gguf", Path(os.environ["LLAMA_CPP"]))
    model = GPT.from_pretrained(place / "policy")
    there = GGUFModel(file, model.config).model
    for question in ("Who?", "Where is the Merle?", "héllo  it's 1234 <|end|>"):
        messages = [{"role": "user", "content": question}]
        safe = [{"role": "user", "content": question.replace("<|", "< |")}]  # as the exported template has it
        prompt = render_chat(safe, tokenizer, add_generation_prompt=True).ids
        text = tokenizer.decode(prompt).encode("utf-8")
        assert there.tokenize(text, add_bos=False, special=True) == prompt
        assert there.create_chat_completion(messages, max_tokens=1)["usage"]["prompt_tokens"] == len(prompt)
        tokens = list(islice(there.generate(prompt, temp=0.0, repeat_penalty=1.0), 20))
        assert tokens == generate(model, [prompt], 20, temperature=0, stop=())[0]
