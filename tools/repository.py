"""The address of the repository: read from its one home, `_config.yml`, and written wherever it is used.

python tools/repository.py                  print the address and the branch
python tools/repository.py URL [BRANCH]     make URL the address in every file (`make set-repository URL=...`)
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "_config.yml"
PICTURES = (".svg", ".png", ".jpg", ".gif")
# Files that name the address. The chapters are added to them by `users`.
FIXED_USERS = (
    "_config.yml",
    "README.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "CHANGELOG.md",
    "book/intro.md",
    "book/your_data.md",
    "minillm/fetch.py",
)

SETUP_CELL = """\
# @title Set-up: installs minillm where it is missing, and says which stages are fetched
import os

# before: those before the chapter's own; all: its own too; none: what is missing is trained
FETCH = "before"  # @param ["before", "all", "none"]
if FETCH != "before" or not os.environ.get("MINILLM_FETCH"):
    os.environ["MINILLM_FETCH"] = FETCH
try:
    from minillm import __version__
except ImportError:
    import importlib
    import subprocess
    import sys

    address = "git+{url}@{branch}"
    source = os.environ.get("MINILLM_REPO", address)
    packages = [source, {packages}]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *packages], check=True
    )
    for name in [n for n in sys.modules if n.partition(".")[0] == "minillm"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    from minillm import __version__
print("minillm", __version__)
print("Stages that are missing are fetched:", os.environ["MINILLM_FETCH"])"""
SETUP_METADATA = {"tags": ["remove-output", "hide-input", "nbval-ignore-output"], "cellView": "form"}


def read_repository(root: Path = ROOT) -> tuple[str, str]:
    """Return (url, branch) as `_config.yml` has them."""
    text = (root / "_config.yml").read_text(encoding="utf-8")
    block = re.search(r"^repository:\n((?:[ \t]+.*\n|\s*\n)+)", text, re.M)
    fields = dict(re.findall(r"^\s+(url|branch):\s*(\S+)", block[1], re.M)) if block else {}
    if set(fields) != {"url", "branch"}:
        raise ValueError(
            f"_config.yml has no repository.url and repository.branch (got {fields}); put both in"
        )
    return fields["url"].strip("\"'"), fields["branch"].strip("\"'")


def setup_source(root: Path = ROOT) -> str:
    """The source of the set-up cell, the same in every chapter.

    It names what the extra `chapters` has: older versions of pip take no extra of a local git address.
    """
    url, branch = read_repository(root)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = ", ".join(f'"{line}"' for line in project["optional-dependencies"]["chapters"])
    return SETUP_CELL.format(url=url, branch=branch, packages=packages)


def users(root: Path = ROOT) -> list[Path]:
    """Every file that may name the repository's address."""
    fixed = [root / name for name in FIXED_USERS]
    return [path for path in fixed if path.exists()] + sorted((root / "book").glob("*.ipynb"))


def slug(url: str) -> str:
    """`owner/name` of an https address on GitHub, as Colab's and GitHub's badge addresses need it."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", url)
    if not match:
        raise ValueError(
            f"cannot use the address {url!r}: Colab opens notebooks from GitHub only; give https://github.com/OWNER/NAME"
        )
    return match[1]


def pages(url: str) -> str:
    """The address of the website that GitHub makes of the repository."""
    owner, name = slug(url).split("/")
    return f"https://{owner.lower()}.github.io/{name}"


def models(url: str) -> str:
    """Where the website's publication puts the trained models, for `minillm fetch`."""
    return f"{pages(url)}/models"


def project_urls(url: str, branch: str) -> dict[str, str]:
    """What a package index shows beside the package."""
    return {
        "Homepage": f"{pages(url)}/",
        "Documentation": f"{pages(url)}/book/api.html",
        "Repository": url,
        "Issues": f"{url}/issues",
        "Changelog": f"{url}/blob/{branch}/CHANGELOG.md",
    }


def absolute_links(text: str, url: str, branch: str) -> str:
    """Markdown in which links to files of the repository have full addresses; pictures lead to their bytes."""
    raw = f"https://raw.githubusercontent.com/{slug(url)}/{branch}"

    def absolute(match: re.Match[str]) -> str:
        path = match["path"]
        is_picture = Path(path).suffix in PICTURES
        return f"{match['before']}{raw if is_picture else f'{url}/blob/{branch}'}/{path}"

    return re.sub(r"(?P<before>\]\(|(?:src|srcset|href)=\")(?![a-z]+:|#)(?P<path>[^)\s\"]+)", absolute, text)


def set_repository(url: str, branch: str, root: Path = ROOT) -> list[Path]:
    """Replace the old address and branch by new ones in every user; return the files that changed."""
    new_slug = slug(url)
    old_url, old_branch = read_repository(root)
    old_slug = slug(old_url)
    if not re.fullmatch(r"[\w./-]+", branch):
        raise ValueError(f"cannot use the branch {branch!r}: letters, digits and ./_- are allowed")
    changed = []
    for path in users(root):
        text = before = path.read_text(encoding="utf-8")
        text = text.replace(pages(old_url), pages(f"https://github.com/{new_slug}"))
        text = re.sub(rf"\b{re.escape(old_slug)}(?![\w-])", new_slug, text)
        for pattern in (rf"({new_slug}@){old_branch}\b", rf"({new_slug}/(?:blob|tree|raw)/){old_branch}\b"):
            text = re.sub(pattern, rf"\g<1>{branch}", text)
        if path.name == "_config.yml":
            text = re.sub(r"(^\s+branch:\s*)\S+", rf"\g<1>{branch}", text, count=1, flags=re.M)
        if text != before:
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def main(arguments: list[str]) -> int:
    """Print or set the address; returns the exit status."""
    try:
        if not arguments:
            print(*read_repository())
            return 0
        url = f"https://github.com/{slug(arguments[0])}"
        branch = arguments[1] if len(arguments) > 1 else read_repository()[1]
        changed = set_repository(url, branch)
        print(f"repository: {url}, branch {branch}; files changed: {len(changed)}")
        for path in changed:
            print(" ", path.relative_to(ROOT))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
