"""What the engine is made of: lanes on their way, the network's steps, views, features."""
