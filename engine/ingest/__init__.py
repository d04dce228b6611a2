"""From a scanner to the topics: check the object, store it, publish its frames, acknowledge."""
