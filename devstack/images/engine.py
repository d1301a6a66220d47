"""The programs that build and run images: Buildah and Podman, without a daemon, in a storage of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError
from devstack.images.programs import execute


@dataclass(frozen=True, slots=True)
class Engine:
    """Buildah and Podman over one storage.

    Parameters
    ----------
    storage
        Folder of images and containers; nothing of the machine's own storage is touched.
    """

    storage: Path

    @property
    def options(self) -> list[str]:
        """Return the arguments of Podman and Buildah that name the storage."""
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
                *self.options,
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

    def revision(self, tag: str) -> str | None:
        """Return the commit that an image says it is of; None where there is no such image."""
        label = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
        try:
            return execute(["podman", *self.options, "image", "inspect", "--format", label, tag]).strip()
        except DevstackError:
            return None

    def name(self, tag: str, *names: str) -> None:
        """Give an image more names."""
        execute(["podman", *self.options, "tag", tag, *names])

    def size(self, tag: str) -> int:
        """Return the bytes of an image unpacked, all layers together."""
        return int(execute(["podman", *self.options, "image", "inspect", "--format", "{{.Size}}", tag]))

    def compressed(self, tag: str, folder: Path) -> int:
        """Return the bytes of an image as a registry would hold and send it: its layers, gzipped."""
        execute(["buildah", *self.options, "push", "--quiet", tag, f"dir:{folder}"])
        return sum(file.stat().st_size for file in folder.iterdir())

    def run_command(
        self,
        tag: str,
        name: str,
        environment: Mapping[str, str],
        mounts: Sequence[str] = (),
        entrypoint: str | None = None,
    ) -> list[str]:
        """Return the command that runs a container as production would: nobody, nothing writable but /tmp."""
        return [
            "podman",
            *self.options,
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
            *([] if entrypoint is None else [f"--entrypoint={entrypoint}"]),
            tag,
        ]

    def signal(self, name: str, signal_name: str) -> None:
        """Send a signal to a container's first process."""
        execute(["podman", *self.options, "--runtime=runc", "kill", "--signal", signal_name, name])

    def remove(self, name: str) -> None:
        """Remove a container, whatever it is doing."""
        subprocess.run(
            ["podman", *self.options, "--runtime=runc", "rm", "--force", "--time=0", name],
            capture_output=True,
            check=False,
        )
