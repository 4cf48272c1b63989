from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class TransferResources(BaseModel):
    transfer_resources: "TransferResourcesTransferResources"


class TransferResourcesTransferResources(BaseModel):
    resources: Optional[list["TransferResourcesTransferResourcesResources"]]
    user_errors: list["TransferResourcesTransferResourcesUserErrors"]


class TransferResourcesTransferResourcesResources(BaseModel):
    id: str


TransferResourcesTransferResourcesUserErrors = UserErrorFields
TransferResources.model_rebuild()
TransferResourcesTransferResources.model_rebuild()
