"""What schemathesis makes of the API's OpenAPI document."""

import json

import schemathesis
from schemathesis.specs.openapi import checks

from tests.support.openapi import DOCUMENT

SCHEMA = schemathesis.openapi.from_dict(
    json.loads(DOCUMENT.read_text()), config=schemathesis.Config()
)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
