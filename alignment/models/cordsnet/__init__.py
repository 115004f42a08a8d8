"""CordsNet: convolutional areas whose rates obey a differential equation, in the shape of a ResNet-18."""
