"""Validates OCSF events, one a line, with the public schema: each by its class and the profiles that it names."""

import collections
import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"

schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION))
validators = {}
classes = collections.Counter()
uids = set()
wrong = 0


def validator(event):
    key = (event["class_uid"], tuple(event["metadata"]["profiles"]))
    if key not in validators:
        name = schema.lookup_class_name_from_uid(key[0])
        validators[key] = jsonschema.Draft202012Validator(schema.get_class_schema(name, list(key[1])))
    return validators[key]


for path in sys.argv[1:]:
    uids.clear()
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        event = json.loads(line)
        errors = [f"{error.json_path}: {error.message}" for error in validator(event).iter_errors(event)]
        uid = event["metadata"]["uid"]
        if uid in uids:
            errors.append(f"$.metadata.uid: `{uid}` stands twice")
        uids.add(uid)
        if event["metadata"]["version"] != VERSION:
            errors.append("$.metadata.version")
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            errors.append("$.type_uid")
        for error in errors[:5]:
            print(f"{path}:{number}: {event['class_name']} {uid}: {error[:300]}", file=sys.stderr)
        wrong += bool(errors)
        classes[event["type_name"]] += 1

for name, count in sorted(classes.items()):
    print(f"{count:6}  {name}")
print(f"{sum(classes.values())} events, {wrong} not as OCSF {VERSION} has them")
sys.exit(1 if wrong or not classes else 0)
