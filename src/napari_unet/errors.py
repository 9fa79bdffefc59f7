"""One family of errors, written for the person at the microscope.

Every message says what was given, what is needed and what to do next. The panel
shows the text alone; logs keep the traceback.
"""


class UNetError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(UNetError, ValueError):
    """An image, a setting or a path that cannot be used as given."""


class ModelError(UNetError, ValueError):
    """A model that is missing, damaged or made for other images."""


class SaveError(UNetError, OSError):
    """A file that could not be written; whatever was there before is untouched."""


class EngineError(UNetError, RuntimeError):
    """The process that computes has stopped; the next run starts another."""


class TrainingError(UNetError, RuntimeError):
    """A retraining that cannot begin or go on; the model it began with is untouched."""
