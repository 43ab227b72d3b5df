"""What `kubectl kustomize` would print for an overlay, as far as deploy/kubernetes uses Kustomize.

Not Kustomize, which cannot be had here: resources, `namespace`, and patches that are merged as Kubernetes' strategic merge does
it for the lists that have a key (name, mountPath, containerPort, port, topologyKey otherwise replaced). Anything else in a
kustomization is refused, so that nothing is checked in a form that it would not have.
"""

from pathlib import Path
from typing import Any

import yaml

_KNOWN = {"apiVersion", "kind", "resources", "patches", "namespace"}
_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}

Resource = dict[str, Any]


def build(folder: Path) -> list[Resource]:
    """The resources of a kustomization, patched.

    Raises:
        ValueError: It uses something that this does not know, or a patch meets no resource.
    """
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    unknown = set(kustomization) - _KNOWN
    if unknown:
        raise ValueError(f"{folder}: {sorted(unknown)}")
    found: list[Resource] = []
    for name in kustomization["resources"]:
        path = folder / name
        found.extend(build(path) if path.is_dir() else documents(path))
    for patch in kustomization.get("patches", ()):
        for change in documents(folder / patch["path"]):
            _target(found, change).update(_merged(_target(found, change), change))
    if "namespace" in kustomization:
        for resource in found:
            resource["metadata"]["namespace"] = kustomization["namespace"]
    return found


def documents(path: Path) -> list[Resource]:
    """The YAML documents of a file."""
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]


def _identity(resource: Resource) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]


def _target(resources: list[Resource], change: Resource) -> Resource:
    met = [resource for resource in resources if _identity(resource) == _identity(change)]
    if len(met) != 1:
        raise ValueError(f"a patch meets {len(met)} resources: {_identity(change)}")
    return met[0]


def _merged(old: Any, new: Any, name: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: _merged(old.get(key), value, key) for key, value in new.items()}
        return {key: value for key, value in {**old, **both}.items() if value is not None}
    key = _MERGE_KEYS.get(name)
    if key and isinstance(old, list) and isinstance(new, list):
        by_key = {one[key]: one for one in old}
        for one in new:
            by_key[one[key]] = _merged(by_key.get(one[key]), one)
        return list(by_key.values())
    return new
