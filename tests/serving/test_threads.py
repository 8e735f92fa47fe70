from __future__ import annotations

import threading

from dimec.serving.threads import Threads


def test_calls_run_side_by_side_and_the_last_ones_are_waited_for() -> None:
    threads = Threads(2, "some")
    together = threading.Barrier(2)
    done: list[str] = []
    for _ in range(2):
        threads.submit(lambda: (together.wait(30), done.append(threading.current_thread().name)))  # type: ignore[arg-type, func-returns-value]
    for _ in range(50):
        threads.submit(lambda: done.append("later"))
    threads.close()
    assert len(done) == 52
    assert {"some_0", "some_1"} <= {*done}
    assert not [one for one in threading.enumerate() if one.name.startswith("some_")]
