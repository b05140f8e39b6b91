"""What can be asked of registered versions: which there are, whether they still answer as they did, and to come out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tsavo.client.ejecting import check_folder, unpack
from tsavo.client.transport import Transport
from tsavo.vocabulary import NotFound, Page, Verification, VerifiedPage, Version, VersionRef, check_name

__all__ = ["VersionQuestions"]

_A_PAGE: Final = 200


_VERSIONS_A_PAGE: Final = 50


class _Versions(msgspec.Struct):
    versions: Page[Version]


class VersionQuestions:
    """The part of the client that is about versions as they are kept.

    Parameters
    ----------
    console
        The console's connection.
    """

    def __init__(self, console: Transport) -> None:
        self._console = console

    def newest(self, model: str) -> Version:
        """The newest version of a model."""
        version = next(self.versions(model), None)
        if version is None:
            raise NotFound(
                "this model has no version yet", field="model", found=model, next_step="register one"
            )
        return version

    def versions(self, model: str) -> Iterator[Version]:
        """All versions of a model, newest first, page by page."""
        path = f"/api/models/{check_name(model, 'model')}"
        offset: int | None = 0
        while offset is not None:
            told = self._console.get(path, _Versions, offset=offset, limit=_VERSIONS_A_PAGE)
            yield from told.versions.items
            offset = told.versions.next_offset

    def version(self, ref: str | VersionRef) -> Version:
        """One version."""
        parsed = VersionRef.parse(ref) if isinstance(ref, str) else ref
        version: Version = self._console.get(f"/api/models/{parsed.model}/versions/{parsed.number}", Version)
        return version

    def verify(self, version: str | VersionRef, *, requirements: Sequence[str] = ()) -> Verification:
        """Answer a version's golden rows again: does it still answer as it did at registration.

        Parameters
        ----------
        version
            ``"model@3"``.
        requirements
            Libraries to try instead, such as ``["scikit-learn==1.7.2"]``: the original model is then asked in a scratch
            environment that has these.
        """
        path = f"{_path(version)}/verify"
        found: Verification = self._console.post(path, {"requirements": list(requirements)}, Verification)
        return found

    def verify_all(
        self,
        model: str | None = None,
        *,
        requirements: Sequence[str] = (),
        after: str | VersionRef | None = None,
    ) -> Iterator[VerifiedPage]:
        """Verify all versions, or those of one model, page by page in order of model and number.

        Parameters
        ----------
        after
            Go on after this version: the `last` of a page.
        """
        last = VersionRef.parse(after) if isinstance(after, str) else after
        while True:
            body = {
                "model": None if model is None else check_name(model, "model"),
                "after": None if last is None else str(last),
                "requirements": list(requirements),
            }
            page: VerifiedPage = self._console.post("/api/verifications", body, VerifiedPage)
            yield page
            if page.last is None:
                return
            last = page.last

    def verifications(self, version: str | VersionRef) -> Iterator[Verification]:
        """What earlier verifications of a version found, newest first."""
        offset: int | None = 0
        while offset is not None:
            page: Page[Verification] = self._console.get(
                f"{_path(version)}/verifications", Page[Verification], offset=offset, limit=_A_PAGE
            )
            yield from page.items
            offset = page.next_offset

    def eject(self, version: str | VersionRef, folder: Path | str, *, force: bool = False) -> Path:
        """Write a version as an MLflow model folder that runs without Tsavo; return the folder.

        Parameters
        ----------
        folder
            A new or an empty folder.
        force
            Write over files of the same names in a folder that is not empty.

        Raises
        ------
        Conflict
            When there is something in the folder already.
        """
        target = Path(folder)
        check_folder(target, force=force)
        with tempfile.TemporaryFile() as archive:
            self._console.download(f"{_path(version)}/eject", archive)
            archive.seek(0)
            return unpack(archive, target, force=force)


def _path(version: str | VersionRef) -> str:
    ref = VersionRef.parse(version) if isinstance(version, str) else version
    return f"/api/models/{ref.model}/versions/{ref.number}"
