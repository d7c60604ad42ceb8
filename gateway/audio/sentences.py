"""Where a text may be cut so that its first sentence plays while the next is made; called by engine/voice.py.

A cut too few costs a little time, a cut too many is heard. So in doubt (abbreviation, initial, ordinal) there is none.
"""

import re

_LONGEST = 400
_ABBREVIATIONS = frozenset(
    re.split(
        r"\s+",
        """mr mrs ms dr prof st jr sr no nr vs etc eg ie approx dept ext inc ltd co corp fig vol tel ave blvd rd mt ft
        gen col sgt capt rev hon jan feb mar apr jun jul aug sep sept oct nov dec am pm usw bzw ca str hr fr sog evtl
        ggf inkl max min std abt mme mlle sra srta av pl ing art""",
    )
)
_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”’）]*|\n\s*\n)")
_SOFT = re.compile(r"[,;:–—]\s")


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the blanks around them; nothing but blanks is ever lost."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text[start : match.start()], match[0], text[match.end() :]):
            found.append(text[start : match.end()])
            start = match.end()
    found.append(text[start:])
    return [part for sentence in found if sentence.strip() for part in _bounded(sentence.strip())]


def _ends_sentence(before: str, mark: str, after: str) -> bool:
    following = after.lstrip()
    if not following or not before.strip():
        return False
    if following[0].islower():
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    word = re.split(r"[\s(\[\"'“‘«]", before)[-1]
    bare = word.replace(".", "").lower()
    is_initial = len(bare) <= 1
    is_ordinal = word.isdigit() and len(word) <= 2
    is_dotted = "." in word and all(len(piece) <= 1 for piece in word.split("."))
    return not (is_initial or is_ordinal or is_dotted or bare in _ABBREVIATIONS)


def _bounded(sentence: str) -> list[str]:
    """A sentence that never ends, cut at a comma, or else at a blank."""
    parts: list[str] = []
    while len(sentence) > _LONGEST:
        cuts = [match.end() for match in _SOFT.finditer(sentence, _LONGEST // 4, _LONGEST)]
        cut = cuts[-1] if cuts else sentence.rfind(" ", 1, _LONGEST)
        if cut <= 0:
            cut = _LONGEST
        parts.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [part for part in [*parts, sentence] if part]
