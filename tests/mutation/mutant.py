"""What a mutation is: exact texts of the product's source, and what stands there instead. Pure but for reading and writing files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Rotten(Exception):
    """A mutation no longer fits the source that it was written for."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement.

    Args:
        file: Below the repository's root.
        old: Text that stands in the file exactly once.
        new: What stands there instead.
    """

    file: str
    old: str
    new: str

    def mutated(self, text: str) -> str:
        """The file's text with the replacement made.

        Raises:
            Rotten: The old text isn't there, or not exactly once.
        """
        found = text.count(self.old)
        if found != 1:
            raise Rotten(f"{self.file} holds {found} times instead of once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One broken promise.

    Args:
        name: What is done, in a few words.
        promise: What can't be relied on any more then.
        edits: How it is done.
        tests: The quickest tests that must fail, as pytest takes them.
    """

    name: str
    promise: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def sources(self, root: Path) -> dict[str, tuple[str, str]]:
        """Every file that it changes: its text before and after.

        Raises:
            Rotten: It doesn't fit any more.
        """
        texts: dict[str, tuple[str, str]] = {}
        for edit in self.edits:
            before, now = texts.get(edit.file) or (None, None)
            if before is None or now is None:
                before = now = (root / edit.file).read_text(encoding="utf-8")
            texts[edit.file] = (before, edit.mutated(now))
        return texts


def mutation(name: str, promise: str, file: str, old: str, new: str, *tests: str) -> Mutation:
    """A mutation of one place."""
    return Mutation(name, promise, (Edit(file, old, new),), tests)
