"""``ls``, ``show``, ``diff``: looking at what there is."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final, Literal

import msgspec

from tsavo.cli.options import Common, Options
from tsavo.cli.printing import print_json, print_table
from tsavo.cli.telling import tell_endpoint, tell_model, tell_version, told_challengers
from tsavo.vocabulary import NotFound, Version, VersionRef

__all__ = ["diff", "ls", "show"]

_RECENT: Final = 5
# Of a decision's record, what says nothing to a person; --json has it.
_INTERNAL: Final = frozenset({"explanation", "journal", "seq"})


def ls(
    what: Literal["endpoints", "models"] = "endpoints",
    /,
    *,
    search: str = "",
    options: Common = Options(),
) -> int:
    """List endpoints, or models.

    Parameters
    ----------
    what
        endpoints or models.
    search
        Only those whose name contains this.
    """
    with options.connected() as client:
        if what == "models":
            models = list(client.models(search))
            if options.json:
                print_json(models)
                return 0
            rows: list[list[Any]] = [
                [model.name, model.owner, model.created, model.brief.problem] for model in models
            ]
            print_table(
                ("model", "owner", "created", "problem"), rows, nothing="No models yet. Next: tsavo register"
            )
            return 0
        routes = list(client.endpoints(search))
    if options.json:
        print_json(routes)
        return 0
    rows = [
        [
            route.endpoint,
            route.champion,
            "plug pulled" if route.plug else "serving",
            told_challengers(route),
            route.changed,
        ]
        for route in routes
    ]
    print_table(
        ("endpoint", "champion", "state", "challengers", "changed"),
        rows,
        nothing="No endpoints yet. Next: tsavo deploy",
    )
    return 0


def show(
    name: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """Everything about an endpoint, a model (NAME) or a version (MODEL@N).

    Parameters
    ----------
    name
        What to show; where an endpoint and a model share a name, both are shown.
    """
    with options.connected() as client:
        if "@" in name:
            version = client.version(name)
            verifications = list(islice(client.verifications(name), _RECENT))
            if options.json:
                print_json({**msgspec.to_builtins(version), "verifications": verifications})
            else:
                tell_version(version, verifications)
            return 0
        found: dict[str, Any] = {}
        for kind, ask in (("endpoint", client.details), ("model", client.model)):
            try:
                found[kind] = ask(name)
            except NotFound:
                continue
    if not found:
        raise NotFound(
            "there is no endpoint and no model of this name",
            field="name",
            found=name,
            next_step="see 'tsavo ls'",
        )
    if options.json:
        print_json(found)
        return 0
    if "endpoint" in found:
        tell_endpoint(found["endpoint"])
    if "model" in found:
        tell_model(found["model"])
    return 0


def diff(
    first: str,
    second: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """What differs between two versions: signature, checks, lineage, reference.

    Parameters
    ----------
    first
        MODEL@N.
    second
        MODEL@N.
    """
    refs = [VersionRef.parse(first), VersionRef.parse(second)]
    with options.connected() as client:
        one, other = (_flat(client.version(ref)) for ref in refs)
    changes = [
        {"what": key, first: one.get(key), second: other.get(key)}
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    ]
    if options.json:
        print_json(changes)
        return 0
    rows = [[change["what"], change[first], change[second]] for change in changes]
    print_table(("", first, second), rows, nothing="They do not differ.")
    return 0


def _flat(version: Version) -> dict[str, Any]:
    """What can be compared of a version, under names a person knows."""
    signature, lineage = version.signature, version.lineage
    flat: dict[str, Any] = {"task": signature.task, "classes": signature.classes}
    for field in signature.inputs:
        flat[f"input {field.name}"] = f"{field.dtype}{' nullable' if field.nullable else ''}"
        flat[f"input {field.name} categories"] = field.categories
        flat[f"input {field.name} range"] = (field.low, field.high)
    for output in signature.outputs:
        flat[f"output {output.name}"] = f"{output.dtype}{f'[{output.width}]' if output.width else ''}"
    for check in version.checks:
        flat[f"check {check.name}"] = f"{'ok' if check.passed else 'NO'}: {check.summary}"
    for name in (
        "framework",
        "source_name",
        "source_digest",
        "data_digest",
        "code_commit",
        "python",
        "registered_by",
    ):
        flat[name] = getattr(lineage, name)
    flat |= {f"library {name}": found for name, found in lineage.libraries.items()}
    flat |= {"artifact": version.artifact, "artifact bytes": version.artifact_bytes}
    if version.reference is not None:
        flat |= {"reference": version.reference.digest, "reference rows": version.reference.rows}
    return flat
