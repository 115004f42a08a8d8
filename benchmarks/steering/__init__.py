"""What networks with feedback see in composite images when they are asked for a class, with what it costs."""
