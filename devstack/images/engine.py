"""The programs that build and run images: Buildah and Podman, without a daemon, in a storage of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

_PACKAGES = {
    "buildah": "buildah", "podman": "podman", "runc": "runc", "mmdebstrap": "mmdebstrap",
}  # fmt: skip
_OUTPUT_LINES = 15


def require(*programs: str) -> None:
    """Raise where a program is missing, naming the Debian packages that bring it.

    Raises
    ------
    DevstackError
        Not every program is on the path.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        packages = " ".join(_PACKAGES[name] for name in missing)
        raise DevstackError(f"{', '.join(missing)} not found: apt-get install {packages}")


def execute(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command prints.

    Raises
    ------
    DevstackError
        It failed; the message has the end of what it said.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | dict(environment or {}), check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_OUTPUT_LINES:])
        raise DevstackError(f"{' '.join(command[:3])}... ended with {done.returncode}:\n{tail}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Engine:
    """Buildah and Podman over one storage.

    Parameters
    ----------
    storage
        Folder of images and containers; nothing of the machine's own storage is touched.
    """

    storage: Path

    def _options(self) -> list[str]:
        return [
            "--root",
            str(self.storage / "root"),
            "--runroot",
            str(self.storage / "run"),
            "--storage-driver",
            "overlay",
        ]

    def build(self, tag: str, file: Path, context: Path, arguments: Mapping[str, str]) -> None:
        """Build an image; chroot isolation needs no kernel feature beyond root."""
        mounts = [
            f"{path}:{path}:ro"
            for path in ("/etc/pip.conf", "/etc/ssl/certs")
            if Path(path).exists()  # the machine's way to its package index, not part of the image
        ]
        execute(
            [
                "buildah",
                *self._options(),
                "build",
                "--isolation=chroot",
                "--network=host",
                "--format=docker",
                "--quiet",
                "--file",
                str(file),
                "--tag",
                tag,
                *(f"--volume={mount}" for mount in mounts),
                *(f"--build-arg={name}={value}" for name, value in arguments.items()),
                str(context),
            ]
        )

    def size(self, tag: str) -> int:
        """Return the bytes of an image unpacked, all layers together."""
        return int(execute(["podman", *self._options(), "image", "inspect", "--format", "{{.Size}}", tag]))

    def compressed(self, tag: str, folder: Path) -> int:
        """Return the bytes of an image as a registry would hold and send it: its layers, gzipped."""
        execute(["buildah", *self._options(), "push", "--quiet", tag, f"dir:{folder}"])
        return sum(file.stat().st_size for file in folder.iterdir())

    def run_command(
        self, tag: str, name: str, environment: Mapping[str, str], mounts: Sequence[str]
    ) -> list[str]:
        """Return the command that runs a container as production would: nobody, nothing writable but /tmp."""
        return [
            "podman",
            *self._options(),
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            "run",
            "--rm",
            f"--name={name}",
            "--network=host",
            "--read-only",
            "--tmpfs=/tmp:rw,noexec,nosuid,size=256m",
            "--user=65532:65532",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--ulimit=nofile=8192:8192",
            "--ulimit=nproc=4096:4096",
            *(f"--volume={mount}" for mount in mounts),
            *(f"--env={key}={value}" for key, value in environment.items()),
            tag,
        ]

    def signal(self, name: str, signal_name: str) -> None:
        """Send a signal to a container's first process."""
        execute(["podman", *self._options(), "--runtime=runc", "kill", "--signal", signal_name, name])

    def remove(self, name: str) -> None:
        """Remove a container, whatever it is doing."""
        subprocess.run(
            ["podman", *self._options(), "--runtime=runc", "rm", "--force", "--time=0", name],
            capture_output=True,
            check=False,
        )
