"""Make the STAR domain pack from the list of fields that comes with the logs.

    python examples/star/make_pack.py [--data ../shared/data/star] [--out examples/star/pack.yaml]

One task per task of `fields.json`, with its goal and the fields that its experts ask for, most asked first. The file
holds names and counts only, so descriptions and required fields are given here, after the API schema that STAR
publishes for each task. No session is read, so the pack holds nothing about an answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from learntoask.core.errors import InputError
from learntoask.core.pack import parse_pack

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LTA_DATA", HERE.parents[2] / "shared/data")) / "star"

DESCRIPTIONS = {
    "apartment_schedule": {
        "ApplicationFeePaid": "whether the application fee is already paid",
        "RenterName": "name of the person who wants to rent",
        "Day": "day of the viewing",
        "Name": "apartment to view",
        "StartTimeHour": "time at which the viewing starts",
        "Message": "message for the landlord",
    },
    "bank_fraud_report": {
        "FullName": "full name of the customer",
        "AccountNumber": "account number",
        "PIN": "PIN of the account",
        "FraudReport": "detailed report of the fraud",
        "DateOfBirth": "date of birth",
        "SecurityAnswer1": "mother's maiden name",
        "SecurityAnswer2": "name of the pet in childhood",
    },
    "doctor_schedule": {
        "Symptoms": "symptoms",
        "PatientName": "name of the patient",
        "Day": "day of the appointment",
        "StartTimeHour": "time of the appointment",
        "Name": "doctor to see",
    },
    "hotel_book": {
        "StartDate": "date of arrival",
        "CustomerName": "name of the guest",
        "Name": "hotel to stay at",
        "EndDate": "date of departure",
    },
    "party_plan": {
        "Name": "venue of the party",
        "NumberGuests": "number of guests",
        "HostName": "name of the host",
        "Day": "day of the party",
        "StartTimeHour": "time at which the party starts",
        "DrinksRequest": "drinks to serve",
        "FoodRequest": "food to serve",
    },
    "ride_book": {
        "CustomerName": "name of the customer",
        "DepartureLocation": "place where the ride starts",
        "ArrivalLocation": "place where the ride ends",
    },
    "trip_directions": {
        "TravelMode": "means of transport: driving, walking or public transit",
        "ArrivalLocation": "destination of the trip",
        "DepartureTime": "time at which the trip starts",
        "DepartureLocation": "place where the trip starts",
    },
}

# A bank customer is identified by account number and PIN, or else by date of birth and security answers: none of these
# five is always needed.
OPTIONAL = {
    "apartment_schedule": {"Message"},
    "bank_fraud_report": {"AccountNumber", "PIN", "DateOfBirth", "SecurityAnswer1", "SecurityAnswer2"},
    "party_plan": {"DrinksRequest", "FoodRequest"},
}

# Descriptions stand alone: a name such as `Name` means a doctor in one task and a venue in another.
POLICY_PROMPT = """\
{{ goal }}
{%- for heading, listed in (
  ("Needed:", fields | selectattr("required") | list),
  ("Not always needed:", fields | rejectattr("required") | list),
) if listed %}
{{ heading }}
{%- for field in listed %}
- {{ field.description }}
{%- endfor %}
{%- endfor %}
Ask for what is still missing.
{%- if may_stop %} {{ stopping }} Then answer {{ stop }}
{%- endif %}"""

HEAD: dict[str, Any] = {
    "name": "star",
    "language": "en",
    "roles": {"user": "user", "expert": "agent"},
    "stopping": "When nothing needed is missing, stop asking.",
    "prompts": {"policy": POLICY_PROMPT},
    "stopAt": "acts",
    "endMarkers": ["<stop>"],
    "requireEndMarker": True,
    "taskFrom": ["annotations.task"],
    "demo": [
        "Hello, I have had a bad cough since last week.",
        "My name is Maria.",
        "Thursday would be best, any time after 2 pm.",
        "I don't mind which doctor.",
    ],
    "demoTask": "doctor_schedule",
}


def pack_document(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the pack as plain data. Raises InputError where `fields.json` names a field without description."""
    return {
        **HEAD,
        "tasks": [
            {
                "name": task,
                "goal": entry["goal"],
                "fields": [_field(task, name) for name in entry["fields"]],
            }
            for task, entry in sorted(schema.items())
        ],
    }


def _field(task: str, name: str) -> dict[str, Any]:
    description = DESCRIPTIONS.get(task, {}).get(name)
    if description is None:
        raise InputError(
            f"fields.json: task {task!r} has the field {name!r}; describe it in DESCRIPTIONS of make_pack.py"
        )
    return {"name": name, "description": description, "required": name not in OPTIONAL.get(task, set())}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "pack.yaml")
    options = parser.parse_args(arguments)
    try:
        schema = json.loads((options.data / "fields.json").read_text(encoding="utf-8"))
        text = yaml.safe_dump(pack_document(schema), sort_keys=False, allow_unicode=True, width=110)
        pack = parse_pack(text, where=str(options.out))
        options.out.write_text(
            "# Made by examples/star/make_pack.py from the logs' list of fields; do not commit.\n" + text,
            encoding="utf-8",
        )
    except (InputError, OSError) as error:
        print(f"{error}\n(--data names the folder with fields.json)", file=sys.stderr)
        return InputError.exit_code
    print(f"{options.out}: {len(pack.tasks)} tasks, {sum(len(task.fields) for task in pack.tasks)} fields")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
