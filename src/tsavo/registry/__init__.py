"""What models, versions and endpoints there are, and how they route.

What comes in: a database connection whose transaction the caller holds, and structs of the vocabulary. What goes
out: the same structs, and pages of them. It must never decide whether a change is allowed (governance does), nor
open a model file: artifacts are digests here.
"""

from tsavo.registry.endpoints import (
    changed_routes,
    find_route,
    get_route,
    list_routes,
    newest_revision,
    route_history,
    save_route,
)
from tsavo.registry.migrate import migrate, schema_revision
from tsavo.registry.models import add_model, find_model, get_model, list_models, update_brief
from tsavo.registry.paging import MAX_LIMIT, page_of
from tsavo.registry.verifications import add_verification, list_verifications
from tsavo.registry.versions import (
    add_version,
    environments_in_use,
    find_by_digest,
    get_version,
    list_versions,
    newest_version,
    version_digest,
    versions_after,
)

__all__ = [
    "MAX_LIMIT",
    "add_model",
    "add_verification",
    "add_version",
    "changed_routes",
    "environments_in_use",
    "find_by_digest",
    "find_model",
    "find_route",
    "get_model",
    "get_route",
    "get_version",
    "list_models",
    "list_routes",
    "list_verifications",
    "list_versions",
    "migrate",
    "newest_revision",
    "newest_version",
    "page_of",
    "route_history",
    "save_route",
    "schema_revision",
    "update_brief",
    "version_digest",
    "versions_after",
]
