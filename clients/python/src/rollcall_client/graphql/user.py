from typing import Optional

from rollcall_client._json import JsonObject

from .base_model import BaseModel


class User(BaseModel):
    user: Optional["UserUser"]


class UserUser(BaseModel):
    id: str
    external_id: Optional[str]
    username: str
    name: str
    metadata: Optional[JsonObject]


User.model_rebuild()
