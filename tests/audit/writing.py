"""Write events for ever: in one transaction or several, committed, rolled back, or left open for a while; run as a process."""

import os
import random
import sys
import time
from pathlib import Path

import django
from django.db import transaction


def main(acknowledged: Path) -> None:
    """Note in the file, after each commit, what was committed; only then the next begins."""
    from audit import clock, log
    from tests.audit.things import CLOCK, ThingChanged

    number = 0
    with acknowledged.open("a") as file:
        while True:
            names = [f"w{os.getpid()}-{number + each}" for each in range(random.randint(1, 25))]
            number += len(names)
            with transaction.atomic():
                log.record_many([ThingChanged(target_id=name) for name in names], actor=CLOCK, at=clock.now())
                if random.random() < 0.2:
                    time.sleep(random.uniform(0, 0.3))  # sealed late: others commit meanwhile
                rolled_back = random.random() < 0.2
                transaction.set_rollback(rolled_back)
            if not rolled_back:
                file.write("".join(f"{name}\n" for name in names))
                file.flush()


if __name__ == "__main__":
    django.setup()
    main(Path(sys.argv[1]))
