"""Watch what keys are used for."""
