"""What ariadne-codegen is told besides its settings."""

import ast

from ariadne_codegen.plugins.base import Plugin
from graphql import GraphQLEnumType, OperationDefinitionNode


class OpenEnums(Plugin):
    """Values that a later version of the service adds must not make its answers unreadable."""

    def generate_enum(self, class_def: ast.ClassDef, enum_type: GraphQLEnumType) -> ast.ClassDef:
        class_def.bases = [ast.Name("OpenEnum")]
        return class_def

    def generate_enums_module(self, module: ast.Module) -> ast.Module:
        kept = [node for node in module.body if not isinstance(node, ast.ImportFrom)]
        imported = ast.ImportFrom("rollcall_client._open_enum", [ast.alias("OpenEnum")], 0)
        return ast.Module([imported, *kept], [])


class TypedOptions(Plugin):
    """Each method takes the options of a request by name, such as its idempotency key."""

    def generate_client_method(
        self,
        method_def: ast.FunctionDef | ast.AsyncFunctionDef,
        operation_definition: OperationDefinitionNode,
    ) -> ast.FunctionDef | ast.AsyncFunctionDef:
        options = ast.Subscript(ast.Name("Unpack"), ast.Name("RequestOptions"))
        method_def.args.kwarg = ast.arg("options", options)
        for node in ast.walk(method_def):
            if isinstance(node, ast.Name) and node.id == "kwargs":
                node.id = "options"
        return method_def

    def generate_client_module(self, module: ast.Module) -> ast.Module:
        imports = [
            ast.ImportFrom("typing", [ast.alias("Unpack")], 0),
            ast.ImportFrom("rollcall_client._transport", [ast.alias("RequestOptions")], 0),
        ]
        return ast.Module([*imports, *module.body], [])
