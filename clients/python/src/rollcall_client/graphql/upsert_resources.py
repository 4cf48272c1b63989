from typing import Optional

from .base_model import BaseModel
from .fragments import ResourceUpsertFields, UserErrorFields


class UpsertResources(BaseModel):
    upsert_resources: "UpsertResourcesUpsertResources"


class UpsertResourcesUpsertResources(BaseModel):
    results: Optional[list["UpsertResourcesUpsertResourcesResults"]]
    user_errors: list["UpsertResourcesUpsertResourcesUserErrors"]


UpsertResourcesUpsertResourcesResults = ResourceUpsertFields
UpsertResourcesUpsertResourcesUserErrors = UserErrorFields
UpsertResources.model_rebuild()
UpsertResourcesUpsertResources.model_rebuild()
