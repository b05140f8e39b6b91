"""The data plane's REST door.

What comes in: HTTP by ASGI. What goes out: what the Open Inference Protocol says, or a problem document. It only
translates: it must never decide, load, log on a request's way, or know another door.
"""

from tsavo.rest.admission import Admission
from tsavo.rest.connections import ConnectionLimits, patient_protocol
from tsavo.rest.gateway import Gateway

__all__ = ["Admission", "ConnectionLimits", "Gateway", "patient_protocol"]
