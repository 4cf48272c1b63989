from typing import Any, Unpack

from rollcall_client._transport import AsyncTransport, RequestOptions


class AsyncBaseOperations:
    """Sends documents by the client's connection."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def execute(
        self,
        query: str,
        operation_name: str | None = None,
        variables: dict[str, object] | None = None,
        **options: Unpack[RequestOptions],
    ) -> dict[str, Any]:
        return await self._transport.request(query, variables or {}, options)

    def get_data(self, response: dict[str, Any]) -> dict[str, Any]:
        return response
