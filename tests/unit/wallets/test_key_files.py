from pathlib import Path

import pytest

from escrowd.wallets.key_files import KeyFilesRefused, RestoredKeyFiles


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "/a"])
def test_key_file_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    """A name that leads out of the wallet directory is refused."""
    with pytest.raises(KeyFilesRefused, match="no name of a wallet file"), RestoredKeyFiles(tmp_path / "in") as files:
        files.write(name, b"keys", "v1.sealed")
    assert list(tmp_path.rglob("*")) == [tmp_path / "in"]


def test_half_of_the_key_files_stay(tmp_path: Path) -> None:
    """If anything fails, every file that was written goes again, and one that was there before stays."""
    with RestoredKeyFiles(tmp_path) as files:
        assert files.write("before", b"keys", "v1.sealed")
    before = sorted(tmp_path.iterdir())

    def fail() -> None:
        with RestoredKeyFiles(tmp_path) as files:
            assert files.write("after", b"keys", "v1.sealed")
            assert not files.write("before", b"keys", "v1.sealed otherwise")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "before.password").read_text() == "v1.sealed"


def test_directory_that_cannot_be_written_is_told_as_a_bug(tmp_path: Path) -> None:
    """What the disk refuses is the operator's to mend, and says what it was."""
    (tmp_path / "file").touch()
    with pytest.raises(KeyFilesRefused, match="could not be written"), RestoredKeyFiles(tmp_path / "file" / "in"):
        pass
