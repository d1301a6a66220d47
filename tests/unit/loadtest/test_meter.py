import subprocess
import sys

import pytest

from loadtest.meter import usage


def test_a_busy_process_is_charged_its_cpu_and_that_of_its_child():
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True); input()"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        used = usage(process.pid)
        process.communicate(b"\n", timeout=30)
    assert 0.3 <= used.cpu_seconds < 30
    assert used.peak_resident_bytes >= used.resident_bytes > 0


def test_a_process_that_is_gone_is_an_error_that_names_it():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    with pytest.raises(ProcessLookupError, match=str(process.pid)):
        usage(process.pid)
