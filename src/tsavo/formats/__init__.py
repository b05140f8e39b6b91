"""Reads any model file into one description, and compiles it to ONNX.

What comes in: the first bytes of a file (anywhere), or a whole model file and its reference rows (inside the
worker process of room `runtimes`, never elsewhere). What goes out: the format's name; a signature; an ONNX graph
that answers as the original does. It must never start a process, decide who is trusted, or keep a file.

Importing this package is cheap: the modules that need scikit-learn or ONNX are imported by the worker alone.
"""

from tsavo.formats.sniffing import CODE_CARRYING, check_trust, sniff, sniff_file

__all__ = ["CODE_CARRYING", "check_trust", "sniff", "sniff_file"]
