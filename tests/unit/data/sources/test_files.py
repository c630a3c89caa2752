"""A list of files: every form of list, where paths begin, what is missing, and URIs."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymoco.config import DataConfig
from raymoco.data.codec import decode, encode_png
from raymoco.data.shards.ensure import build_shards
from raymoco.data.sources.open import open_source
from raymoco.data.sources.unreadable import SPECIAL
from raymoco.errors import ConfigError, DataError


def png(value: int) -> bytes:
    return encode_png(np.full((5, 5), value, np.uint8))


def listed(root: Path, text: str, name: str = "list.csv", images: int = 3) -> Path:
    """A list of files, beside a folder `img` of images of value 0, 1, 2, ..."""
    (root / "img").mkdir(parents=True, exist_ok=True)
    for i in range(images):
        (root / "img" / f"{i}.png").write_bytes(png(i))
    (root / name).write_text(text)
    return root / name


def opened(path: Path, **keys):
    return open_source(DataConfig(source="files", root=str(path), **keys))


def content(path: Path, **keys) -> dict[str, tuple[str | None, int | None]]:
    """By id: the class, and the value of the pixels, None where it is no image."""
    source = opened(path, **keys)
    entries = list(source.entries())
    found = source.read([entry.place for entry in entries])
    return {
        entry.id: (
            None if entry.label is None else source.classes[entry.label],
            int(decode(image).pixels[0, 0, 0]) if image else None,
        )
        for entry, image in zip(entries, found, strict=True)
    }


def told(path: Path) -> str:
    source = opened(path)
    list(source.entries())
    return "\n".join(remark.line() for remark in source.account().remarks())


EXPECTED = {"img/0.png": ("x", 0), "img/1.png": ("y", 1)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,label\nimg/0.png,x\nimg/1.png,y\n"),
        ("a.tsv", "label\tfile\nx\timg/0.png\ny\timg/1.png\n"),
        ("a.csv", "img/0.png,x\nimg/1.png,y\n"),
        ("a.jsonl", '{"file": "img/0.png", "label": "x"}\n{"label": "y", "file": "img/1.png"}'),
        ("a.txt", "\ufeffimg/0.png x\r\n\r\n# a comment\r\nimg/1.png\ty\r\n"),
    ],
)
def test_every_form_of_list_says_the_same(tmp_path, name, text):
    assert content(listed(tmp_path, text, name)) == EXPECTED


def test_a_parquet_table_of_paths_is_a_list_too(tmp_path):
    listed(tmp_path, "")
    table = pa.table({"image": ["img/0.png", "img/1.png"], "target": ["x", "y"]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert content(tmp_path / "a.parquet") == EXPECTED


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_paths_alone_are_images_without_a_label(tmp_path, name):
    path = listed(tmp_path, "img/0.png\nimg/1.png\n", name)
    assert content(path) == {"img/0.png": (None, 0), "img/1.png": (None, 1)}
    assert opened(path).classes == ()


def test_absolute_paths_uris_of_files_and_backslashes_are_understood(tmp_path):
    (tmp_path / "it s").mkdir()
    (tmp_path / "it s" / "b.png").write_bytes(png(9))
    rows = [f"{tmp_path}/img/0.png", f"file://{tmp_path}/it%20s/b.png", "img\\1.png"]
    path = listed(tmp_path, "path\n" + "\n".join(rows))
    assert content(path) == dict(zip(rows, [(None, 0), (None, 9), (None, 1)], strict=True))


def test_splits_come_from_a_column(tmp_path):
    path = listed(tmp_path, "path,label,split\nimg/0.png,x,train\nimg/1.png,x,Val\nimg/2.png,x,\n")
    found = {entry.id: entry.split for entry in opened(path).entries()}
    assert (found["img/0.png"], found["img/1.png"]) == ("train", "test")
    listed(tmp_path, "path,split\nimg/0.png,train\nimg/1.png,dev\nimg/2.png,holdout\n")
    assert [entry.split for entry in opened(path).entries()] == ["train", "eval", "test"]
    listed(tmp_path, "path,split\nimg/0.png,often\n")
    with pytest.raises(DataError, match=r"list.csv:2: the split is 'often'"):
        list(opened(path).entries())


def test_columns_that_are_called_otherwise_are_named(tmp_path):
    path = listed(tmp_path, "where,what\nimg/0.png,x\nimg/1.png,y\n")
    assert content(path, columns={"image": "where", "label": "what"}) == EXPECTED
    listed(tmp_path, "path,what\nimg/0.png,x\n")
    assert "names are read in the column 'path', no labels are read; not used: what" in told(path)


def test_a_missing_file_is_counted_with_the_corrupt(tmp_path):
    rows = "".join(f"img/{i}.png,{i % 2}\n" for i in range(60))
    path = listed(tmp_path / "in", f"path,label\n{rows}img/gone.png,1\n", images=60)
    manifest = build_shards(opened(path), tmp_path / "out", parallel=False).manifest
    assert manifest.skipped == ("img/gone.png",)
    corrupt = [remark.line() for remark in manifest.remarks if remark.kind == "corrupt"]
    assert corrupt == ["corrupt: 1 paths in the list that are no files (img/gone.png)"]


def test_a_pipe_or_a_device_in_the_list_is_never_opened(tmp_path):
    path = listed(tmp_path, "path\nimg/0.png\nimg/1.png\nimg/2.png\nimg/p.png\n/dev/zero\n")
    os.mkfifo(tmp_path / "img" / "p.png")
    found = list(opened(path).read(["img/p.png", "/dev/zero", "img/0.png"]))
    assert [getattr(image, "why", "") for image in found] == [SPECIAL, SPECIAL, ""]
    assert len(list(opened(path).entries())) == 5


def test_a_list_of_which_most_is_missing_is_refused_with_where_paths_begin(tmp_path):
    path = listed(tmp_path, "path\nimages/0.png\nimages/1.png\n")
    with pytest.raises(DataError, match=f"none is a file, such as 'images/0.png'.* {tmp_path}"):
        opened(path)
    listed(tmp_path, "path\nimg/0.png\nno/1.png\nno/2.png\n")
    with pytest.raises(DataError, match=r"2 of its 3 paths are no files, such as 'no/1.png'"):
        list(opened(path).entries())


def test_rows_that_repeat_are_one_image_and_contradictions_are_refused(tmp_path):
    path = listed(tmp_path, "path,label\nimg/0.png,x\nimg/1.png,y\nimg/0.png,x\n")
    assert content(path) == EXPECTED
    assert "rows of list.csv that repeat another: 1" in told(path)
    listed(tmp_path, "path,label\nimg/0.png,x\nimg/0.png,y\n")
    with pytest.raises(DataError, match=r"'img/0.png' is listed twice, with two labels"):
        list(opened(path).entries())


def test_lines_with_and_without_a_label_are_no_list(tmp_path):
    with pytest.raises(DataError, match=r"some lines have a label .*'img/1.png' has none"):
        opened(listed(tmp_path, "img/0.png 3\nimg/1.png\n", "a.txt"))


def test_what_is_no_list_is_refused_with_what_is_expected(tmp_path):
    with pytest.raises(ConfigError, match=r"data.root is null, but data.source files needs"):
        open_source(DataConfig(source="files"))
    with pytest.raises(DataError, match=r"is no file, but data.source files needs a table"):
        opened(tmp_path)
    with pytest.raises(DataError, match=r"lists no file"):
        opened(listed(tmp_path, "", "a.txt"))
    with pytest.raises(DataError, match=r"https://a.b: cannot be opened.*download"):
        opened(listed(tmp_path, "https://a.b/0.png\n", "a.txt"))
    with pytest.raises(DataError, match=r"s3://...@b: has a password in it") as refused:
        opened(listed(tmp_path, "s3://me:secret@b/0.png\n", "a.txt"))
    assert "secret" not in str(refused.value)


def test_a_change_of_an_image_or_of_the_list_is_noticed(tmp_path):
    path = listed(tmp_path, "path\nimg/0.png\nimg/1.png\n")
    prints = {opened(path).fingerprint()}
    (tmp_path / "img" / "1.png").write_bytes(png(7) + b"\0")
    prints.add(opened(path).fingerprint())
    (tmp_path / "img" / "2.png").write_bytes(png(7) + b"\0")  # is not listed
    prints.add(opened(path).fingerprint())
    path.write_text("path\nimg/0.png\n")
    prints.add(opened(path).fingerprint())
    assert len(prints) == 3


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as reading needs."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        found = {f"/pets/{i}.png": png(50 + i) for i in range(3)}.get(self.path.partition("?")[0])
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        if body and found:
            self.wfile.write(found)

    def log_message(self, *_) -> None:
        pass


def test_uris_are_read_where_they_lie(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    options = f"?scheme=http&endpoint_override=127.0.0.1:{server.server_port}"
    try:
        uris = [f"s3://pets/{name}.png{options}" for name in ("0", "2", "gone")]
        path = listed(tmp_path, "path,label\n" + "".join(f"{uri},a\n" for uri in uris))
        found = content(path)
    finally:
        server.shutdown()
        server.server_close()
    assert list(found.values()) == [("a", 50), ("a", 52), ("a", None)]
