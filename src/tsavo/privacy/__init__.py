"""Keys of data subjects: what they sealed is gone when they are.

What comes in: the texts by which people are known, and values about them. What goes out: pseudonyms, and values that
only the subject's own key opens; the keys lie in one database, wrapped under the home's master key, on disk before they
are used. It must never put a subject's text or an unwrapped key into a file, or touch the disk while a request waits
for it, unless there are more new subjects than keys in stock.
"""

from tsavo.privacy.master import MasterKey
from tsavo.privacy.ring import KeyRing
from tsavo.privacy.sealing import SubjectKey, open_sealed, seal, sealed_columns, sealing_key
from tsavo.privacy.store import ErasedSubject, KeyStore, OpenedKeys, destroy_keys
from tsavo.privacy.subjects import SubjectKeys

__all__ = [
    "ErasedSubject",
    "KeyRing",
    "KeyStore",
    "MasterKey",
    "OpenedKeys",
    "SubjectKey",
    "SubjectKeys",
    "destroy_keys",
    "open_sealed",
    "seal",
    "sealed_columns",
    "sealing_key",
]
