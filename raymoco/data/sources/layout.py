"""How a folder of images is laid out: which folders are classes and which are splits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from raymoco.data.account import Account
from raymoco.data.sources.split_words import means_unlabeled, split_of
from raymoco.data.sources.tree import Level, Tree
from raymoco.errors import DataError

BESIDE = "images beside the folders of the splits, which are not used"
UNLABELLED = "images without a label among those that judge, which are not used"
EMPTY = "folders without an image that can be read"
MENTIONED = 5  # names in a sentence
DRAWN = 12  # folders in a drawing of the tree


@dataclass(frozen=True)
class Part:
    """A folder that contains class folders, loose images, or both.

    Attributes:
        split: train, eval or test; None: a hash decides between train and test.
        folder: below the root; "" is the root.
        classes: its class folders, by the name of the class.
        unlabeled: its folders of images without a label.
    """

    split: str | None
    folder: str
    classes: tuple[str, ...]
    unlabeled: tuple[str, ...]
    images: bool


@dataclass
class Layout:
    """The parts of a folder, the classes, and what has been remarked.

    `unused` are folders of images that are not used, with the reason; `empty` are folders without
    an image; `levels` are the folders from the root down to the one that has classes or splits.
    """

    parts: list[Part] = field(default_factory=list)
    unlabeled: list[str] = field(default_factory=list)
    unused: list[tuple[str, str]] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    levels: list[str] = field(default_factory=lambda: [""])
    said: Account = field(default_factory=Account)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in sorted order."""
        return tuple(sorted({name for part in self.parts for name in part.classes}))

    @property
    def base(self) -> str:
        """The folder that has classes or splits, below the root."""
        return self.levels[-1]


