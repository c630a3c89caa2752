"""The plan of a build: which entries go to which shard, kept in files instead of memory.

The hash of an image's id decides its shard. Class folders are listed class by class; ordering by
hash puts every class in every shard, and a new image moves no other one.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from raymoco.data.account import Account, KeepsAccount, Remark
from raymoco.data.codec import stored_form
from raymoco.data.shards.manifest import RULES
from raymoco.data.shards.stats import Progress
from raymoco.data.sources.source import Entry, Source
from raymoco.data.splits import SplitRule, order_key
from raymoco.errors import DataError
from raymoco.files import write_atomically, writing

PLAN = "plan.json"
LISTING = "listing"
MOST_ROWS = 2**14  # of a shard: many tiny images also become several shards
PROBES = 32
LINES_IN_MEMORY = 20_000
LISTED_EVERY = 50_000

Kind = tuple[bool, str]  # labeled, split


class Job(BaseModel):
    """One shard to build: its path, and the number of entries that are listed for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    split: str
    labelled: bool
    entries: int

    @property
    def listing(self) -> str:
        """The file that lists its entries, below the folder of the build."""
        return f"{LISTING}/{self.path.replace('/', '-')}.jsonl"


class PlanInputs(BaseModel):
    """The inputs of a plan: a plan with other inputs cannot be used.

    Attributes:
        version: of the manifest to be.
        source: its name.
        fingerprint: the source's, taken before its entries are listed.
        shard_bytes: bytes of images that a shard should hold, about.
        size: see `build_shards`.
        rules: of taking and splitting files.
        background, value_range, duplicates: keys of `data`, see DataConfig.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    source: str
    fingerprint: str
    shard_bytes: int
    size: int | None
    rules: int = RULES
    background: str = "white"
    value_range: Literal["auto"] | tuple[float, float] = "auto"
    duplicates: Literal["drop", "keep"] = "drop"


class Plan(PlanInputs):
    """All jobs of a build, and their inputs.

    `remarks` are the source's: a killed build continues without listing the source again.
    """

    bytes: int
    jobs: tuple[Job, ...]
    remarks: tuple[Remark, ...] = ()

    @property
    def inputs(self) -> PlanInputs:
        """The inputs of this plan."""
        return PlanInputs(**{name: getattr(self, name) for name in PlanInputs.model_fields})

    @property
    def entries(self) -> int:
        return sum(job.entries for job in self.jobs)


class Amounts:
    """Images and bytes of each kind of shard."""

    def __init__(self) -> None:
        self.rows: Counter[Kind] = Counter()
        self.bytes: Counter[Kind] = Counter()

    def add(self, entry: Entry, split: str) -> None:
        """Count an image of this split."""
        kind = (entry.label is not None, split)
        self.rows[kind] += 1
        self.bytes[kind] += entry.bytes

    def parts(self, share: float, shard_bytes: int) -> dict[Kind, int]:
        """The number of shards of each kind, if an image's share of its bytes is stored."""
        return {
            kind: max(
                math.ceil(self.bytes[kind] * share / shard_bytes), math.ceil(rows / MOST_ROWS)
            )
            for kind, rows in self.rows.items()
        }


