"""The AI SDK's UI message streams."""
