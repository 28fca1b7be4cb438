"""Training logs for TensorBoard, beside the run's artifacts and outside its hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from truefill.agents.update_log import Row
from truefill.config.schema import Config
from truefill.core.errors import ConfigError

Log = Callable[[int, float | None, Row], None]


def require_extra(config: Config) -> None:
    """Refuse ``training.tensorboard`` where the extra is not installed.

    Raises:
        ConfigError: what to install.
    """
    if config.training.tensorboard and find_spec("tensorboardX") is None:
        raise ConfigError(
            "the extra 'tensorboard' is not installed",
            where="training.tensorboard",
            do="pip install 'truefill[tensorboard]', or set it to false",
        )


@contextmanager
def update_log(config: Config, folder: Path) -> Iterator[Log]:
    """A function that logs one update to ``folder``; does nothing unless the config asks for it.

    A training that resumes writes its steps again; TensorBoard shows the later ones.
    """
    if not config.training.tensorboard:
        yield lambda steps, score, row: None
        return
    require_extra(config)
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder))

    def log(steps: int, score: float | None, row: Row) -> None:
        for name, value in row.items():
            if value is not None and name not in ("update", "step"):
                writer.add_scalar(f"update/{name}", value, steps)
        if score is not None:
            writer.add_scalar("validation/score", score, steps)

    try:
        yield log
    finally:
        writer.close()
