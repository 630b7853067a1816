"""The files at the root agree with each other and with the package."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import cover
import dist_check
import pytest
import repository
import test_summary
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from minillm import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = ROOT / "minillm"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Floors of the package. A module imports from lower floors, or beside it inside one folder, for types too.
FLOORS = {
    "files": 0,
    "checks": 0,
    "keys": 0,
    "process": 0,
    "progress": 0,
    "downloads": 1,
    "manifest": 1,
    "settings": 0,
    "recordings": 1,
    "text": 1,
    "model": 1,
    "data": 2,
    "train": 2,
    "costs": 2,
    "artifact": 3,
    "fetch": 4,
    "stages": 4,
    "evaluate": 4,
    "export": 4,
    "presets": 5,
    "recipes": 6,
    "overrides": 7,
    "stage_keys": 7,
    "course": 7,
    "publish": 7,
    "figures": 8,
    "lookup": 8,
    "report": 8,
    "terminal": 8,
    "web": 8,
    "command": 8,
    "cli": 8,
}


def requirements(*extras: str) -> dict[str, Requirement]:
    """Name -> requirement of the core, the given extras, and the extras that they name."""
    found = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            if requirement.name == PROJECT["name"]:
                found |= requirements(*requirement.extras)
            else:
                found[canonicalize_name(requirement.name)] = requirement
    return found


def pins() -> dict[str, str]:
    """Name -> version in constraints.txt."""
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines)
    names = [line.partition("==")[0] for line in lines]
    assert len(names) == len(set(names)), "a package is pinned twice"
    return dict(line.split("==") for line in lines)


def tracked_files() -> list[Path]:
    """Text files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    names = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    ).stdout.splitlines()
    binary = {".png", ".safetensors", ".ico", ".woff"}
    return [ROOT / name for name in names if (ROOT / name).is_file() and Path(name).suffix not in binary]


# Versions


def test_every_requirement_is_pinned_inside_its_range() -> None:
    pinned = pins()
    for name, requirement in requirements(*PROJECT["optional-dependencies"]).items():
        assert name in pinned, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} excludes its pin {pinned[name]}"


def test_requirements_have_a_floor_and_no_cap() -> None:
    for name, requirement in requirements(*PROJECT["optional-dependencies"]).items():
        operators = {specifier.operator for specifier in requirement.specifier}
        allowed = {">=", "<"} if name == "jupyter-book" else {">="}  # Jupyter Book 2 is another program
        assert operators == allowed, requirement


def test_the_core_is_what_modules_import_at_their_head() -> None:
    """And an extra is imported where it is needed, so that the rest works without it."""
    imported: set[str] = set()
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
    foreign = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"minillm"}
    assert foreign == set(requirements())


def test_pins_have_one_home() -> None:
    pinned = set(pins())
    for path in tracked_files():
        if path.name != "constraints.txt":
            found = re.findall(r"\b([\w.-]+)(?:\[\w+\])?==\d", path.read_text(encoding="utf-8"))
            strays = {name for name in found if canonicalize_name(name) in pinned}
            assert not strays, f"{path.relative_to(ROOT)} pins {strays}; pins belong in constraints.txt"


