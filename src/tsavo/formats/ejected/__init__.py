"""The code that goes out with an ejected version; nothing in Tsavo runs it.

What comes in: the folder that `tsavo eject` wrote. What goes out: the version's answers. Files of this package are
copied into that folder under a name of their own, so that it runs where Tsavo is not installed: they import the
standard library and numpy, the one runtime that the version needs, and pandas where MLflow hands over a frame.
"""