def load_plan(building: Path) -> Plan | None:
    """The plan that an earlier build left; None if there is none."""
    try:
        return Plan.model_validate_json((building / PLAN).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def make_plan(
    source: Source, building: Path, inputs: PlanInputs, progress: Progress | None
) -> Plan:
    """Write the listings of a source's entries by shard into `building`, then the plan.

    Raises:
        DataError: an entry's split or label is none of the source's.
    """
    (building / LISTING).mkdir(parents=True, exist_ok=True)
    everything = building / LISTING / "all.jsonl"
    rule = SplitRule(labeled=bool(source.classes))
    amounts = Amounts()
    probes: list[tuple[float, int, Entry]] = []
    with writing(everything), everything.open("w", encoding="utf-8") as file:
        for number, entry in enumerate(source.entries(), start=1):
            _check_entry(entry, source)
            amounts.add(entry, rule.see(entry.id, entry.label, entry.split))
            file.write(json.dumps(_row(entry)) + "\n")
            keep = heapq.heappush if len(probes) < PROBES else heapq.heappushpop
            keep(probes, (-order_key(entry.id), number, entry))
            if progress and number % LISTED_EVERY == 0:
                progress(f"{source.name}: {number:,} images found")
    account = Account(source.account().remarks() if isinstance(source, KeepsAccount) else ())
    if rule.settle(account):
        amounts = Amounts()
        for entry in _entries(everything):
            amounts.add(entry, rule.split(entry.id, entry.label, entry.split))
    share = _stored_share(
        source, [entry for _, _, entry in sorted(probes, reverse=True)], inputs.size
    )
    entries = _deal(rule, everything, building, amounts.parts(share, inputs.shard_bytes))
    everything.unlink()
    jobs = [
        Job(path=path, split=path.split("/")[1].split("-")[0], labelled=path[0] == "l", entries=n)
        for path, n in sorted(entries.items())
    ]
    plan = Plan(
        **inputs.model_dump(),
        bytes=sum(amounts.bytes.values()),
        jobs=tuple(jobs),
        remarks=account.remarks(),
    )
    write_atomically(building / PLAN, plan.model_dump_json() + "\n")
    return plan


def read_listing(building: Path, job: Job) -> list[Entry]:
    """The entries of a shard, in the order in which they are written."""
    entries = list(_entries(building / job.listing))
    return sorted(entries, key=lambda entry: (order_key(entry.id), entry.id))


def _row(entry: Entry) -> list[str | int | None]:
    # dataclasses.astuple makes deep copies: thirty times as slow
    return [entry.id, entry.label, entry.split, entry.place, entry.bytes, entry.together]


def _entries(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Entry(*json.loads(line))
            except (ValueError, TypeError):
                raise DataError(
                    f"{path}:{number}: not an entry, this build was cut off: delete "
                    f"{path.parent.parent} and start it again."
                ) from None


def _check_entry(entry: Entry, source: Source) -> None:
    """Refuse entries that would be lost silently; a third-party source may yield them."""
    if entry.split not in (None, "train", "eval", "test"):
        raise DataError(
            f"{source.name}: '{entry.id}' is in the split '{entry.split}', but must be in train, "
            "eval or test."
        )
    if entry.label is not None and not 0 <= entry.label < len(source.classes):
        raise DataError(
            f"{source.name}: '{entry.id}' has the label {entry.label}, but there are "
            f"{len(source.classes)} classes."
        )


def _deal(
    rule: SplitRule, everything: Path, building: Path, parts: dict[Kind, int]
) -> Counter[str]:
    """Write each entry to the listing of its shard; return the counts by the shard's path."""
    dealt: Counter[str] = Counter()
    waiting: dict[Path, list[str]] = defaultdict(list)
    held = 0

    def write_out() -> None:
        for path, lines in waiting.items():
            with writing(path), path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        waiting.clear()

    with everything.open(encoding="utf-8") as file:
        for line in file:
            entry = Entry(*json.loads(line))
            labelled, split = (
                entry.label is not None,
                rule.split(entry.id, entry.label, entry.split),
            )
            number = int(order_key(entry.together or entry.id) * parts[labelled, split])
            path = f"{'labelled' if labelled else 'unlabelled'}/{split}-{number:05d}.parquet"
            job = Job(path=path, split=split, labelled=labelled, entries=0)
            dealt[path] += 1
            waiting[building / job.listing].append(line)
            held += 1
            if held == LINES_IN_MEMORY:
                write_out()
                held = 0
    write_out()
    return dealt


def _stored_share(source: Source, probes: list[Entry], size: int | None) -> float:
    """The ratio of stored bytes to the source's bytes, measured on a few images."""
    before = after = 0
    for entry, found in zip(probes, source.read([e.place for e in probes]), strict=True):
        try:
            stored = stored_form(found, size)
        except DataError:
            continue  # the build counts and lists it
        before += entry.bytes
        after += len(stored.encoded)
    return after / before if before else 1.0