def read_layout(tree: Tree) -> Layout:
    """Understand a folder of class folders, splits, and images without a label.

    Raises:
        DataError: it can be understood in more than one way; shows the tree.
    """
    return _Reader(tree).read()


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._out = Layout()

    def read(self) -> Layout:
        base, level = self._descend()
        plain = [name for name in level.folders if not means_unlabeled(name)]
        splits: dict[str, list[str]] = defaultdict(list)
        for name in plain:
            split = split_of(name)
            if split:
                splits[split].append(name)
        if len(splits) == 1 and len(plain) == 1 and not level.images:
            only = self._part(None, _join(base, plain[0]))
            self._out.said.say(
                "understood", f"{plain[0]}/ is alone, so a hash of the names chooses the test set"
            )
            self._out.parts = [only]
            self._add_unlabeled(base, level)
        elif splits:
            self._read_splits(base, level, plain, splits)
        else:
            self._out.parts = [part := self._part(None, base)]
            self._check_classes(part)
        return self._out

    def _descend(self) -> tuple[str, Level]:
        """Go down while all images lie in one folder that has folders of images and no images."""
        base = ""
        while True:
            level = self._with_images(base)
            plain = [name for name in level.folders if not means_unlabeled(name)]
            if level.images or len(plain) != 1 or split_of(plain[0]):
                return base, level
            inner = self._tree.level(_join(base, plain[0]))
            if inner.images or not any(
                self._tree.holds_image(_join(base, plain[0], name)) for name in inner.folders
            ):
                return base, level
            self._add_unlabeled(base, level)
            base = _join(base, plain[0])
            self._out.levels.append(base)
            self._out.said.say("understood", f"all images are in {base}/, so it is read as the top")

    def _with_images(self, folder: str) -> Level:
        """The folders in a folder that hold images; the others are remarked on."""
        level = self._tree.level(folder)
        full = []
        for name in level.folders:
            path = _join(folder, name)
            if self._tree.holds_image(path):
                full.append(name)
            elif path not in self._out.empty:
                self._out.empty.append(path)
        return Level(tuple(full), level.images)

    def _part(self, split: str | None, folder: str) -> Part:
        folder = self._through(folder)
        level = self._with_images(folder)
        unlabeled = tuple(name for name in level.folders if means_unlabeled(name))
        classes = tuple(name for name in level.folders if name not in unlabeled)
        return Part(split, folder, classes, unlabeled, level.images)

    def _through(self, folder: str) -> str:
        """Go down while all images of a split lie in one folder that has folders of images.

        `seg_train/seg_train/CLASS` and `train/images/CLASS` are as common as `train/CLASS`.
        """
        top = folder
        while folder:  # at the top that has been done
            level = self._with_images(folder)
            if level.images or len(level.folders) != 1 or means_unlabeled(level.folders[0]):
                break
            inner = _join(folder, level.folders[0])
            below = self._tree.level(inner)
            if below.images or not any(
                self._tree.holds_image(_join(inner, name)) for name in below.folders
            ):
                break
            folder = inner
        if folder != top:
            self._out.said.say(
                "understood", f"all images of {top}/ are in {folder}/, so its folders are classes"
            )
        return folder

    def _add_unlabeled(self, base: str, level: Level) -> None:
        self._out.unlabeled += [_join(base, n) for n in level.folders if means_unlabeled(n)]

    def _check_classes(self, part: Part) -> None:
        """Say what class folders leave open; refuse splits inside them."""
        nested = []
        for name in part.classes:
            inner = self._tree.level(_join(part.folder, name)).folders
            words = {split_of(folder) for folder in inner} - {None}
            if "train" in words and len(words) > 1:
                raise self._unclear(
                    f"{name}/ has splits inside ({', '.join(f'{folder}/' for folder in inner)}), "
                    "but splits must be at the top, and classes inside them"
                )
            if any(self._tree.holds_image(_join(part.folder, name, folder)) for folder in inner):
                nested.append(f"{name}/")
        say = self._out.said.say
        if nested:
            say("understood", f"folders inside class folders have no meaning ({_few(nested)})")
        if part.classes and part.images:
            say("understood", "images beside the class folders have no label")
        if len(part.classes) == 1:
            say("understood", f"there is one class, {part.classes[0]}")

    def _read_splits(
        self, base: str, level: Level, plain: list[str], splits: dict[str, list[str]]
    ) -> None:
        others = [name for name in plain if split_of(name) is None]
        for split, names in splits.items():
            if len(names) > 1:
                raise self._unclear(
                    f"{' and '.join(f'{name}/' for name in names)} both look like the {split} split"
                )
        if "train" not in splits:
            seen = ", ".join(f"{names[0]}/" for names in splits.values())
            raise self._unclear(f"there is {seen}, but no train/")
        train = self._part("train", _join(base, splits["train"][0]))
        self._check_classes(train)
        mixed = sorted(set(others) & set(train.classes))
        if others and (len(splits) == 1 or mixed):
            raise self._unclear(
                f"{splits['train'][0]}/ looks like a split, but {_few(mixed or others)} beside it "
                "like classes"
            )
        self._out.unused += [(_join(base, name), BESIDE) for name in others]
        judges = [
            part
            for split in ("eval", "test")
            for name in splits.get(split, ())
            if (part := self._judge(split, _join(base, name), train)) is not None
        ]
        if len(judges) == 1:
            judges = [self._only_judge(judges[0])]
        self._out.parts = [train if judges else self._without_judge(train), *judges]
        self._add_unlabeled(base, level)

    def _judge(self, split: str, folder: str, train: Part) -> Part | None:
        """The part of an eval or test split; None where it has no labels, and is not used."""
        part = self._part(split, folder)
        strangers = sorted(set(part.classes) - set(train.classes))
        dummy = len(part.classes) == 1 and strangers and _means_all(part.classes[0])
        if not part.classes or dummy:
            self._out.unused.append(
                (
                    folder,
                    f"images without a label in {folder}/, which are not used (name the folder "
                    "unlabelled/ to train on them)",
                )
            )
            return None
        if not train.classes:
            raise self._unclear(
                f"{folder}/ has class folders, but {train.folder}/ has images without a label"
            )
        if strangers:
            raise self._unclear(f"the class '{strangers[0]}' has no folder in {train.folder}/")
        self._out.unused += [(_join(folder, name), UNLABELLED) for name in part.unlabeled]
        return part

    def _only_judge(self, part: Part) -> Part:
        if part.split == "eval":
            self._out.said.say(
                "understood",
                f"{part.folder}/ is the test set, as there is no other; the eval split is taken "
                "from train",
            )
        return Part("test", part.folder, part.classes, part.unlabeled, part.images)

    def _without_judge(self, train: Part) -> Part:
        if train.classes:
            self._out.said.say(
                "understood",
                "no split but train has labels, so a hash of the names chooses the "
                "test set from it",
            )
        return Part(None, train.folder, train.classes, train.unlabeled, train.images)

    def _unclear(self, why: str) -> DataError:
        where = self._tree.path(self._out.base)
        return DataError(
            f"{where}: {why}. The folder was understood as:\n{draw(self._tree, self._out.base)}\n"
            "Move or rename folders until it is clear; or give the labels in a table "
            "(data.labels_csv)."
        )


def draw(tree: Tree, folder: str = "") -> str:
    """The folders at the top, a line each, with what they were understood to be."""
    level = tree.level(folder)
    lines = [f"  {tree.path(folder)}/{'  has images' if level.images else ''}"]
    for name in level.folders[:DRAWN]:
        lines.append(f"    {name}/  {_describe(tree, _join(folder, name), name)}")
    if len(level.folders) > DRAWN:
        lines.append(f"    ... and {len(level.folders) - DRAWN} more")
    return "\n".join(lines)


def _describe(tree: Tree, path: str, name: str) -> str:
    inner = tree.level(path)
    full = [f"{one}/" for one in inner.folders if tree.holds_image(_join(path, one))]
    split = split_of(name)
    words = [f"{split} split" if split else "no label" if means_unlabeled(name) else ""]
    if full:
        words.append(f"folders of images: {_few(full)}")
    if inner.images:
        words.append("images")
    if not full and not inner.images:
        words.append("no image")
    return ", ".join(word for word in words if word)


def _means_all(folder: str) -> bool:
    """Whether a single folder in a test set is no class: `test/unknown/`, `test/images/`."""
    return split_of(folder) is not None or folder.lower() in (
        *("all", "all_classes", "images", "imgs", "img", "image", "data", "unknown", "0"),
    )


def _few(names: list[str] | tuple[str, ...]) -> str:
    more = ", ..." if len(names) > MENTIONED else ""
    return ", ".join(names[:MENTIONED]) + more


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
