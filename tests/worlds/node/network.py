"""The node's network: a bridge for the pods and the API server, without a route out of the machine."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

BRIDGE, ADDRESS, SUBNET = "lta-e2e0", "10.88.0.1", "10.88.0.0/24"
POD_NETWORK = "learntoask-e2e"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FILTERED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@dataclass
class Network:
    """The network between `start` and `stop`. `stop` restores the settings of the machine."""

    folder: Path
    before: dict[Path, str] = field(default_factory=dict)

    @property
    def configuration(self) -> Path:
        """Folder with the network configuration of pods (CNI)."""
        return self.folder / "cni"

    def start(self) -> None:
        self.delete()
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", f"{ADDRESS}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        # Replies of a pod behind a Service must pass the rules that changed the address of the request.
        for setting in (_FORWARDING, _FILTERED):
            if setting.exists():
                self.before[setting] = setting.read_text().strip()
                setting.write_text("1")
        self.configuration.mkdir(parents=True, exist_ok=True)
        (self.configuration / "10-bridge.conflist").write_text(json.dumps(self._plugins()))

    def stop(self) -> None:
        for setting, value in self.before.items():
            setting.write_text(value)
        self.before.clear()
        self.delete()

    @staticmethod
    def delete() -> None:
        with suppress(RuntimeError):
            _ip("link", "delete", BRIDGE)

    def _plugins(self) -> dict[str, object]:
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": SUBNET, "gateway": ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self.folder / "addresses"),
        }
        bridge = {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": addresses,
        }
        return {"cniVersion": "1.0.0", "name": POD_NETWORK, "plugins": [bridge]}


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
