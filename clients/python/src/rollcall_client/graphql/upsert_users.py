from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields, UserUpsertFields


class UpsertUsers(BaseModel):
    upsert_users: "UpsertUsersUpsertUsers"


class UpsertUsersUpsertUsers(BaseModel):
    results: Optional[list["UpsertUsersUpsertUsersResults"]]
    user_errors: list["UpsertUsersUpsertUsersUserErrors"]


UpsertUsersUpsertUsersResults = UserUpsertFields
UpsertUsersUpsertUsersUserErrors = UserErrorFields
UpsertUsers.model_rebuild()
UpsertUsersUpsertUsers.model_rebuild()