def test_environment_yml_equals_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda, pip = environment["dependencies"][:-1], environment["dependencies"][-1]["pip"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert "--constraint constraints.txt" in pip
    listed = {canonicalize_name(r.name): r for r in (Requirement(line) for line in pip if line[0] != "-")}
    assert listed == requirements("book", "test", "dev")


def test_the_version_is_the_same_everywhere() -> None:
    version = re.search(
        r'^__version__ = "(.+)"$', (PACKAGE / "__init__.py").read_text(encoding="utf-8"), re.M
    )[1]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == version
    assert re.search(
        rf"^## .*\b{re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
    )


def test_types_are_shipped_and_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"] is True and settings["files"] == ["minillm"]
    assert f">={settings['python_version']}" == PROJECT["requires-python"]
    for exception in settings["overrides"]:
        assert set(exception) == {"module", "ignore_missing_imports"}, "only for packages without types"
        assert not [name for name in exception["module"] if name.startswith(("minillm", "*"))]
    assert (PACKAGE / "py.typed").read_bytes() == b""


# The address of the repository


def test_only_the_known_users_name_the_repository() -> None:
    slug = repository.slug(repository.read_repository()[0])
    named = {path for path in tracked_files() if slug in path.read_text(encoding="utf-8")}
    assert named <= set(repository.users()), "add the file to FIXED_USERS in tools/repository.py"


def test_set_repository_leaves_no_old_address(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "book", tmp_path / "book")
    for name in repository.FIXED_USERS:
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    old_slug = repository.slug(repository.read_repository(tmp_path)[0])
    repository.set_repository("https://github.com/someone/fork", "trunk", tmp_path)
    assert repository.read_repository(tmp_path) == ("https://github.com/someone/fork", "trunk")
    assert 'address = "git+https://github.com/someone/fork@trunk"' in repository.setup_source(tmp_path)
    assert 'MODELS = "https://someone.github.io/fork/models"' in (tmp_path / "minillm/fetch.py").read_text(
        encoding="utf-8"
    )
    for path in repository.users(tmp_path):
        text = path.read_text(encoding="utf-8")
        assert old_slug not in text, path
        assert not re.search(r"someone/fork(?:@|/(?:blob|tree|raw)/)main\b", text), path
        if path.suffix == ".ipynb":
            assert "git+https://github.com/someone/fork@trunk" in text


def test_models_are_fetched_from_the_website_of_the_repository() -> None:
    from minillm.fetch import MODELS

    assert repository.models(repository.read_repository()[0]) == MODELS


def test_addresses_outside_github_are_refused() -> None:
    with pytest.raises(ValueError, match="give https://github.com/OWNER/NAME"):
        repository.slug("https://example.org/course")
    assert repository.slug("https://github.com/a-b/c.d.git") == "a-b/c.d"


ELSEWHERE = ("https://github.com/Some/fork", "trunk")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](LICENSE)", "[a](https://github.com/Some/fork/blob/trunk/LICENSE)"),
        ("[a](book/x.md#b)", "[a](https://github.com/Some/fork/blob/trunk/book/x.md#b)"),
        ("![a](x/y.png)", "![a](https://raw.githubusercontent.com/Some/fork/trunk/x/y.png)"),
        (
            '<source srcset="a.svg"><img alt="b" src="c.svg">',
            '<source srcset="https://raw.githubusercontent.com/Some/fork/trunk/a.svg">'
            '<img alt="b" src="https://raw.githubusercontent.com/Some/fork/trunk/c.svg">',
        ),
        (
            "[![a](b.svg)](c.md)",
            "[![a](https://raw.githubusercontent.com/Some/fork/trunk/b.svg)]"
            "(https://github.com/Some/fork/blob/trunk/c.md)",
        ),
        ("[a](https://b.org/c) [d](#e) [f](mailto:g@h)", "[a](https://b.org/c) [d](#e) [f](mailto:g@h)"),
    ],
)
def test_links_of_the_readme_get_full_addresses(text: str, expected: str) -> None:
    assert repository.absolute_links(text, *ELSEWHERE) == expected


def test_what_an_index_shows_leads_to_files_of_the_repository() -> None:
    url, branch = repository.read_repository()
    readme = repository.absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), url, branch)
    raw = url.replace("://github.com/", "://raw.githubusercontent.com/")
    links = [
        *re.findall(r"(?:\]\(|\")(https?://[^)\"]+)", readme),
        *repository.project_urls(url, branch).values(),
    ]
    files = [
        link.removeprefix(start) for link in links for start in (f"{url}/blob/{branch}/", f"{raw}/{branch}/")
    ]
    names = {name for name in files if not name.startswith("https:")}
    assert {"LICENSE", "CHANGELOG.md", "book/intro.md", "book/_static/site.png"} <= names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_urls_of_the_project() -> None:
    urls = repository.project_urls(*ELSEWHERE)
    assert urls["Repository"] == "https://github.com/Some/fork"
    assert urls["Homepage"] == "https://some.github.io/fork/"
    assert urls["Changelog"] == "https://github.com/Some/fork/blob/trunk/CHANGELOG.md"
    page = urls["Documentation"].removeprefix(urls["Homepage"])
    assert (ROOT / page).with_suffix(".md").exists()


def test_no_machine_path_and_no_registry_host_in_the_tree() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.np" + "mjs", "deb.de" + "bian.org"]
    pattern = re.compile(r"(?<![\w.*])/(?:work|root)/(?![\w/]*\|)|" + "|".join(map(re.escape, hosts)))
    for path in tracked_files():
        if path.name not in {"test_notebooks.py", "notebook_form.py"}:  # they look for such paths
            match = pattern.search(path.read_text(encoding="utf-8"))
            assert not match, f"{path.relative_to(ROOT)} names {match[0]!r}"


# The package


def imports_of(path: Path) -> set[str]:
    """Dotted names inside minillm that a module imports, at its head, in a function or for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("minillm.") and module_path(name)}


def module_path(name: str) -> Path | None:
    """The file of a dotted name, if it is a module with code of its own."""
    path = ROOT / Path(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def climbs(module: str, imports: set[str]) -> list[str]:
    """What a module imports from its own floor or above, though it may not."""
    folder, is_alone = module.split(".")[1], module.count(".") == 1
    found = []
    for name in sorted(imports):
        target = name.split(".")[1]
        beside = FLOORS[target] == FLOORS[folder] and (target == folder or is_alone)
        if not (FLOORS[target] < FLOORS[folder] or beside):
            found.append(f"{module} imports {name}, which lies above it")
        elif target == "figures" and folder not in ("figures", "cli"):
            found.append(f"{module} imports {name}; only notebooks and the command line may")
    return found


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Imports that lead back to where they come from."""
    found: list[str] = []
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            found.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                walk(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())
    return found


