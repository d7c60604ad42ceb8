"""What reaches espeak-ng is speech and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.speech.ssml import BadSsml, clean, plain


@pytest.mark.parametrize(
    ("given_", "cleaned"),
    [
        ("Hi <break time='1s'/> there", '<speak>Hi <break time="1s"></break> there</speak>'),
        ("<speak>a &amp; b</speak>", "<speak>a &amp; b</speak>"),
        ("<speak>a &lt;audio src='/etc/passwd'/&gt;</speak>", "<speak>a  audio src='/etc/passwd'/ </speak>"),
        ("<speak><x:y xmlns:x='u'>kept</x:y></speak>", "<speak>kept</speak>"),
        ("<speak xmlns='http://www.w3.org/2001/10/synthesis' version='1.0' xml:lang='de'>a</speak>", None),
        ("<speak><desc>quiet <p>p</p></desc>loud</speak>", "<speak>loud</speak>"),
        ("<speak>a [[h@l'oU]]</speak>", "<speak>a   h@l'oU  </speak>"),
        ("<?xml version='1.0'?><speak>a<!-- b --></speak>", "<speak>a</speak>"),
    ],
)
def test_cleaned(given_: str, cleaned: str | None) -> None:
    assert clean(given_) == (cleaned or '<speak xml:lang="de">a</speak>')


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("<audio src='/etc/passwd'>x</audio>", "<audio> is not allowed"),
        ("<speak xmlns:s='u'><s:AUDIO src='x'/></speak>", "<audio> is not allowed"),
        ("<speak>", "not well-formed"),
        ("a < b", "not well-formed"),
        ("&nbsp;", "not well-formed"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><speak>&a;</speak>", "document type"),
        ("<voice name='../../etc/x'>a</voice>", "<voice name> has a value"),
        ("<prosody rate='$(id)'>a</prosody>", "<prosody rate> has a value"),
    ],
)
def test_refused(bad: str, why: str) -> None:
    with pytest.raises(BadSsml, match=re.escape(why)):
        clean(bad)


def test_depth_does_not_matter() -> None:
    assert clean("<p>" * 5000 + "a" + "</p>" * 5000).count("<p>") == 5000


@given(st.text())
def test_plain_text_has_no_commands(text: str) -> None:
    safe = plain(text)
    assert len(safe) == len(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\[\]]", safe)


_PIECES = st.sampled_from(
    ["<audio src='x'/>", "&lt;", "&#60;", "<", ">", "/", "audio src='x'", "<p>", "</p>", "<![CDATA[", "]]>"]
)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_no_way_to_write_an_audio_element(ssml: str) -> None:
    try:
        cleaned = clean(ssml)
    except BadSsml:
        return
    tags = set(re.findall(r"<[^>]*>?", cleaned))
    assert tags <= {"<speak>", "</speak>", "<p>", "</p>"}
