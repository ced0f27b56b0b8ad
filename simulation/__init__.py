"""The closed loop: a poisoned recommender retrained round by round on simulated clicks."""
