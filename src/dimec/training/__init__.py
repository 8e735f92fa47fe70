"""The torch side: the multi-exit model, its training, and the recording of traces.

Needs the extra ``train``. Nothing else in dimec imports this package when it is imported itself.
"""

from dimec.base.errors import MissingExtraError
from dimec.base.machine import wait_asleep

wait_asleep()
for _package in ("torch", "transformers", "accelerate"):
    try:
        __import__(_package)
    except ModuleNotFoundError as error:
        if error.name != _package:
            raise
        raise MissingExtraError(_package, "train", "training") from None

from transformers.utils import logging as _transformers_logging  # noqa: E402

# Their bars and notes would run through ours; what matters of them is raised as an error.
_transformers_logging.disable_progress_bar()
_transformers_logging.set_verbosity_error()

from dimec.training.grid import train_grid  # noqa: E402
from dimec.training.model import MultiExitClassifier, MultiExitConfig  # noqa: E402
from dimec.training.objective import joint_loss  # noqa: E402
from dimec.training.run import train_run  # noqa: E402

__all__ = ["MultiExitClassifier", "MultiExitConfig", "joint_loss", "train_grid", "train_run"]
