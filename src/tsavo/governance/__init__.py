"""Who may do what, and the record of who did it.

What comes in: a person, the right an operation needs, a change with its reason. What goes out: a refusal or
silence, and an audit entry in the change's own transaction. It must never change what it records about.
"""

from tsavo.governance.audit import AuditEntry, audit, audit_rows, chain_of, list_audit
from tsavo.governance.logged import DecisionLogged, decision_logged, prove_decision
from tsavo.governance.receipts import Receipt, receipt
from tsavo.governance.rights import Principal, Right, local_owner, require
from tsavo.governance.verifying import keep_verdict, ledger_view, verify_log

__all__ = [
    "AuditEntry",
    "DecisionLogged",
    "Principal",
    "Receipt",
    "Right",
    "audit",
    "audit_rows",
    "chain_of",
    "decision_logged",
    "keep_verdict",
    "ledger_view",
    "list_audit",
    "local_owner",
    "prove_decision",
    "receipt",
    "require",
    "verify_log",
]
