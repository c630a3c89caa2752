"""Files of others: regular ones, and text; everything else is one sentence."""

import os

import pytest

from raymoco.errors import ConfigError, DataError
from raymoco.reading import expanded, read_text, shown


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_every_unicode_form(tmp_path, encoding):
    path = tmp_path / "a.yaml"
    path.write_bytes("name: ä\r\nseed: 1\r\n".encode(encoding))
    assert read_text(path) == "name: ä\nseed: 1\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\xff", "looks like a PNG image"),
        (b"PK\x03\x04\xff\0", "checkpoints"),
        (b"PAR1\xff", "a Parquet file"),
        (b"\x01\x02\xff", "is no text"),
        (b"a: 1\nb: \xe9\n", "a.yaml:2: the byte 0xe9 is no UTF-8"),
        (b"\0" * 512, "holds zeros"),
        (b"\xff\xfea", "is no text"),
    ],
)
def test_what_is_no_text_says_what_it_looks_like(tmp_path, content, words):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_text(path, DataError)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "p.yaml")
    for path, words in (
        (tmp_path / "p.yaml", "is a pipe, but must be a file"),
        ("/dev/zero", "is a device, but must be a file"),
        (tmp_path, "is a folder, but must be a file"),
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_text(type(tmp_path)(path))


def test_a_path_is_one_line_of_a_message():
    assert shown("a\nb\x07\udcff.yaml") == "a\\nb\\x07\\udcff.yaml"
    assert shown("ä b.yaml") == "ä b.yaml"


def test_a_home_of_nobody_is_told():
    with pytest.raises(ConfigError, match="there is no user nobody-here"):
        expanded("~nobody-here/runs")
