"""Prints every text element of the DICOM files named on standard input, one JSON object a line.

{"file": path, "syntax": transfer syntax UID} begins a file; then {"path": "00081140/0/00080060", "vr": "LO", "values": [...]}, and
{"path": ..., "vr": "SQ"} for each sequence.
"""

import json
import sys
import warnings

import pydicom
from pydicom import config
from pydicom.multival import MultiValue

TEXT = {"SH", "LO", "UC", "ST", "LT", "UT", "PN"}
config.settings.reading_validation_mode = config.IGNORE
warnings.simplefilter("ignore")


def values(element):
    value = element.value
    if value is None or value == "":
        return []
    return [str(one) for one in value] if isinstance(value, MultiValue) else [str(value)]


def walk(dataset, prefix):
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # an element that pydicom cannot read is no opinion
            continue
        path = f"{prefix}{int(element.tag):08X}"
        if element.VR == "SQ":
            print(json.dumps({"path": path, "vr": "SQ"}))
            for number, item in enumerate(element.value):
                walk(item, f"{path}/{number}/")
        elif element.VR in TEXT:
            print(json.dumps({"path": path, "vr": element.VR, "values": values(element)}))


for line in sys.stdin:
    file = line.rstrip("\n")
    dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
    print(json.dumps({"file": file, "syntax": syntax}))
    walk(dataset, "")
