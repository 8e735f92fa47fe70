"""A task: labelled texts that come with the package, as ``weather.csv``.

The function may return a file, a table in memory, a mapping of train, validation and test to
such, or a ``dimec.data.Dataset``. It is called when somebody names the task.
"""

from pathlib import Path


def weather() -> Path:
    """Short reports of the weather, written for this package: good or bad."""
    return Path(__file__).with_name("weather.csv")
