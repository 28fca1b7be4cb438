"""``truefill new``: a folder with a commented config, real sample bars and a README."""

from __future__ import annotations

from pathlib import Path

from truefill.core.errors import UsageError
from truefill.core.files import write_bytes
from truefill.data.table import SAMPLE_FOLDER

TEMPLATES = Path(__file__).parent / "new_project"
FILES = {
    "config.yaml": TEMPLATES / "config.yaml",
    "README.md": TEMPLATES / "README.md",
    "bars.csv": SAMPLE_FOLDER / "eurusd_1h.csv",
    "ATTRIBUTION.md": SAMPLE_FOLDER / "ATTRIBUTION.md",
    "LICENSE.gym-anytrading": SAMPLE_FOLDER / "LICENSE.gym-anytrading",
}


def create(folder: Path) -> list[Path]:
    """Write a project into ``folder``; the files written.

    Raises:
        UsageError: ``folder`` is a file, or holds something already; nothing has been written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError("there is a file of that name", where=str(folder))
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError("the folder is not empty", where=str(folder), do="name a new one")
    for name, source in FILES.items():
        write_bytes(folder / name, source.read_bytes())
    return [folder / name for name in FILES]
