"""The only room that changes what is kept and what serves: register, deploy, shadow, promote, roll back, plug.

What comes in: the control plane's parts, the person who acts, and what they want. What goes out: the new version
or route. It must never answer a scoring request; gateways follow the route by themselves.
"""

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.ejecting import eject
from tsavo.actions.fallbacks import constant_fallback
from tsavo.actions.register import Registered, Registration, register
from tsavo.actions.routing import deploy, promote, pull_plug, release_plug, roll_back, shadow
from tsavo.actions.verifying import verify, verify_next

__all__ = [
    "ControlPlane",
    "Registered",
    "Registration",
    "constant_fallback",
    "deploy",
    "eject",
    "promote",
    "pull_plug",
    "register",
    "release_plug",
    "roll_back",
    "shadow",
    "verify",
    "verify_next",
]
