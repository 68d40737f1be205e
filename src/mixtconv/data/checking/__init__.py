"""Finding every video and every entry of a dataset that cannot be used as it stands."""
