"""The playground on this machine: what is served, to whom, and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from live_modules import LIVE as CHECKOUT
from live_modules import spread
from live_site import Visitor

from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.artifact import Artifact, write_artifact
from minillm.model.adapters import save_adapter
from minillm.model.heads import RewardModel
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.text.chat import answer_text, save_chat_format, stop_ids
from minillm.web import LIVE, Playground, check_options, related

CONFIG = GPTConfig(vocab_size=280, context_length=60, n_layer=1, n_head=2, d_model=16)
PARENTS = {
    "tokenizer": {},
    "base": {"tokenizer": "1"},
    "sft": {"base": "1"},
    "reward": {"sft": "1"},
    "ppo": {"sft": "1", "reward": "1"},
    "lora": {"sft": "1"},
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(
        ["Hello there, where is the hat? Here is the hat, the cat sat on it."], CONFIG.vocab_size
    )


def write(root: Path, tokenizer: Tokenizer, stage: str, key: str, parents: dict[str, str]) -> Artifact:
    """A stage as `minillm run` leaves it, made a second after those before it."""
    folder = root / "test" / f"{stage}-{key}"
    tokenizer.save(folder)
    if stage != "tokenizer":
        model = (RewardModel if stage == "reward" else GPT)(CONFIG)
        spread(model, len(stage))
        model.save_pretrained(folder)
    if stage in ("sft", "ppo", "lora"):
        save_chat_format(folder, tokenizer)
    if stage == "lora":
        save_adapter(apply_lora(GPT(CONFIG), LoRAConfig(rank=2)), folder / "adapter")
    (folder / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    made = write_artifact(folder, stage, key, {"data": "a text", "parents": parents}, {})
    number = len(list(root.glob("*/*")))
    os.utime(folder / "summary.json", (number, number))
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """All stages, and later ones of another sft that do not belong to them."""
    root = tmp_path_factory.mktemp("runs")
    for stage, parents in PARENTS.items():
        write(root, tokenizer, stage, "1", parents)
    write(root, tokenizer, "sft", "2", {"base": "1"})
    write(root, tokenizer, "ppo", "2", {"sft": "2", "reward": "2"})
    return root


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[Playground]:
    with Playground(Artifact(runs / "test" / "sft-1")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: Playground, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    """Status, content and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    found = response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    return found


