"""Writes src/rollcall_client/graphql from the schema and the documents. `--check` only compares."""

import contextlib
import filecmp
import io
import sys
import tempfile
from pathlib import Path

from ariadne_codegen.main import client

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "rollcall_client"
NAME = "graphql"

SCALARS = {
    "DateTime": {"type": "datetime.datetime"},
    # They travel as strings, since JSON has no exact numbers of 64 bits, and no decimals.
    "BigInt": {"type": "int", "serialize": "str"},
    "Decimal": {"type": "decimal.Decimal", "serialize": "str"},
    "JSON": {"type": "rollcall_client._json.JsonObject"},
}


def generate(schema: Path, target: Path) -> None:
    """Both clients share the models, which come out alike twice."""
    for kind, name in (("async", "AsyncOperations"), ("sync", "Operations")):
        prefix = "async_" if kind == "async" else ""
        settings = {
            "schema_path": str(schema),
            "queries_path": str(HERE.parent.parent / "documents"),
            "target_package_path": str(target),
            "target_package_name": NAME,
            "client_name": name,
            "client_file_name": f"{prefix}operations",
            "base_client_name": "AsyncBaseOperations" if kind == "async" else "BaseOperations",
            "base_client_file_path": str(HERE / f"base_{prefix}operations.py"),
            "async_client": kind == "async",
            "include_comments": "none",
            "include_all_inputs": False,
            "include_all_enums": False,
            "include_typename": False,
            "use_alias_generator": True,
            "plugins": [
                "ariadne_codegen.contrib.shorter_results.ShorterResultsPlugin",
                "plugins.OpenEnums",
                "plugins.TypedOptions",
            ],
            "scalars": SCALARS,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            client({"tool": {"ariadne-codegen": settings}})


def main() -> None:
    sys.path.insert(0, str(HERE))
    names = [argument for argument in sys.argv[1:] if argument != "--check"]
    schema = Path(names[0]) if names else HERE.parents[2] / "schema.graphql"
    if "--check" not in sys.argv:
        generate(schema, TARGET)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(schema, Path(folder))
        files = sorted({file.name for place in (Path(folder), TARGET) for file in (place / NAME).glob("*.py")})
        _, differing, missing = filecmp.cmpfiles(Path(folder) / NAME, TARGET / NAME, files, shallow=False)
    if differing or missing:
        sys.exit(f"{differing + missing} differ from schema.graphql and documents: run `make clients-generate`")


if __name__ == "__main__":
    main()
