"""The child of :mod:`shared.scoring.isolated`: one graph, loaded and run until the parent is gone."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import sys
import threading
import time
from typing import Any, Final

_LENGTH: Final = struct.Struct("<Q")


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side closes.

    First ``(path, threads)``, answered with the graph's inputs and outputs; then ``(outputs, inputs)``,
    answered with the values and the processor time they took. An answer that is text says what ONNX
    Runtime raised.
    """
    path, threads = _receive(connection)
    try:
        session = _load(path, threads)
    except Exception as error:  # onnxruntime raises classes of its own without a common base
        _send(connection, str(error))
        return
    nodes = [
        [(node.name, node.type, list(node.shape)) for node in side]
        for side in (session.get_inputs(), session.get_outputs())
    ]
    _send(connection, nodes)
    while True:
        outputs, inputs = _receive(connection)
        began = time.process_time()
        try:
            answer = session.run(outputs, inputs)
        except Exception as error:
            answer = str(error)
        _send(connection, (answer, time.process_time() - began))


def _end_with(parent: int) -> None:
    """End when the parent does, even inside a call that never returns."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _load(path: str, threads: int) -> Any:
    import onnxruntime as ort  # heavy: the connection is made first

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])


def _send(connection: socket.socket, message: Any) -> None:
    payload = pickle.dumps(message, protocol=5)
    connection.sendall(_LENGTH.pack(len(payload)) + payload)


def _receive(connection: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return pickle.loads(_exactly(connection, length))  # noqa: S301 (from our own parent)


def _exactly(connection: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        count = connection.recv_into(view[filled:])
        if not count:
            raise EOFError
        filled += count
    return buffer


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        try:
            serve(channel)
        except (EOFError, OSError):
            sys.exit(0)  # the parent is gone
