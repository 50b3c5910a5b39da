"""Artifacts that a stranger's job uploaded: a result is unpacked within its limits, or refused."""

import io
import random
import tracemalloc
import zipfile

import pytest

from bench_action.github import artifacts
from bench_action.github.artifacts import unpack_result
from bench_action.model.errors import InputError

pytestmark = pytest.mark.unit

CONTENT = bytes(range(256)) * 400


def pack(content: bytes = CONTENT, method: int = zipfile.ZIP_DEFLATED, others: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number in range(others):
            archive.writestr(f"{number}", b"")
        archive.writestr("result.json", content)
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_unpack_result__unpacks_what_an_upload_writes(method: int) -> None:
    assert unpack_result(pack(method=method, others=20)) == CONTENT


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unpack_result__refuses_methods_that_unpack_without_a_limit(method: int) -> None:
    with pytest.raises(InputError, match="packed by a method that is not accepted"):
        unpack_result(pack(method=method))


def test_unpack_result__takes_no_more_memory_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = pack(b"\0" * (64 << 20))
    monkeypatch.setattr(artifacts, "LARGEST_RESULT", 1 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"larger than 1,048,576 bytes"):
            unpack_result(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_unpack_result__refuses_a_directory_of_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "_MOST_ENTRIES", 20)
    unpack_result(pack(others=19))
    with pytest.raises(InputError, match="more than 20 files"):
        unpack_result(pack(others=20))


def test_unpack_result__of_a_damaged_file_is_bad_input() -> None:
    """A seconds-long sample: any byte of the file may be any other, and the file may end anywhere."""
    lottery, whole, refused = random.Random(7), pack(CONTENT[:600], others=2), 0
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(lottery.randint(1, 4)):
            damaged[lottery.randrange(len(damaged))] = lottery.randrange(256)
        try:
            assert len(unpack_result(bytes(damaged[: lottery.randint(len(whole) - 80, len(whole))]))) <= len(CONTENT)
        except InputError:
            refused += 1
    assert refused > 1000
