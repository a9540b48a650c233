"""Texts that people give: names that can be read, told apart and shown in one line."""

import unicodedata

from vru.domain.errors import VruError

# Control characters, format characters (zero width, direction), halves of surrogate pairs, line and paragraph ends.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def check_name(text: str) -> None:
    """Do nothing if ``text`` can be a name: something to see, in one line, and nothing that hides or turns it.

    Raises:
        VruError: it cannot; names the first character that is wrong.
    """
    for place, character in enumerate(text, 1):
        if unicodedata.category(character) in _UNSEEN:
            called = unicodedata.name(character, "a control character").lower()
            raise VruError(
                f"A name is one line of characters that can be seen; character {place} is "
                f"U+{ord(character):04X} ({called}).",
                "Take it out.",
            )
    if not text.strip():
        raise VruError("A name is not blank.", "Write something that people recognise.")
