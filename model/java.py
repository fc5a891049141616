"""Runs the Java programs that pycocoevalcap brings along.

pycocoevalcap's own wrappers are not used: they write into their package's folder, which may be
read-only, leave pipes unread that can fill, take a failed program for one that found nothing, and
wait forever for one that does not answer.
"""

import subprocess
from collections.abc import Sequence


class JavaError(Exception):
    """A Java program cannot be had or failed; the message is the reason, in one line."""


def run_java(arguments: Sequence[str], text: str, seconds: float) -> str:
    """What ``java ARGUMENTS`` prints when it reads `text`; it has ended when this returns.

    Args:
        seconds: the program is killed after so long.

    Raises:
        JavaError: if there is no `java`, or the program fails or does not end in time.
    """
    try:
        result = subprocess.run(
            ["java", *arguments],
            input=text.encode("utf-8", errors="replace"),
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except OSError as error:
        raise JavaError(f"there is no Java that runs: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise JavaError(f"the Java program did not end within {seconds:.0f} s") from error
    if result.returncode:
        complaint = result.stderr.decode("utf-8", errors="replace").strip() or "no message"
        raise JavaError(
            f"the Java program ended with status {result.returncode}: {complaint.splitlines()[0]}"
        )
    return result.stdout.decode("utf-8", errors="replace")
