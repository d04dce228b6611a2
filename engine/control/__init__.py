"""A model's life: which version serves is data on a topic; a candidate may run beside it."""

from engine.control.follow import Control, Pinnable
from engine.control.shadow import Shadow
from engine.control.topic import ServingTopic, publish, read

__all__ = ["Control", "Pinnable", "ServingTopic", "Shadow", "publish", "read"]
