"""``tsavo demo``: the whole loop on real data, told while it happens.

Every number that is printed comes from the running system; nothing is prepared beforehand.
"""

from tsavo.cli.demo.command import demo

__all__ = ["demo"]
