"""One hash, SHA-256, that depends on content only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truefill.core.fingerprint import fingerprint, sha256_bytes, sha256_file, source_hash


def test_published_value(tmp_path: Path) -> None:
    expected = (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    )
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "abc") == expected


@given(st.dictionaries(st.text(), st.integers(), min_size=2, max_size=5))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


def test_every_value_matters() -> None:
    values = [{}, [], None, 0, False, "", "0", 0.1, {"a": 1}, {"a": 1.5}, {"b": 1}, [1, 2], [2, 1]]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_nan_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": float("nan")})


def test_source_hash_sees_names_and_content_of_python_files_only(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("x = 1\n")
    first = source_hash([package])
    (package / "notes.txt").write_text("no code")
    assert source_hash([package]) == first
    (package / "a.py").write_text("x = 2\n")
    second = source_hash([package])
    (package / "a.py").rename(package / "b.py")
    assert len({first, second, source_hash([package])}) == 3
    assert len(first) == 64
