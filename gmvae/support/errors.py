"""What can go wrong, by whose fault it is: the argument, the content or the run."""


class GMVAEError(Exception):
    """Base of every error that gmvae raises of its own."""


class ArgumentError(GMVAEError, ValueError):
    """An argument does not fit: its value, or its value beside another one's."""


class ContentError(GMVAEError, ValueError):
    """What a file or an array holds does not fit."""


class InterruptedRunError(GMVAEError):
    """A run was asked to stop, and has been saved: it can go on."""


class TrainingError(GMVAEError, RuntimeError):
    """A run failed: its objective is not finite, or its components collapsed."""


class StoppedTooEarlyError(TrainingError):
    """A callback ended a run before there was a model to keep."""
