"""Pages about personal data: who was erased, and a decision with its personal values shown."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, Response
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect, Template

from tsavo.actions import erase_subject, reveal_decision
from tsavo.console.api.decisions import receipt_of
from tsavo.console.api.privacy import personal_folders
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act, look
from tsavo.console.pages import page_of
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.registry import list_erasures
from tsavo.vocabulary import Invalid

__all__ = ["PRIVACY_PAGES"]

_Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
_SEE_OTHER: Final = 303
_A_PAGE: Final = 25
_MOST_WHY: Final = 500


@look("/erasures", include_in_schema=False)
def erasures_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, subject: str | None = None, offset: int = 0
) -> Template:
    """Who was erased, by pseudonym, and what that came to."""
    with parts.plane.database.read() as connection:
        page = list_erasures(connection, subject=subject or None, offset=offset, limit=_A_PAGE)
    return page_of("erasures.html", request, parts, page=page, subject=subject or "")


@act("/erasures/form", Right.PRIVACY, include_in_schema=False)
async def erase_form(parts: ConsoleParts, who: Principal, data: _Form) -> Response[Any]:
    """Erase somebody, and show what that came to."""
    if data.get("sure") != "yes":
        raise Invalid(
            "erasing cannot be undone",
            field="sure",
            found=data.get("sure"),
            expected="the box ticked",
            next_step="go back, tick the box and send the form again",
        )
    erasure = await REGISTRATIONS.run(
        lambda: erase_subject(
            parts.plane,
            parts.lake,
            who,
            data.get("subject", ""),
            why=data.get("why", "")[:_MOST_WHY],
            folders=personal_folders(parts),
        )
    )
    return Redirect(f"/erasures?subject={erasure.subject}", status_code=_SEE_OTHER)


@act("/decisions/{decision:str}/reveal", Right.PRIVACY, include_in_schema=False)
def reveal_form(
    request: Request[Any, Any, Any], parts: ConsoleParts, who: Principal, decision: str, data: _Form
) -> Template:
    """The decision with its personal values: in no address, and kept by no browser."""
    revealed = reveal_decision(parts.plane, parts.lake, who, decision, why=data.get("why", "")[:_MOST_WHY])
    page = page_of(
        "decision.html",
        request,
        parts,
        view=receipt_of(parts, decision),
        again=None,
        revealed=revealed,
        twin=f"/api/decisions/{decision}",
    )
    page.headers["Cache-Control"] = "no-store"
    return page


PRIVACY_PAGES = [erasures_page, erase_form, reveal_form]
