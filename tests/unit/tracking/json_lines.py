"""A tracker as a third party would write it: a JSON object a line, in the file of its address."""

import json
from dataclasses import asdict
from pathlib import Path

from raymoco.tracking import PARENT, RefusedError


class JsonLines:
    """Appends what is new of each change; what stands in the file is not written again."""

    def __init__(self, place, owner):
        self._file, self._owner = Path(place.address), owner
        self.ids, self._seen = {}, set()
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                self._take(line)

    def write(self, change):
        if change.key not in self.ids:
            if not change.name:
                raise RefusedError(f"nobody has begun the run '{change.key}'")
            if change.child and PARENT not in self.ids:
                raise RefusedError("the run of its sweep is not there")
        self._append(change.key, run=change.name)
        for kind in ("params", "tags"):
            for name, value in getattr(change, kind).items():
                self._append(change.key, **{kind: {name: value}})
        for point in change.points:
            self._append(change.key, point=asdict(point))
        there = [name for name, path in change.files.items() if path.exists()]
        for name in [*change.texts, *there]:
            self._append(change.key, artifact=name)

    def _append(self, key, **what):
        line = json.dumps({"owner": self._owner, "key": key, **what}, default=str)
        if line not in self._seen and not ("run" in what and key in self.ids):
            with self._file.open("a") as stream:
                stream.write(line + "\n")
            self._take(line)

    def _take(self, line):
        said = json.loads(line)
        if said["owner"] == self._owner:
            self._seen.add(line)
            self.ids[said["key"]] = said["key"] or "sweep"
