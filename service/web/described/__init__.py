"""The API described for machines and people: OpenAPI 3.1, AsyncAPI 3, and a page out of both."""
