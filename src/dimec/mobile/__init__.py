"""The mobile tier: routes each text, answers it here or has another tier answer it."""

from dimec.mobile.aio import AsyncMobile
from dimec.mobile.prediction import Choice, LedgerSummary, MobileInfo, Prediction
from dimec.mobile.runtime import Mobile

__all__ = ["AsyncMobile", "Choice", "LedgerSummary", "Mobile", "MobileInfo", "Prediction"]
