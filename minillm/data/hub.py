"""Datasets of the Hugging Face Hub, streamed through `datasets`; a fault is one line that names what works offline."""

from __future__ import annotations

import gc
import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

from minillm import checks
from minillm.data.listed import HELD_OUT, ListedRows
from minillm.data.places import is_there
from minillm.data.readers import Reading

__all__ = ["HubRows", "is_hub_name", "stream_rows"]

_log = logging.getLogger("minillm")
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FILE = re.compile(
    r".*\.(?![vV]?\d)[^./-]{2,8}|.*\.7z"
)  # ends as a file's name: .csv, .docx, and not .5 or .v1
_INSTALL = "python -m pip install datasets"
_REACH_SECONDS = 5.0  # so long the Hub may take to say that it is there; it is asked twice


def is_hub_name(source: str) -> bool:
    """Whether a user's word is the name of a dataset (owner/name) and not that of a file or folder.

    >>> is_hub_name("owner/tales"), is_hub_name("owner/tales-2.5"), is_hub_name("texts/tales.csv"), is_hub_name("tales")
    (True, True, False, False)
    """
    return bool(_NAME.fullmatch(source)) and not _FILE.fullmatch(source) and not is_there(source)


def stream_rows(
    dataset: str,
    what: str,
    offline: str,
    config: str | None = None,
    revision: str | None = None,
    split: str = "train",
) -> Iterator[dict[str, Any]]:
    """The rows of a dataset, as they arrive.

    Args:
        dataset: owner/name, or what else `datasets.load_dataset` takes, such as a folder.
        what: the rows are, for messages.
        offline: what needs no network, for messages.
        config: the dataset's configuration, where it has several.
        revision: a commit or tag; None is the newest.
        split: the dataset's own split.
    Raises:
        ValueError: `datasets` is not installed, or the dataset cannot be read.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"{what} {dataset} is on the Hugging Face Hub and needs the package `datasets`: {_INSTALL}; {offline}"
        ) from None
    _log.info("%s: reading %s from the Hugging Face Hub", what, dataset)
    try:
        _reach(datasets, dataset, revision)
        yield from datasets.load_dataset(dataset, config, split=split, streaming=True, revision=revision)
    except Exception as error:  # datasets, its HTTP client and its readers each raise their own kinds
        reason = (str(error).strip() or "no reason given").split("\n")[0]
        raise ValueError(
            f"{what} {dataset} could not be read from the Hugging Face Hub ({type(error).__name__}: {reason}); "
            f"check its name (no file or folder here is called so) and the network; {offline}"
        ) from error
    finally:
        # Arrow reads ahead in threads, and a program that ends before them is aborted: apache/arrow#45214
        gc.collect()


def _reach(datasets: Any, dataset: str, revision: str | None) -> None:
    """Ask the Hub for a dataset, so that a wrong name or a missing network is known at once.

    `datasets` alone tries for half a minute. What the Hub itself answers is left to it, except that there is no such
    dataset.

    Raises:
        Exception: of the HTTP client's own kinds.
    """
    endpoint = getattr(getattr(datasets, "config", None), "HF_ENDPOINT", None)
    if endpoint is None or is_there(dataset):
        return
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    for last in (False, True):
        try:
            HfApi(endpoint=endpoint).dataset_info(dataset, revision=revision, timeout=_REACH_SECONDS)
            return
        except (RepositoryNotFoundError, OfflineModeIsEnabled):
            raise
        except HfHubHTTPError:
            return
        except Exception:  # of the HTTP client: no route, no name, no answer in time
            if last:
                raise
            time.sleep(0.5)


@dataclass(frozen=True)
class HubRows(ListedRows):
    """The first rows of a dataset, of which a part that is spread over them is for validation.

    Where the dataset ends before `n_validation` and `n_train` rows are read, no more than a tenth is for validation.

    Raises:
        TypeError, ValueError: a setting that is not allowed; when they are read, a dataset that cannot be read, a row
            that is not what it should be, fewer than two rows.
    """

    what: ClassVar[str] = "items"  # the rows are, for messages
    setting: ClassVar[str] = "items"  # the preset's field for them, for messages
    offline: ClassVar[str] = ""  # what needs no network, for messages
    dataset: str  # owner/name
    n_train: int = 20_000  # rows to train on
    n_validation: int = 400  # rows to validate on
    config: str | None = None  # the dataset's configuration, where it has several
    revision: str | None = None  # a commit or tag; None is the newest
    dataset_split: str = "train"  # the dataset's own split that is read
    skip_bad: bool = False  # whether rows that are refused are left out

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.text("dataset", self.dataset)
        checks.yes_or_no("skip_bad", self.skip_bad)
        checks.text("dataset_split", self.dataset_split)
        for name in ("config", "revision"):
            checks.text(name, getattr(self, name), optional=True)

    @staticmethod
    def parse(row: Mapping[str, Any]) -> Any:
        """What one row holds; TypeError or ValueError if that is not allowed."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The dataset's."""
        return self.dataset

    @cached_property
    def rows(self) -> list[Any]:
        """What the rows hold, in order."""
        reading = Reading(self.skip_bad)
        rows = list(islice(self._parsed(reading), self.n_validation + self.n_train))
        if len(rows) < 2:
            left_out = f" that can be used ({reading.first_bad})" if reading.n_bad else ""
            raise ValueError(
                f"{self.what} {self.dataset}: there are {len(rows)} rows{left_out}; at least 2 are needed, one to "
                "train on and one to validate"
            )
        if reading.n_bad:
            _log.warning("%s", reading.told(self.what, self.dataset, len(rows)))
        return rows

    def _parsed(self, reading: Reading) -> Iterator[Any]:
        stream = stream_rows(
            self.dataset, self.what, self.offline, self.config, self.revision, self.dataset_split
        )
        for number, row in enumerate(stream, start=1):
            try:
                parsed = self.parse(row)
            except (TypeError, ValueError) as error:
                reading.refuse(
                    f"{self.what} {self.dataset}, row {number}: {error}; or leave out such rows: "
                    f"--set {self.setting}.skip_bad=true"
                )
            else:
                yield parsed

    @property
    def held_out_share(self) -> float:
        n = len(self.rows)
        whole = n == self.n_validation + self.n_train
        return (self.n_validation if whole else min(self.n_validation, max(1, n // 10))) / n

    def settings(self) -> dict[str, Any]:
        """Everything that decides them, as JSON values."""
        return {
            "hub": self.dataset,
            "config": self.config,
            "revision": self.revision,
            "split": self.dataset_split,
            "rows": self.n_train,
            "validation": self.n_validation,
            "skip_bad": self.skip_bad,
            "held_out": HELD_OUT,
        }
