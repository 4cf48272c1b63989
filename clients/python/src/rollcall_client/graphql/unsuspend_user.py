from datetime import datetime
from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class UnsuspendUser(BaseModel):
    unsuspend_user: "UnsuspendUserUnsuspendUser"


class UnsuspendUserUnsuspendUser(BaseModel):
    user: Optional["UnsuspendUserUnsuspendUserUser"]
    user_errors: list["UnsuspendUserUnsuspendUserUserErrors"]


class UnsuspendUserUnsuspendUserUser(BaseModel):
    id: str
    suspended_at: Optional[datetime]


UnsuspendUserUnsuspendUserUserErrors = UserErrorFields
UnsuspendUser.model_rebuild()
UnsuspendUserUnsuspendUser.model_rebuild()
