"""How accurate a network is, and what attacks and corruptions leave of that."""
