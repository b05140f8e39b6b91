"""``alerts``, ``ack``, ``resolve``, ``monitors``, ``doctor``: what needs a person."""

from __future__ import annotations

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json, print_table
from tsavo.cli.telling import tell_findings

__all__ = ["ack", "alerts", "doctor", "monitors", "resolve"]


def alerts(
    *,
    endpoint: str | None = None,
    all: Flag = False,
    options: Common = Options(),
) -> int:
    """List open alerts.

    Parameters
    ----------
    endpoint
        Only those of this endpoint.
    all
        Acknowledged and resolved ones, too.
    """
    with options.connected() as client:
        found = list(client.alerts(endpoint, None if all else "open"))
    if options.json:
        print_json(found)
        return 0
    rows = [[alert.id, alert.endpoint, alert.state, alert.opened, alert.text] for alert in found]
    print_table(
        ("id", "endpoint", "state", "opened", "what"),
        rows,
        nothing="No open alerts." if not all else "No alerts.",
    )
    return 0


def ack(
    alert: int,
    /,
    *,
    note: str = "",
    options: Common = Options(),
) -> int:
    """Acknowledge an alert: you have seen it.

    Parameters
    ----------
    alert
        Its id, as 'tsavo alerts' shows it.
    note
        Kept with the alert and in the audit trail.
    """
    with options.connected() as client:
        after = client.ack(alert, note=note)
    if options.json:
        print_json(after)
    else:
        print(f"alert {after.id} is acknowledged")
    return 0


def resolve(
    alert: int,
    /,
    *,
    note: str = "",
    options: Common = Options(),
) -> int:
    """Resolve an alert: it is dealt with.

    Parameters
    ----------
    alert
        Its id, as 'tsavo alerts' shows it.
    note
        Kept with the alert and in the audit trail.
    """
    with options.connected() as client:
        after = client.resolve(alert, note=note)
    if options.json:
        print_json(after)
    else:
        print(f"alert {after.id} is resolved")
    return 0


def monitors(
    endpoint: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """What the monitors of an endpoint say now, in plain words.

    Parameters
    ----------
    endpoint
        The endpoint.
    """
    with options.connected() as client:
        findings = client.endpoint(endpoint).findings()
    if options.json:
        print_json(findings)
    elif findings:
        tell_findings(findings)
    else:
        print("The monitors have seen nothing yet.")
    return 0


def doctor(
    *,
    options: Common = Options(),
) -> int:
    """Look for what is wrong with this installation, and say the mend. Changes nothing; exit 1 when something is."""
    from tsavo.app.doctor import examine
    from tsavo.storage import Home

    looks = examine(Home(options.home))
    if options.json:
        print_json(looks)
    else:
        for look in looks:
            print(f"{'ok  ' if look.ok else 'BAD '} {look.name:<13} {as_text(look.found)}")
            if look.mend:
                print(f"     mend: {as_text(look.mend)}")
    return 0 if all(look.ok for look in looks) else 1
