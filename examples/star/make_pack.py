"""Make the STAR domain pack from the list of fields that comes with the logs.

    python examples/star/make_pack.py [--data ../shared/data/star] [--out examples/star/pack.yaml]

One task per task of `fields.json`, with its goal and the fields that its experts ask for, most asked first. The file
holds names and counts only, so descriptions, example questions and optional fields, without which an expert may act,
are given here. No session is read, so the pack holds nothing about an answer.
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

# By task and field: description and an example question. STAR's experts pick their sentences from a list, and without
# another wording a grader would take those for the only ways to ask.
FIELDS = {
    "apartment_schedule": {
        "ApplicationFeePaid": (
            "whether the application fee is already paid",
            "Did you pay the application fee?",
        ),
        "RenterName": ("name of the person who wants to rent", "What is your name?"),
        "Day": ("day of the viewing", "Which day suits you?"),
        "Name": ("apartment to view", "Which apartment would you like to see?"),
        "StartTimeHour": ("time at which the viewing starts", "What time should the viewing start?"),
        "Message": ("message for the landlord", "Is there a message you want to leave?"),
    },
    "bank_fraud_report": {
        "FullName": ("full name of the customer", "What is your full name?"),
        "AccountNumber": ("account number", "What is your account number?"),
        "PIN": ("PIN of the account", "What is your PIN?"),
        "FraudReport": ("detailed report of the fraud", "What happened?"),
        "DateOfBirth": ("date of birth", "When were you born?"),
        "SecurityAnswer1": ("mother's maiden name", "What is your mother's maiden name?"),
        "SecurityAnswer2": ("name of the pet in childhood", "What was your pet called?"),
    },
    "doctor_schedule": {
        "Symptoms": ("symptoms", "What symptoms do you have?"),
        "PatientName": ("name of the patient", "What is your name?"),
        "Day": ("day of the appointment", "Which day suits you?"),
        "StartTimeHour": ("time of the appointment", "What time suits you?"),
        "Name": ("doctor to see", "Which doctor do you want to see?"),
    },
    "hotel_book": {
        "StartDate": ("date of arrival", "What is your check-in date?"),
        "CustomerName": ("name of the guest", "What is your name?"),
        "Name": ("hotel to stay at", "Which hotel do you prefer?"),
        "EndDate": ("date of departure", "Until when are you staying?"),
    },
    "party_plan": {
        "Name": ("venue of the party", "Which venue would you like?"),
        "NumberGuests": ("number of guests", "How many guests are coming?"),
        "HostName": ("name of the host", "What is your name?"),
        "Day": ("day of the party", "Which day is the party?"),
        "StartTimeHour": ("time at which the party starts", "What time does the party start?"),
        "DrinksRequest": ("drinks to serve", "What drinks do you want?"),
        "FoodRequest": ("food to serve", "What food do you want?"),
    },
    "ride_book": {
        "CustomerName": ("name of the customer", "What is your name?"),
        "DepartureLocation": ("place where the ride starts", "Where should we pick you up?"),
        "ArrivalLocation": ("place where the ride ends", "What is your destination?"),
    },
    "trip_directions": {
        "TravelMode": (
            "means of transport: driving, walking or public transit",
            "How would you like to travel?",
        ),
        "ArrivalLocation": ("destination of the trip", "What is your destination?"),
        "DepartureTime": ("time at which the trip starts", "What time do you want to leave?"),
        "DepartureLocation": ("place where the trip starts", "Where do you start from?"),
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
    """Return the pack as plain data. Raises InputError where `fields.json` names a field that FIELDS lacks."""
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
    known = FIELDS.get(task, {})
    if name not in known:
        raise InputError(
            f"fields.json: task {task!r} has the field {name!r}; describe it in FIELDS of make_pack.py"
        )
    description, question = known[name]
    return {
        "name": name,
        "description": description,
        "required": name not in OPTIONAL.get(task, set()),
        "questions": [question],
    }


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
