"""What no attack by so many fake accounts can change: a certificate for a recommender made of bags of users."""
