"""The composition root: the only room that builds objects and wires rooms into processes.

What comes in: a home, settings, a signal. What goes out: running processes (gateway, console, keeper under one
supervisor) that are restarted when they crash and stopped cleanly. It must never hold logic of its own that a
room below could hold.
"""
