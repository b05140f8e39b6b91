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
    routes_by_model,
    routes_of,
    save_route,
)
from tsavo.registry.families import (
    changed_members,
    count_members,
    families_of,
    find_members,
    get_member,
    list_members,
    member_versions,
    save_members,
)
from tsavo.registry.migrate import migrate, schema_revision
from tsavo.registry.models import add_model, find_model, get_model, list_models, update_brief
from tsavo.registry.paging import MAX_LIMIT, page_of
from tsavo.registry.verifications import add_verification, list_verifications
from tsavo.registry.versions import (
    Origin,
    add_version,
    environments_in_use,
    find_by_digest,
    get_version,
    list_versions,
    newest_version,
    newest_versions,
    origins_of,
    signatures_of,
    version_digest,
    versions_after,
)

__all__ = [
    "MAX_LIMIT",
    "Origin",
    "add_model",
    "add_verification",
    "add_version",
    "changed_members",
    "changed_routes",
    "count_members",
    "environments_in_use",
    "families_of",
    "find_by_digest",
    "find_members",
    "find_model",
    "find_route",
    "get_member",
    "get_model",
    "get_route",
    "get_version",
    "list_members",
    "list_models",
    "list_routes",
    "list_verifications",
    "list_versions",
    "member_versions",
    "migrate",
    "newest_revision",
    "newest_version",
    "newest_versions",
    "origins_of",
    "page_of",
    "route_history",
    "routes_by_model",
    "routes_of",
    "save_members",
    "save_route",
    "schema_revision",
    "signatures_of",
    "update_brief",
    "version_digest",
    "versions_after",
]
