"""The one error of the kernels."""


class KernelInputError(ValueError):
    """A frame or a parameter that an operation does not take; the message says what it takes."""
