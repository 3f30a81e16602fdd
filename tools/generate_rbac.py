"""Write manifests/rbac/*.yaml from the operator's list of rights.

python tools/generate_rbac.py            rewrites the files
python tools/generate_rbac.py --check    exits with 1 when they are not current
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from learntoask_operator.rbac import rbac_objects

RBAC = Path(__file__).resolve().parent.parent / "manifests" / "rbac"
HEAD = "# Made from learntoask_operator/rbac.py by `make crds`; change that instead.\n"
ACCOUNT = ("learntoask", "learntoask-operator")


def main() -> int:
    files = {
        RBAC / "cluster-wide.yaml": rbac_objects(account=ACCOUNT, watched=()),
        RBAC / "labelled.yaml": rbac_objects(account=ACCOUNT, watched=(), selecting=True),
        RBAC / "namespaced.yaml": rbac_objects(account=ACCOUNT, watched=(ACCOUNT[0],)),
    }
    texts = {path: HEAD + yaml.safe_dump_all(objects, sort_keys=False) for path, objects in files.items()}
    if "--check" in sys.argv:
        return int(any(not path.is_file() or path.read_text() != text for path, text in texts.items()))
    RBAC.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
