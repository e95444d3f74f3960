"""Use cases that read: persons, timelines, the past, explanations, previews, exports."""
