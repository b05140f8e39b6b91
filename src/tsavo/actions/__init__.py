"""The only room that changes what is kept and what serves: register, deploy, shadow, promote, roll back, plug.

What comes in: the control plane's parts, the person who acts, and what they want. What goes out: the new version
or route. It must never answer a scoring request; gateways follow the route by themselves.
"""

from tsavo.actions.backtesting import continue_backtest, start_backtest
from tsavo.actions.bulk import Handed, deploy_once, find_registered, place_members
from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.drilling import drill_report, find_drill_report, start_drill
from tsavo.actions.ejecting import eject
from tsavo.actions.erasing import PSEUDONYM, BackupsErased, erase_subject, finish_erasures
from tsavo.actions.exporting import run_due_exports, run_export
from tsavo.actions.fallbacks import constant_fallback, rules_fallback
from tsavo.actions.families import (
    MOST_AT_ONCE,
    make_family,
    plug_member,
    remove_members,
    set_members,
    unplug_member,
)
from tsavo.actions.joining import decisions_of, join_waiting, nanoseconds, outcome_records
from tsavo.actions.limiting import limit
from tsavo.actions.privacy import keys_of_plane, mark_personal, pseudonym_of, reveal_decision
from tsavo.actions.queries import keep_query, remove_export, remove_query, schedule_export
from tsavo.actions.register import Registered, Registration, register
from tsavo.actions.replaying import replay_decision, replay_next, replay_requests
from tsavo.actions.retaining import retain
from tsavo.actions.routing import deploy, promote, pull_plug, release_plug, roll_back, shadow
from tsavo.actions.shares import share
from tsavo.actions.verifying import verify, verify_next

__all__ = [
    "MOST_AT_ONCE",
    "PSEUDONYM",
    "BackupsErased",
    "ControlPlane",
    "Handed",
    "Registered",
    "Registration",
    "constant_fallback",
    "continue_backtest",
    "decisions_of",
    "deploy",
    "deploy_once",
    "drill_report",
    "eject",
    "erase_subject",
    "find_drill_report",
    "find_registered",
    "finish_erasures",
    "join_waiting",
    "keep_query",
    "keys_of_plane",
    "limit",
    "make_family",
    "mark_personal",
    "nanoseconds",
    "outcome_records",
    "place_members",
    "plug_member",
    "promote",
    "pseudonym_of",
    "pull_plug",
    "register",
    "release_plug",
    "remove_export",
    "remove_members",
    "remove_query",
    "replay_decision",
    "replay_next",
    "replay_requests",
    "retain",
    "reveal_decision",
    "roll_back",
    "rules_fallback",
    "run_due_exports",
    "run_export",
    "schedule_export",
    "set_members",
    "shadow",
    "share",
    "start_backtest",
    "start_drill",
    "unplug_member",
    "verify",
    "verify_next",
]
