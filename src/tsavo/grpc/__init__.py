"""The data plane's gRPC door.

What comes in: calls of the Open Inference Protocol's service `inference.GRPCInferenceService`. What goes out: its
messages, or a gRPC status with one line of reason. It only translates: it must never decide, load, log on a request's
way, or know another door. Nobody imports it where the port is off, because the library costs memory and start-up time.
"""

from tsavo.grpc.server import Door

__all__ = ["Door"]
