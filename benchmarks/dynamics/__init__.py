"""Networks whose rates obey a differential equation, judged as dynamical systems."""
