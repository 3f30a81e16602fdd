"""A containerd with its own socket and folders, which shares nothing with one that the machine may run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worlds.cluster.processes import Recorded, start
from worlds.node.requirements import CNI, overlays

# The path of a socket must be short, and /run is empty after a reboot.
STATE = Path("/run/learntoask-e2e")
PAUSE = "docker.io/learntoask/pause:1"
_NAMESPACE = "k8s.io"
_PATIENCE = 60.0
_COMPRESSION = ("--compression-format", "zstd", "--compression-level", "1")


@dataclass
class Containers:
    """A containerd whose `folder` keeps images and snapshots from one start to the next."""

    folder: Path
    log: Path
    process: Recorded | None = None

    @property
    def socket(self) -> Path:
        return STATE / "containerd.sock"

    def start(self, *, networks: Path) -> None:
        STATE.mkdir(mode=0o711, exist_ok=True)
        configuration = self.folder / "containerd.toml"
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration.write_text(self._configuration(networks))
        self.process = start(["containerd", "--config", str(configuration)], log=self.log, outlive=False)
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if time.monotonic() > deadline or not self.process.alive:
                raise RuntimeError(f"containerd did not get ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)
        self.clear()

    def stop(self) -> None:
        if self.process is None:
            return
        self.clear()
        self.process.stop()
        self.process = None
        unmount(STATE)
        shutil.rmtree(STATE, ignore_errors=True)

    def clear(self) -> None:
        """End all containers, including those of an interrupted run."""
        for task in self.ctr("tasks", "list", "--quiet").split():
            with suppress(RuntimeError):
                self.ctr("tasks", "delete", "--force", task)
        for container in self.ctr("containers", "list", "--quiet").split():
            with suppress(RuntimeError):
                self.ctr("containers", "delete", container)

    def images(self) -> set[str]:
        """Names of the images that containerd has, and digests of their manifests as `name@digest`."""
        found = set()
        for line in self.ctr("images", "list").splitlines()[1:]:
            name, _, digest = line.split()[:3]
            found |= {name, f"{name.partition('@')[0]}@{digest}"}
        return found

    def bring(self, *names: str) -> None:
        """Import images from buildah's storage, unless containerd already has the same ones."""
        here = self.images()
        brought = self.folder / "brought.json"
        known = json.loads(brought.read_text()) if brought.exists() else {}
        wanted = {name: _identity(name) for name in names}
        new = [name for name, identity in wanted.items() if name not in here or known.get(name) != identity]
        if not new:
            return
        layout = self.folder / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        try:
            for name in new:
                # One folder for all images holds the layers that they share only once.
                # The weakest compression is as fast as the disk, and halves what is written.
                _run("buildah", "push", "--quiet", *_COMPRESSION, name, f"oci:{layout}:{name}")
            with subprocess.Popen(
                [*self._ctr, "images", "import", "--snapshotter", self.snapshotter, "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            ) as importing:
                assert importing.stdin
                with tarfile.open(fileobj=importing.stdin, mode="w|") as packed:
                    packed.add(layout, arcname=".")
                importing.stdin.close()
            if importing.returncode:
                raise RuntimeError("images could not be imported")
        finally:
            shutil.rmtree(layout, ignore_errors=True)
        brought.write_text(json.dumps({**known, **wanted}))

    def ctr(self, *arguments: str) -> str:
        return _run(*self._ctr, *arguments)

    @property
    def _ctr(self) -> tuple[str, ...]:
        return ("ctr", "--address", str(self.socket), "--namespace", _NAMESPACE)

    @property
    def snapshotter(self) -> str:
        return "overlayfs" if overlays(self.folder / "probe") else "native"

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except RuntimeError:
            return False
        return True

    def _configuration(self, networks: Path) -> str:
        plugin = 'plugins."io.containerd.grpc.v1.cri"'
        return f"""version = 2
root = "{self.folder / "root"}"
state = "{STATE / "state"}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
[ttrpc]
  address = "{self.socket}.ttrpc"
[{plugin}]
  sandbox_image = "{PAUSE}"
  # Without CAP_SYS_RESOURCE a lower score is refused, and the sandbox dies.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [{plugin}.cni]
    bin_dir = "{CNI}"
    conf_dir = "{networks}"
  [{plugin}.containerd]
    snapshotter = "{self.snapshotter}"
    [{plugin}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{plugin}.containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _identity(name: str) -> str:
    return _run("buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", name).strip()


def unmount(below: Path) -> None:
    """Unmount everything at and below a folder, the innermost first."""
    points = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted(filter(lambda path: path.is_relative_to(below), points), reverse=True):
        subprocess.run(["umount", "--lazy", str(point)], capture_output=True, check=False, timeout=30)


def _run(*command: str, timeout: float = 900.0) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout, env=dict(os.environ)
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
