"""A model in a process of its own: whatever it does, it is cut off in time and cannot take us with it."""

from __future__ import annotations

import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from shared.errors import BundleError
from shared.logs import get_logger

log = get_logger(__name__)

Loss = Literal["Timeout", "Crash", "Unavailable"]

_LENGTH: Final = struct.Struct("<Q")
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 300.0
_FORGIVEN_AFTER: Final = 300.0


class ModelLost(Exception):
    """The model's process gave no answer; the rows it was asked about have none.

    Parameters
    ----------
    loss
        ``Timeout`` (it was stopped), ``Crash`` (it ended), ``Unavailable`` (it is not up again yet).
    """

    def __init__(self, loss: Loss, message: str) -> None:
        super().__init__(message)
        self.loss: Loss = loss


@dataclass(frozen=True, slots=True)
class Node:
    """An input or output of a graph, as ONNX Runtime describes it."""

    name: str
    type: str
    shape: list[Any]


class IsolatedSession:
    """Stands in for an ``onnxruntime.InferenceSession`` whose work is done by a child process.

    A child that does not answer in time is killed; one that is gone is started again when it is next
    asked, after a pause that doubles from 2 s to 5 minutes and is forgotten after 5 good minutes.
    Blocking: use it in a thread, and one thread at a time.

    Parameters
    ----------
    model_path
        The graph.
    threads
        Threads of one call.
    time_limit
        Seconds that the calls since :meth:`begin` may take together.
    load_limit
        Seconds that loading the graph may take.

    Raises
    ------
    BundleError
        ONNX Runtime refuses the graph, or its process ended or hung while it was loaded.
    """

    def __init__(
        self, model_path: Path, *, threads: int = 1, time_limit: float = 5.0, load_limit: float = 60.0
    ) -> None:
        self._model_path = model_path
        self._threads = threads
        self._time_limit = time_limit
        self._load_limit = load_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._deadline = 0.0
        self._pause = _FIRST_PAUSE
        self._next_start = 0.0
        self._started_at = 0.0
        self._closed = False
        self._lock = threading.Lock()
        self.restarts = 0
        """How often the process had to be started again."""
        self.cpu_seconds = 0.0
        """Processor time of all answers so far; unlike time on the wall it does not grow when others work."""
        self.trouble: str | None = None
        """What went wrong last, as a sentence; None while it answers."""
        try:
            self._start()
        except ModelLost as error:
            raise BundleError(f"model.onnx cannot be loaded: {error}") from error

    def begin(self) -> None:
        """Begin a micro-batch: the time limit runs from here."""
        self._deadline = time.monotonic() + self._time_limit

    def get_inputs(self) -> list[Node]:
        """Return the graph's inputs."""
        return self._inputs

    def get_outputs(self) -> list[Node]:
        """Return the graph's outputs."""
        return self._outputs

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        """Return the graph's answers.

        Raises
        ------
        ModelLost
            The process hung, ended, or is not up again yet.
        RuntimeError
            The graph itself raised; the process is well.
        """
        with self._lock:
            return self._run(outputs, inputs)

    def _run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        if self._closed:
            raise ModelLost("Unavailable", "it was ended")
        if self._process is None:
            self._start_again()
        try:
            self._send((outputs, inputs))
            answer, spent = self._receive()
        except TimeoutError:
            raise self._lost("Timeout", f"did not answer within {self._time_limit:g} s") from None
        except (OSError, EOFError):
            raise self._lost("Crash", self._how_it_ended()) from None
        if self.trouble is not None and time.monotonic() - self._started_at > _FORGIVEN_AFTER:
            self._pause = _FIRST_PAUSE
        self.trouble = None
        self.cpu_seconds += spent
        if isinstance(answer, str):
            raise RuntimeError(answer)  # noqa: TRY004
        result: list[Any] = answer
        return result

    def close(self) -> None:
        """End the process for good; waits for a call in flight, at most until its time is over."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if process is not None:
            process.kill()
            process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "shared.scoring.isolated_host", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._socket = ours
        self._started_at = time.monotonic()
        self._deadline = self._started_at + self._load_limit
        try:
            self._send((str(self._model_path), self._threads))
            answer = self._receive()
        except TimeoutError:
            raise self._lost("Timeout", f"was not loaded within {self._load_limit:g} s") from None
        except (OSError, EOFError):
            raise self._lost("Crash", self._how_it_ended()) from None
        if isinstance(answer, str):
            self._end()
            raise BundleError(f"model.onnx cannot be loaded by ONNX Runtime: {answer}")
        log.info("model process started", model_path=str(self._model_path), pid=self._process.pid)
        inputs, outputs = answer
        self._inputs, self._outputs = [Node(*node) for node in inputs], [Node(*node) for node in outputs]

    def _start_again(self) -> None:
        now = time.monotonic()
        if now < self._next_start:
            raise ModelLost("Unavailable", self.trouble or "it is not up yet")
        self.restarts += 1
        try:
            self._start()
        except BundleError as error:  # the file was good before: what it lies on is not
            raise self._lost("Unavailable", f"could not be started again: {error}") from error
        self.begin()

    def _lost(self, loss: Loss, what: str) -> ModelLost:
        """End the process and return the error to raise."""
        self._end()
        again = f", started again {self.restarts} times before" if self.restarts else ""
        self.trouble = f"its process {what}{again}"
        self._next_start = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        log.error("model lost", model_path=str(self._model_path), loss=loss, error=self.trouble)
        return ModelLost(loss, self.trouble)

    def _how_it_ended(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def _send(self, message: Any) -> None:
        assert self._socket is not None
        payload = pickle.dumps(message, protocol=5)
        self._wait_at_most()
        self._socket.sendall(_LENGTH.pack(len(payload)) + payload)

    def _receive(self) -> Any:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(self._exactly(length))  # noqa: S301 (from our own child)

    def _exactly(self, size: int) -> bytearray:
        assert self._socket is not None
        buffer = bytearray(size)
        view, filled = memoryview(buffer), 0
        while filled < size:
            self._wait_at_most()
            count = self._socket.recv_into(view[filled:])
            if not count:
                raise EOFError
            filled += count
        return buffer

    def _wait_at_most(self) -> None:
        """Give the next socket call what is left of the time."""
        assert self._socket is not None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
