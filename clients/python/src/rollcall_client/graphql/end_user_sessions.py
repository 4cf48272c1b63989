from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class EndUserSessions(BaseModel):
    end_user_sessions: "EndUserSessionsEndUserSessions"


class EndUserSessionsEndUserSessions(BaseModel):
    ended: Optional[int]
    user_errors: list["EndUserSessionsEndUserSessionsUserErrors"]


EndUserSessionsEndUserSessionsUserErrors = UserErrorFields
EndUserSessions.model_rebuild()
EndUserSessionsEndUserSessions.model_rebuild()
