"""What a bot may hand to espeak-ng: text and SSML reduced to what is known to be harmless; called by speech/tts.py.

espeak-ng opens the file that <audio src> names, runs sox on it in a shell, and crashes on what is no sound; `[[…]]` is
phoneme input and control characters are commands. So SSML is parsed, and only known elements and tame attributes are
written again.
"""

import re
from xml.etree.ElementTree import ParseError, XMLParser

_TAME = re.compile(r"[\w .,;:%+\-#()]{0,100}")
_NAME = re.compile(r"[A-Za-z0-9_+\-]{0,64}")
_XML = "{http://www.w3.org/XML/1998/namespace}"
_LANG = f"{_XML}lang"
_ELEMENTS: dict[str, frozenset[str]] = {
    "speak": frozenset({_LANG}),
    "p": frozenset({_LANG}),
    "s": frozenset({_LANG}),
    "voice": frozenset({"name", "gender", "age", "variant", _LANG}),
    "prosody": frozenset({"rate", "pitch", "volume", "range"}),
    "emphasis": frozenset({"level"}),
    "break": frozenset({"strength", "time"}),
    "say-as": frozenset({"interpret-as", "format", "detail"}),
    "sub": frozenset({"alias"}),
}
_SILENT = frozenset({"desc", "metadata", "meta", "lexicon", "mark"})
_UNSAFE = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000), *map(ord, "[]")), " ")
_MARKUP = {ord("<"): " ", ord(">"): " ", ord("&"): "&amp;", ord('"'): " "}


class BadSsml(ValueError):
    """This SSML is not spoken; the text says why."""


def plain(text: str) -> str:
    """Text without anything that espeak-ng takes for a command."""
    return text.translate(_UNSAFE)


def clean(ssml: str) -> str:
    """The same SSML with known elements and attributes only. Raises BadSsml."""
    if "<!" in ssml.replace("<!--", "").replace("<![CDATA[", ""):
        raise BadSsml("a document type or entity declaration is not allowed in SSML")
    document = ssml if re.match(r"\s*(<\?xml[^>]*\?>\s*)?<speak[\s>/]", ssml) else f"<speak>{ssml}</speak>"
    writer = _Writer()
    parser = XMLParser(target=writer, encoding="utf-8")
    try:
        parser.feed(document.lstrip().encode(errors="replace"))
        parser.close()
    except ParseError as error:
        raise BadSsml(f"the SSML is not well-formed: {error}") from None
    return "".join(writer.parts)


class _Writer:
    """Takes the parser's events and writes what passes; without recursion, however deep the nesting."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._open: list[str | None] = []
        self._silent = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2].lower()
        if name == "audio":
            raise BadSsml("<audio> is not allowed in SSML; send an `audio` reply instead")
        self._silent += name in _SILENT
        known = _ELEMENTS.get(name)
        self._open.append(name if known is not None else None)
        if name in _SILENT:
            self._open[-1] = "/silent"
        if known is not None and not self._silent:
            written = "".join(_attribute(name, key, value) for key, value in attributes.items() if key in known)
            self.parts.append(f"<{name}{written}>")

    def end(self, _tag: str) -> None:
        name = self._open.pop()
        if name == "/silent":
            self._silent -= 1
        elif name is not None and not self._silent:
            self.parts.append(f"</{name}>")

    def data(self, text: str) -> None:
        if not self._silent:
            self.parts.append(plain(text).translate(_MARKUP))

    def close(self) -> None:
        """The parser wants one."""


def _attribute(element: str, key: str, value: str) -> str:
    name = "xml:lang" if key == _LANG else key
    if element == "sub":
        return f' {name}="{plain(value).translate(_MARKUP)}"'
    pattern = _NAME if name in ("name", "xml:lang") else _TAME
    if not pattern.fullmatch(value):
        raise BadSsml(f"<{element} {name}> has a value that is not allowed")
    return f' {name}="{value}"'
