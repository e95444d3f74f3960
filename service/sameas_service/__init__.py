"""The sameas identity service: which person an id, an event or a trait belongs to."""