def test_modules_import_only_from_lower_floors() -> None:
    found = []
    for path in MODULES:
        folder = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if folder not in ("__init__", "__main__"):
            assert folder in FLOORS, f"give minillm/{folder} a floor in tests/test_frame.py"
            found += climbs(module_name(path), imports_of(path))
    assert not found, "\n".join(found)


def test_imports_have_no_circles() -> None:
    found = circles({module_name(path): imports_of(path) for path in MODULES})
    assert not found, "\n".join(found)


def test_the_frame_sees_imports_for_types_and_in_functions(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from minillm.course import Course\n"
        "else:\n    import minillm.files\n"
        "def later():\n    from minillm import presets\n",
        encoding="utf-8",
    )
    seen = imports_of(path)
    assert seen == {"minillm.course", "minillm.files", "minillm.presets"}
    assert climbs("minillm.stages.ppo", seen) == [
        "minillm.stages.ppo imports minillm.course, which lies above it",
        "minillm.stages.ppo imports minillm.presets, which lies above it",
    ]
    assert climbs("minillm.cli", seen) == []
    assert climbs("minillm.model.gpt", {"minillm.model.loss"}) == []
    assert climbs("minillm.model.gpt", {"minillm.text.bpe"}) != [], "beside it, but in another folder"
    assert climbs("minillm.report", {"minillm.figures.style"}) != [], "drawing is for notebooks and the cli"


def test_the_frame_sees_circles() -> None:
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b -> c -> b"]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{lines} lines: split it by ideas"


