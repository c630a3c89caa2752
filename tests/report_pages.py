"""Reading what a report wrote: its tables, its page."""

import csv
from html.parser import HTMLParser


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def text_of(found):
    return found.html.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags and addresses of a page; complains about what is not closed."""

    VOID = frozenset({"meta", "link", "br", "path", "use", "rect", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.addresses, self.words = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.addresses += [attributes[k] for k in ("src", "href", "action") if k in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
