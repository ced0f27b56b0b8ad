"""Programs of others that an audit can be handed to; each is an extra and is imported when it is used."""