def test_import_is_quick_and_has_no_side_effect(tmp_path: Path) -> None:
    program = (
        "import sys, os; before = set(sys.modules); environment = dict(os.environ); import minillm; "
        "assert environment == dict(os.environ); print(*(set(sys.modules) - before))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2.0
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert not loaded & {"torch", "numpy", "matplotlib", "datasets", "transformers", "tiktoken", "IPython"}
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_every_exported_name_exists() -> None:
    import minillm

    assert {name for name in minillm.__all__ if not hasattr(minillm, name)} == set()


LAZY = [path for path in MODULES if "def __getattr__" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", LAZY, ids=module_name)
def test_dir_shows_what_is_public(path: Path) -> None:
    """Of a module that loads its names when they are first used, before and after they are."""
    program = (
        f"import {module_name(path)} as m; import minillm.files; print(*dir(m)); "
        "[getattr(m, name) for name in m.__all__]; print(*dir(m)); print(*m.__all__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    before, after, public = (line.split() for line in run.stdout.splitlines())
    assert before == after == sorted(before)
    assert [name for name in before if not re.fullmatch(r"__\w+__", name)] == sorted(public)
    assert {"__all__", "__doc__", "__file__", "__name__", "__path__"} <= set(before)


def test_the_version_is_in_dir() -> None:
    import minillm

    assert "__version__" in dir(minillm)


# Make, workflows, README


def make_targets() -> set[str]:
    """Targets of the Makefile that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "book/intro.md"])
def test_documents_name_existing_targets(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    in_code = re.findall(r"`make ([a-z-]+)|^(?: {4})?make ([a-z-]+)", text, re.M)
    named = {inline or block for inline, block in in_code}
    assert named, f"{name} names no target: the pattern of this test is out of date"
    assert named <= make_targets(), named - make_targets()


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow_jobs(path: Path) -> dict[str, dict]:
    """Name -> job of a workflow."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def absent(program: str) -> set[str]:
    """Make targets and files that a program of a workflow names and that do not exist."""
    calls = re.findall(r"\bmake ([^\n\"&|;]+)", program)
    targets = {word for call in calls for word in call.split() if "=" not in word}
    files = set(re.findall(r"(?<![\w./:-])[\w-][\w./-]*\.(?:py|ipynb|txt|toml|sh)\b", program))
    return (targets - make_targets()) | {name for name in files if not (ROOT / name).is_file()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_exists(path: Path) -> None:
    for name, job in workflow_jobs(path).items():
        assert job["timeout-minutes"], f"{name} has no limit"
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[\w./-]+", step.get("uses", "a/b@v1")), step
            assert absent(step.get("run", "")) == set(), f"{path.name}, {name}"


def test_what_a_workflow_names_wrongly_is_seen() -> None:
    assert absent("make test PYTHON=python\npython tools/repository.py && make site site-check") == set()
    assert absent("make tset site\npython tools/repositry.py") == {"tset", "tools/repositry.py"}
    assert absent('docker run x -c "cd a && make colab-heer"') == {"colab-heer"}


def test_every_system_and_every_python_is_tested() -> None:
    jobs = workflow_jobs(ROOT / ".github" / "workflows" / "test.yml")
    matrices = [job["strategy"]["matrix"] for job in jobs.values() if "strategy" in job]
    systems = {system.partition("-")[0] for matrix in matrices for system in matrix.get("system", [])}
    pythons = {version for matrix in matrices for version in matrix.get("python", [])}
    assert systems == {"ubuntu", "macos", "windows"}
    assert PROJECT["requires-python"] == f">={min(pythons, key=Version)}"
    assert all(job["strategy"]["fail-fast"] is False for job in jobs.values() if "strategy" in job)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(("tag", "status"), [("v{}", 0), ("{}", 1), ("v{}1", 1), ("v9", 1)])
def test_a_release_is_held_to_its_tag(tag: str, status: int) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    (step,) = [s for s in workflow["jobs"]["build"]["steps"] if s.get("name") == "The tag is the version"]
    environment = os.environ | {"GITHUB_REF_NAME": tag.format(__version__)}
    run = subprocess.run(
        ["bash", "-ec", step["run"]], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
    )
    assert run.returncode == status
    assert (f"the version {__version__}" in run.stdout) == bool(status)


def test_only_the_release_may_publish() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    publish = workflow["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"} and publish["needs"] == "build"
    assert "run" not in {key for step in publish["steps"] for key in step}


def test_the_container_names_what_exists() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    python = container["image"].rpartition(":")[2]
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    make, target = container["postCreateCommand"].split()
    assert make == "make" and target in make_targets()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    folder = re.search(r"^VENV \?= (.+)$", makefile, re.M)[1]
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == f"${{containerWorkspaceFolder}}/{folder}/bin/python"


def test_classifiers_name_the_versions_that_are_tested() -> None:
    stated = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if " :: 3." in c]
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    assert set(stated) == set(re.findall(r'"(3\.\d+)"', workflow))
    assert f">={stated[0]}" == PROJECT["requires-python"]


def test_readme_points_to_existing_files() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)|(?:src|srcset)=\"(?!https?:)([^\"]+)\"", text):
        assert (ROOT / (target[0] or target[1])).exists(), target
    for name in re.findall(r"`((?:minillm|tests|book|tools)/[\w./]+\.\w+)`", text):
        assert (ROOT / name).exists(), name


def test_introduction_states_the_size_of_the_cpu_preset() -> None:
    """The table of sizes is prose; this holds our column to the settings, to one leading digit."""
    from minillm.model.gpt import GPT
    from minillm.presets import PRESETS

    base = PRESETS["cpu"].base
    text = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    stated = {
        row: float(re.search(rf"^\| {row} \|.*\| about ([\d.]+) million(?: tokens)? \|$", text, re.M)[1])
        for row in ("parameters", "pretraining text")
    }
    actual = {
        "parameters": sum(p.numel() for p in GPT(base.model).parameters()) / 1e6,
        "pretraining text": base.fit.steps * base.rows * base.model.context_length / 1e6,
    }
    assert stated == pytest.approx(actual, rel=0.2)


# Small tools


@pytest.mark.parametrize("name", sorted(cover.drawings()))
def test_drawings_are_current(name: str) -> None:
    stored = (ROOT / "book" / "_static" / name).read_text(encoding="utf-8")
    assert stored == cover.drawings()[name], "run `make cover`"


def test_the_check_of_archives_sees_what_is_too_much_and_too_little() -> None:
    assert dist_check.differences("it", {"a", "b"}, {"b", "c"}) == [
        "it holds a, which it should not",
        "it lacks c",
    ]
    assert dist_check.differences("it", {"a"}, {"a"}) == []


def test_the_check_of_the_readme_sees_addresses_that_lead_nowhere() -> None:
    good = '<a href="https://b.org/c">x</a><a href="#top">y</a><img src="https://b.org/d.png">'
    assert dist_check.address_problems(good) == []
    bad = good + '<img alt="z" src="book/z.svg"><a href="LICENSE">l</a>'
    assert [line.split()[5] for line in dist_check.address_problems(bad)] == ["book/z.svg,", "LICENSE,"]
    assert dist_check.address_problems("<p>No picture was rendered.</p>") == [
        "the readme shows no link at all"
    ]


def test_summary_adds_up(tmp_path: Path) -> None:
    suite = '<testsuites><testsuite tests="{}" failures="{}" errors="{}" skipped="{}"/></testsuites>'
    (tmp_path / "a.xml").write_text(suite.format(10, 1, 2, 3), encoding="utf-8")
    (tmp_path / "b.xml").write_text(suite.format(5, 0, 0, 1), encoding="utf-8")
    assert test_summary.summary(tmp_path) == (8, 3, 4)
