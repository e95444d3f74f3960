"""Why two ids are one person, or why they are not."""
