from .base_model import BaseModel
from .fragments import AccessDecisionFields


class CheckAccess(BaseModel):
    check_access: list["CheckAccessCheckAccess"]


CheckAccessCheckAccess = AccessDecisionFields
CheckAccess.model_rebuild()
