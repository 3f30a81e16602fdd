"""A throw-away cluster for people, as tests use it: a control plane with our CRDs and a fake node.

make cluster-up      start one below .cache/cluster, unless it runs, and print how to reach it
make cluster-down    stop it and delete its files
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.toolchain import CONTROL_PLANE, ROOT, missing, tool


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "cluster")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    return up(folder) if arguments.action == "up" else down(folder)


def up(folder: Path) -> int:
    absent = missing(*CONTROL_PLANE, "kwok")
    if absent:
        print(f"not built: {', '.join(absent)}; install Go and run `make cluster-tools`", file=sys.stderr)
        return 1
    plane = ControlPlane.found(folder)
    if plane is not None and not plane.alive:
        plane.stop()
        plane = None
    if plane is None:
        folder.mkdir(parents=True, exist_ok=True)
        plane = ControlPlane(folder, outlive=True)
        try:
            plane.start()
            plane.start_fake_node()
        except RuntimeError:
            plane.stop()
            raise
    Cluster(plane.kubeconfig, plane).install_crds()
    print(f"export KUBECONFIG={plane.kubeconfig}\nexport PATH={tool('kubectl').parent}{os.pathsep}$PATH")
    return 0


def down(folder: Path) -> int:
    plane = ControlPlane.found(folder)
    if plane is not None:
        plane.stop()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
