"""Who may do what, and the record of who did it.

What comes in: a person, the right an operation needs, a change with its reason. What goes out: a refusal or
silence, and an audit entry in the change's own transaction. It must never change what it records about.
"""

from tsavo.governance.audit import AuditEntry, audit, list_audit
from tsavo.governance.rights import Principal, Right, local_owner, require

__all__ = ["AuditEntry", "Principal", "Right", "audit", "list_audit", "local_owner", "require"]
