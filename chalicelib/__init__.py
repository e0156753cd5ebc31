"""The application, room by room; app.py has it at a glance."""

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Of what is imported nothing goes again, and looking for it was a tenth of a cold start; app.py ends this.
    gc.disable()
