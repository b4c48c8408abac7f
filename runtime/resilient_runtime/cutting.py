"""The beginning of a long text without its secrets, no half of one included."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["beginning", "shortened"]


def beginning(text: str, longest: int, *, beyond: int, hide: Callable[[str], str]) -> tuple[str, bool]:
    """The beginning of a text, and whether there is more of it; for ``shortened`` to cut.

    Hidden first and cut afterwards, for half a secret is still one. Hiding shortens, and so brings forward
    what was looked at only to know a secret by: that is taken away, or the half that it may end with is seen.

    :param longest: letters that are wanted
    :param beyond: letters to look at past those, as many as the longest secret has
    """
    shown = hide(text[: longest + beyond])
    more = len(text) > longest + beyond
    return (shown[: max(len(shown) - beyond, 0)] if more else shown), more


def shortened(shown: str, longest: int, *, length: int, more: bool) -> str:
    """At most so many letters, and the length of the whole text where that is not all of it."""
    return f"{shown[:longest]}… ({length:,} characters)" if more or len(shown) > longest else shown
