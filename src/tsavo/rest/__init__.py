"""The data plane's REST door.

What comes in: HTTP by ASGI. What goes out: what the Open Inference Protocol says, or a problem document. It only
translates: it must never decide, load, log on a request's way, or know another door.
"""

from tsavo.rest.admission import Admission
from tsavo.rest.connections import ConnectionLimits
from tsavo.rest.cors import Cors
from tsavo.rest.gateway import Gateway
from tsavo.rest.protocol import patient_protocol

__all__ = ["Admission", "ConnectionLimits", "Cors", "Gateway", "patient_protocol"]
