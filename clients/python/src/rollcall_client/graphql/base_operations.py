from typing import Any, Unpack

from rollcall_client._transport import RequestOptions, Transport


class BaseOperations:
    """Sends documents by the client's connection."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def execute(
        self,
        query: str,
        operation_name: str | None = None,
        variables: dict[str, object] | None = None,
        **options: Unpack[RequestOptions],
    ) -> dict[str, Any]:
        return self._transport.request(query, variables or {}, options)

    def get_data(self, response: dict[str, Any]) -> dict[str, Any]:
        return response
