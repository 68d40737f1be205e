"""What is hidden of other packages' messages, and what is shown of it after all."""

import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from mixtconv._quiet import no_native_messages
from mixtconv.exporting.programs import without_reports


def _convert() -> None:
    os.write(2, b"I0000 pass 1 of 9\n")
    sys.stderr.write("Running passes:  45%|####     | 4/9\rRunning passes: 100%|#########| 9/9\n")
    logging.getLogger("root").info("a step")
    os.write(2, b"E0000 no kernel for tile\n")


def test_a_conversion_that_succeeds_says_nothing(capfd) -> None:
    with without_reports():
        _convert()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_a_conversion_that_fails_shows_what_it_said_and_no_progress(capfd) -> None:
    with pytest.raises(RuntimeError, match="failed with 0x12"), without_reports():
        _convert()
        raise RuntimeError("failed with 0x12")
    assert capfd.readouterr().err.splitlines() == ["I0000 pass 1 of 9", "E0000 no kernel for tile"]


def test_only_the_end_of_much_is_shown(capfd) -> None:
    with pytest.raises(KeyboardInterrupt), no_native_messages(shown_if_failed=True):
        os.write(2, "".join(f"line {number}\n" for number in range(1000)).encode())
        raise KeyboardInterrupt
    shown = capfd.readouterr().err.splitlines()
    assert len(shown) == 20 and shown[-1] == "line 999"


def test_what_a_reader_of_files_says_stays_hidden(capfd) -> None:
    """Its error is one line that names the file."""
    with pytest.raises(RuntimeError), no_native_messages():
        _convert()
        raise RuntimeError
    assert capfd.readouterr().err == ""


_LOGS_WITHIN = """
import logging
from mixtconv._quiet import no_native_messages

with no_native_messages():
    logging.warning("within")  # gives the root logger a handler, as it has none
    logging.getLogger("library").addHandler(logging.StreamHandler())
logging.getLogger("library").warning("after")
"""


def test_what_logs_within_leaves_no_handler_that_would_fail_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOGS_WITHIN], capture_output=True, text=True, check=True
    )
    assert done.stderr == "after\n"


def test_two_threads_at_a_time_leave_the_standard_error_as_it_was() -> None:
    before, file = sys.stderr, os.fstat(2)
    inside, goes_on, left = (threading.Event() for _ in range(3))

    def first() -> None:
        with no_native_messages():
            inside.set()
            goes_on.wait(10)
        left.set()

    def second() -> None:
        with no_native_messages():
            left.wait(10)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    time.sleep(0.1)  # in which the second one would begin, to end after the first
    goes_on.set()
    for thread in threads:
        thread.join()
    assert sys.stderr is before and os.path.samestat(os.fstat(2), file)
