from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class DeleteResources(BaseModel):
    delete_resources: "DeleteResourcesDeleteResources"


class DeleteResourcesDeleteResources(BaseModel):
    deleted: Optional[int]
    user_errors: list["DeleteResourcesDeleteResourcesUserErrors"]


DeleteResourcesDeleteResourcesUserErrors = UserErrorFields
DeleteResources.model_rebuild()
DeleteResourcesDeleteResources.model_rebuild()
