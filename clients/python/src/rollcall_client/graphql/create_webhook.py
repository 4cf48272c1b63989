from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class CreateWebhook(BaseModel):
    create_webhook: "CreateWebhookCreateWebhook"


class CreateWebhookCreateWebhook(BaseModel):
    webhook: Optional["CreateWebhookCreateWebhookWebhook"]
    secret: Optional[str]
    user_errors: list["CreateWebhookCreateWebhookUserErrors"]


class CreateWebhookCreateWebhookWebhook(BaseModel):
    id: str
    url: str
    events: list[str]


CreateWebhookCreateWebhookUserErrors = UserErrorFields
CreateWebhook.model_rebuild()
CreateWebhookCreateWebhook.model_rebuild()
