"""A worker process: parts of files, one after the other, as they come on standard input.

``python -m dimec.scoring.worker FOLDER`` reads a task a line and answers with lines of JSON:
``{"ready": true}`` once, ``{"read": rows}`` as it goes, and ``{"done": tally}`` or
``{"failed": message}`` at the end of a task. It ends where standard input does, or where nobody
listens any more: a worker does not outlive who started it by more than a chunk.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from dimec.base.errors import DimecError
from dimec.scoring.pieces import Task
from dimec.scoring.work import open_work


def work(folder: Path, tasks: TextIO, out: TextIO) -> None:
    """Answer, or record, every task.

    Raises:
        BrokenPipeError: nobody listens.
    """

    def tell(**said: Any) -> None:
        out.write(json.dumps(said) + "\n")
        out.flush()

    do = open_work(folder)
    tell(ready=True)
    for line in tasks:
        task = Task.of_json(json.loads(line))
        try:
            tally = do(task, lambda rows: tell(read=rows))
        except DimecError as error:
            tell(failed=str(error), kind=type(error).__name__)
        else:
            tell(done=tally)


def main() -> None:
    """Keep standard output for what is told, whatever a library prints there."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        work(Path(sys.argv[1]), sys.stdin, out)
    except BrokenPipeError:
        os._exit(1)  # what is left to flush has nowhere to go
    except DimecError as error:
        out.write(json.dumps({"failed": str(error), "kind": type(error).__name__}) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
