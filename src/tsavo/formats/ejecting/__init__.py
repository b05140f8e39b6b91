"""Writes a version as a folder that needs no Tsavo: an MLflow model with two small programs beside it.

What comes in: a version as the registry describes it, and its golden rows. What goes out: the folder's small files as
bytes, the same for the same version. It must never open a model file: whoever has those copies them beside.
"""

from tsavo.formats.ejecting.folder import folder_files, source_path

__all__ = ["folder_files", "source_path"]
