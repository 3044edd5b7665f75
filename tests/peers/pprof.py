"""Reads a gzipped profile from standard input by the decoder that protoc made, and writes it as JSON with every index resolved."""

import gzip
import json
import sys

from profile_pb2 import Profile

profile = Profile.FromString(gzip.decompress(sys.stdin.buffer.read()))
text = profile.string_table
assert text[0] == "", text[0]


def by_id(table):
    entries = {entry.id: entry for entry in table}
    assert len(entries) == len(table) and 0 not in entries, "ids are unique and not 0"
    return entries


mappings, locations, functions = by_id(profile.mapping), by_id(profile.location), by_id(profile.function)


def kind(value):
    return [text[value.type], text[value.unit]]


def frames(location):
    for line in location.line:
        function = functions[line.function_id]
        yield {"name": text[function.name], "file": text[function.filename], "line": line.line}


def place(location):
    mapping = mappings[location.mapping_id]
    assert mapping.memory_start <= location.address < mapping.memory_limit, location
    return {"address": location.address, "mapping": location.mapping_id, "frames": list(frames(location))}


places = {id: place(location) for id, location in locations.items()}
json.dump({
    "sample_types": [kind(value) for value in profile.sample_type],
    "default_sample_type": text[profile.default_sample_type],
    "period_type": kind(profile.period_type),
    "period": profile.period,
    "time_nanos": profile.time_nanos,
    "duration_nanos": profile.duration_nanos,
    "comments": [text[comment] for comment in profile.comment],
    "mappings": [{
        "start": mapping.memory_start,
        "limit": mapping.memory_limit,
        "offset": mapping.file_offset,
        "file": text[mapping.filename],
        "build_id": text[mapping.build_id],
        "has_functions": mapping.has_functions,
        "has_lines": mapping.has_line_numbers,
    } for mapping in profile.mapping],
    "samples": [{
        "values": list(sample.value),
        "labels": {text[label.key]: text[label.str] for label in sample.label},
        "stack": [places[id] for id in sample.location_id],
    } for sample in profile.sample],
}, sys.stdout)