def raw(server: Playground, request: bytes) -> bytes:
    """The answer to some bytes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# What is served


def test_the_stages_that_belong_together(runs: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(runs, tmp_path / "runs", copy_function=shutil.copy2))
    (runs / "test" / "base-9").mkdir()
    (runs / "test" / "base-9" / "summary.json").write_text("{", encoding="utf-8")

    def names(folder: str) -> list[str]:
        return [one.folder.name for one in related(Artifact(runs / "test" / folder))]

    first = [f"{stage}-1" for stage in ("tokenizer", "base", "sft", "reward", "ppo", "lora")]
    assert names("ppo-1") == first
    assert sorted(names("sft-1")) == sorted(first), "not the later ones of another sft"
    assert names("sft-2") == ["tokenizer-1", "base-1", "sft-2"]
    assert names("ppo-2") == ["tokenizer-1", "base-1", "sft-2", "ppo-2"], "its reward model is gone"


def test_a_stage_that_is_not_registered_is_shown_with_those_that_it_was_made_from(
    runs: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(runs, tmp_path / "runs", copy_function=shutil.copy2))
    mine = write(runs, tokenizer, "mine", "1", {"sft": "1"})
    save_chat_format(mine.folder, tokenizer)
    found = [one.folder.name for one in related(mine)]
    assert found[-1] == "mine-1" and "sft-1" in found and "sft-2" not in found
    alone = write(tmp_path / "alone", tokenizer, "mine", "1", {})
    assert related(alone) == [alone]


def test_a_folder_may_be_named_from_inside(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs / "test")
    assert len(related(Artifact(Path("sft-1")))) == len(PARENTS)


def test_the_page_names_what_is_there(server: Playground, runs: Path) -> None:
    names = ("config.json", "tokenizer.json", "model.safetensors")
    size = sum((runs / "test" / "sft-1" / name).stat().st_size for name in names) / 1e6
    status, content, headers = ask(server, "/")
    page = content.decode()
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    assert f'data-widget="chat" data-stage="sft" data-size="{size:.1f} MB"' in page
    assert 'data-stages="[&quot;base&quot;, &quot;sft&quot;, &quot;ppo&quot;]"' in page
    assert 'data-widget="lora" data-stage="lora"' in page
    assert ask(server, "/?a=1")[1] == content


def test_every_file_has_its_type_and_its_content(server: Playground, runs: Path) -> None:
    kinds = {
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "json": "application/json",
        "safetensors": "application/octet-stream",
    }
    manifest = json.loads(ask(server, "/models/manifest.json")[1])
    assert [stage["stage"] for stage in manifest["stages"]] == ["base", "sft", "reward", "ppo", "lora"]
    files = {file["path"]: file for stage in manifest["stages"] for file in stage["files"]}
    assert "lora-1/adapter/adapter_model.safetensors" in files and len(files) == 5 * 3 + 2
    expected = {f"/models/{path}": (runs / "test" / path).read_bytes() for path in files}
    modules = {path.name: path.read_bytes() for path in CHECKOUT.iterdir() if path.suffix in (".js", ".css")}
    assert "page.js" in modules
    expected |= {f"/_static/live/{name}": content for name, content in modules.items()}
    for path, wanted in expected.items():
        status, content, headers = ask(server, path)
        assert (status, content) == (200, wanted), path
        assert headers["content-type"] == kinds[path.rpartition(".")[2]], path
        assert (
            headers["content-length"] == str(len(wanted)) and headers["x-content-type-options"] == "nosniff"
        )
        assert "default-src 'none'" in headers["content-security-policy"]
    for path, file in files.items():
        content = expected[f"/models/{path}"]
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert set(server.table) == {*expected, "/", "/style.css", "/models/manifest.json"}


def test_head_sends_no_content(server: Playground) -> None:
    for path in ("/", "/_static/live/page.js"):
        status, content, headers = ask(server, path, "HEAD")
        assert (status, content) == (200, b"") and int(headers["content-length"]) > 0
    assert ask(server, "/nothing", "HEAD")[:2] == (404, b"")


def test_a_file_that_is_gone(runs: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    made = write(tmp_path, tokenizer, "sft", "1", {})
    with Playground(made) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (made.folder / "config.json").unlink()
        assert ask(server, "/models/sft-1/config.json")[0] == 404
        server.shutdown()


# What is not


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/_static/live/../../../pyproject.toml",
        "/_static/live/%2e%2e/%2e%2e/%2e%2e/pyproject.toml",
        "/_static/live/..%2f..%2f..%2fpyproject.toml",
        "/_static/live/..\\..\\..\\pyproject.toml",
        "/models/sft-1/../../../../etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/%00",
        "/_static/live/page.js%00.txt",
        "/_static/live/PAGE.JS",
        "/_static/live/page.js/",
        "/_static/live/package.json",
        "/_static/live/",
        "/_static/live",
        "/models/",
        "/models/sft-1/",
        "/models/sft-1/metrics.jsonl",
        "/models/sft-1/summary.json",
        "/models/sft-2/model.safetensors",
        "/favicon.ico",
        "http://127.0.0.1/",
        "*",
        "/" + "a" * 60_000,
    ],
)
def test_no_other_path_is_answered(server: Playground, path: str) -> None:
    """No listing, no file that the page does not read, and no way out."""
    host = f"Host: 127.0.0.1:{server.server_port}\r\n\r\n"
    answer = raw(server, f"GET {path} HTTP/1.1\r\n{host}".encode())
    assert answer.startswith(b"HTTP/1.0 404 ")
    assert answer.endswith(b"\r\n\r\nNot Found: there is nothing here\n")


def test_other_methods_are_refused(server: Playground) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        status, _, headers = ask(server, "/", method)
        assert status == 405 and headers["allow"] == "GET, HEAD", method
    for method in ("TRACE", "CONNECT", "BREW"):
        assert ask(server, "/", method)[0] == 501


def test_only_this_machine_may_ask(server: Playground) -> None:
    """A page of another site may let its name lead here, and then sends that name."""
    port = server.server_port
    assert server.server_address == ("127.0.0.1", port)
    for host, status in (
        (f"127.0.0.1:{port}", 200),
        (f"localhost:{port}", 200),
        (f"LocalHost:{port}", 200),
        ("evil.example", 403),
        (f"evil.example:{port}", 403),
        (f"127.0.0.1.evil.example:{port}", 403),
        ("127.0.0.1", 403),
        (f"127.0.0.1:{port + 1}", 403),
        (f"0.0.0.0:{port}", 403),
        ("", 403),
        (f"127.0.0.1:{port}\r\nHost: evil.example", 403),
    ):
        for path in ("/", "/models/sft-1/model.safetensors"):
            answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert answer.startswith(f"HTTP/1.0 {status} ".encode()), host
    assert raw(server, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 403 ")


def test_nonsense_is_survived(server: Playground) -> None:
    for request in (
        b"",
        b"\r\n",
        b"\xff\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G" * 70_000,
    ):
        raw(server, request)
    assert ask(server, "/")[0] == 200


def test_what_cannot_be_served(runs: Path, server: Playground) -> None:
    with pytest.raises(ValueError, match="base continues texts"):
        Playground(Artifact(runs / "test" / "base-1"))
    with pytest.raises(ValueError, match=f"port {server.server_port} cannot be used"):
        Playground(Artifact(runs / "test" / "sft-1"), server.server_port)


def test_the_modules_are_those_of_the_book() -> None:
    """In a checkout; what a wheel holds, tools/dist_check.py says."""
    assert LIVE.resolve() == CHECKOUT.resolve()


# The command


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "minillm", "chat", *map(str, arguments)]


@pytest.mark.skipif(os.name != "posix", reason="the signal of Ctrl-C is sent in another way there")
def test_the_command_serves_until_ctrl_c(runs: Path) -> None:
    with subprocess.Popen(
        command("sft", "--web", "--no-browser", "--out", runs),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout and process.stderr
            address = process.stdout.readline().strip()
            port = int(address.removeprefix("http://127.0.0.1:").removesuffix("/"))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/models/manifest.json")
            response = connection.getresponse()
            assert response.status == 200
            assert [stage["key"] for stage in json.load(response)["stages"] if stage["stage"] == "sft"] == [
                "2"
            ]
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
            assert process.stderr.read().strip().endswith("Ctrl-C ends it.")
        finally:
            process.kill()  # a server that did not end would be waited for without end


def test_options_that_do_not_go_together(runs: Path) -> None:
    for web, others, told in (
        (True, {"--prompt": "Hi", "--system": None}, "--web takes no --prompt"),
        (True, {"--prompt": None, "--temperature": 0.0}, "--web takes no --temperature"),
        (False, {}, "--port and --no-browser belong to --web"),
    ):
        with pytest.raises(ValueError, match=told):
            check_options(web, others)
    check_options(True, {"--prompt": None})
    done = subprocess.run(
        command("sft", "--out", runs, "--port", "8000"), capture_output=True, encoding="utf-8", input=""
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "belong to --web" in done.stderr


# In a browser


def test_the_page_answers(server: Playground, runs: Path, tokenizer: Tokenizer) -> None:
    """Under its content security policy, in every view; all widgets start."""
    program = browser.find_program()
    if not program:
        pytest.skip("Chromium is not installed")
    message = {"role": "user", "content": "Where?"}
    prompt = render_chat([message], tokenizer, add_generation_prompt=True).ids
    model = GPT.from_pretrained(runs / "test" / "sft-1").eval()
    ids = generate(model, [prompt], CONFIG.context_length, temperature=0.0, stop=stop_ids(tokenizer))[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        chromium = browser.Browser(program, profile)
        visitor = Visitor(chromium, server.address)
        for look in browser.VIEWS:
            visitor.open("", look)
            visitor.wait(lambda: visitor.js("document.querySelectorAll('.minillm-live .status').length") == 3)
            visitor.focus("[type=range]")
            visitor.key("Home")
            visitor.type("Where?")
            visitor.key("Enter")
            visitor.wait(lambda: " a second" in visitor.status())
            answer = visitor.js("document.querySelector('.assistant .text').textContent")
            assert answer == answer_text(ids, tokenizer)
            assert visitor.problems() == set()
        chromium.close()
