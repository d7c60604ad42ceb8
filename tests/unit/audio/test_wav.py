"""WAV files are read strictly, whatever the bytes."""

import io
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.wav import NotPcmWav, read_wav, write_wav


@given(st.binary(max_size=200).map(lambda b: b[: len(b) // 2 * 2]), st.sampled_from([8000, 16000, 22050]))
def test_written_and_read_again(pcm: bytes, rate: int) -> None:
    data = write_wav(pcm, rate)
    read = read_wav(data)
    assert (read.rate, read.channels, read.pcm) == (rate, 1, pcm)
    with wave.open(io.BytesIO(data)) as other:
        assert other.readframes(1000) == pcm


def test_stereo_is_mixed() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.tile([0.5, -0.25], (100, 1)), 16000, format="WAV", subtype="PCM_16")
    read = read_wav(file.getvalue())
    assert read.channels == 2
    np.testing.assert_allclose(read.mono(), 0.125, atol=1e-4)


def test_extensible_format_is_pcm_too() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(100), 16000, format="WAVEX", subtype="PCM_16")
    assert read_wav(file.getvalue()).rate == 16000


def test_a_streams_header_promises_more_than_there_is() -> None:
    data = bytearray(write_wav(b"\1\0" * 50, 8000))
    data[40:44] = (0x7FFFF000).to_bytes(4, "little")
    assert read_wav(bytes(data)).pcm == b"\1\0" * 50


def test_other_encodings_are_named() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(100), 8000, format="WAV", subtype="ULAW")
    with pytest.raises(NotPcmWav, match="format 7 with 8 bits"):
        read_wav(file.getvalue())


@given(st.binary(max_size=100).map(lambda tail: b"RIFF\0\0\0\0WAVE" + tail) | st.binary(max_size=60))
def test_any_bytes_give_a_wav_or_a_clear_refusal(data: bytes) -> None:
    try:
        read_wav(data)
    except NotPcmWav as error:
        assert "WAV file" in str(error)
