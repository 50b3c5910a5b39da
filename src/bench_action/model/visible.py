"""Remove characters that are not seen, but change how others are read: reversals, joiners, tags, fillers. Pure."""

import re
import unicodedata

# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt) as far as it is not of category Cf, and the blank
# Braille pattern
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_KEPT = "\t\n"


def remove_invisible(text: str) -> str:
    """Remove invisible characters; other control characters become spaces, and what UTF-8 cannot hold U+FFFD.

    Tabs, line feeds, spaces of any width, and characters of a later Unicode stay.
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(c if c.isprintable() or c in _KEPT else _replace(c) for c in _UNSEEN.sub("", text))


def _replace(character: str) -> str:
    match unicodedata.category(character):
        case "Cf":
            return ""
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cs":
            return "\ufffd"
        case _:
            return character
