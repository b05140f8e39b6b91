"""The control API: JSON for programs, under ``/api``; every page of the console has its twin here."""

from tsavo.console.api.alerts import ALERT_ROUTES
from tsavo.console.api.backtests import BACKTEST_ROUTES
from tsavo.console.api.bulk import BULK_ROUTES
from tsavo.console.api.data import DATA_ROUTES
from tsavo.console.api.decisions import DECISION_ROUTES
from tsavo.console.api.endpoints import ENDPOINT_ROUTES
from tsavo.console.api.families import FAMILY_ROUTES
from tsavo.console.api.ledger import LEDGER_ROUTES
from tsavo.console.api.metrics import METRIC_ROUTES
from tsavo.console.api.models import MODEL_ROUTES
from tsavo.console.api.outcomes import OUTCOME_ROUTES
from tsavo.console.api.privacy import PRIVACY_ROUTES
from tsavo.console.api.queries import QUERY_ROUTES
from tsavo.console.api.status import STATUS_ROUTES
from tsavo.console.api.verifications import VERIFICATION_ROUTES
from tsavo.console.declaring import checked

__all__ = ["API_ROUTES"]

API_ROUTES = checked(
    [
        *STATUS_ROUTES,
        *METRIC_ROUTES,
        *LEDGER_ROUTES,
        *ENDPOINT_ROUTES,
        *FAMILY_ROUTES,
        *MODEL_ROUTES,
        *BULK_ROUTES,
        *VERIFICATION_ROUTES,
        *ALERT_ROUTES,
        *OUTCOME_ROUTES,
        *DATA_ROUTES,
        *QUERY_ROUTES,
        *DECISION_ROUTES,
        *BACKTEST_ROUTES,
        *PRIVACY_ROUTES,
    ]
)
