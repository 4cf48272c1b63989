from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class DeleteUser(BaseModel):
    delete_user: "DeleteUserDeleteUser"


class DeleteUserDeleteUser(BaseModel):
    deleted_user_id: Optional[str]
    user_errors: list["DeleteUserDeleteUserUserErrors"]


DeleteUserDeleteUserUserErrors = UserErrorFields
DeleteUser.model_rebuild()
DeleteUserDeleteUser.model_rebuild()
