from datetime import datetime
from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class SuspendUser(BaseModel):
    suspend_user: "SuspendUserSuspendUser"


class SuspendUserSuspendUser(BaseModel):
    user: Optional["SuspendUserSuspendUserUser"]
    user_errors: list["SuspendUserSuspendUserUserErrors"]


class SuspendUserSuspendUserUser(BaseModel):
    id: str
    suspended_at: Optional[datetime]


SuspendUserSuspendUserUserErrors = UserErrorFields
SuspendUser.model_rebuild()
SuspendUserSuspendUser.model_rebuild()
