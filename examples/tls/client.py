import sys

import bee_core

with bee_core.build_client("client.yml") as client:
    try:
        print(client.service("vault").open("invoices"))
    except bee_core.errors.CallError as error:
        print(f"{type(error).__name__}, executed: {error.executed}")
        sys.exit(error.message)
