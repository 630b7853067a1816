"""What the build asks for the parts of the package's metadata that name the repository's address."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class AddressHook(MetadataHookInterface):
    """Fills in `readme` and `urls` of pyproject.toml; they need `_config.yml`, the home of the address."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the two to the project's table; hatchling calls this once in a build."""
        root = Path(self.root)
        # The build does not have tools/ on its path.
        repository = runpy.run_path(str(root / "tools" / "repository.py"))
        address = repository["read_repository"](root)
        readme = (root / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": repository["absolute_links"](readme, *address),
        }
        metadata["urls"] = repository["project_urls"](*address)
