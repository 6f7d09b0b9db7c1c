"""A hospital's system on pynetdicom. Reads one JSON plan from standard input; prints one JSON document, or fails with the traceback.

{"calling": TITLE, "port": PORT, "steps": [...], "listen": PORT, "deaf": BOOL}

The steps run one after the other on one association, which is released at the end:
  ["commit", TRANSACTION, [[CLASS, INSTANCE], ...]]      N-ACTION; its status is noted
  ["wait", COUNT]                                        until so many results of storage commitment came, here or where it listens
  ["create", CLASS, INSTANCE or null, DATA SET]          N-CREATE
  ["set", CLASS, INSTANCE, DATA SET]                     N-SET
  ["release"]                                            the association ends before the steps that follow
Data sets are attributes by keyword; a list of objects is a sequence. With "listen" it also takes results on associations that the node opens; when it is
"deaf" it takes none, even if the node is fast enough to send one before the association ends.
"""

import json
import sys
import threading

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
)

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
PATIENCE = 60


def data_set(attributes):
    made = Dataset()
    for keyword, value in attributes.items():
        if isinstance(value, list):
            value = [data_set(item) for item in value]
        setattr(made, keyword, value)
    return made


def answer(status):
    return {"status": status.get("Status"), "comment": status.get("ErrorComment", "")}


class Hospital:
    def __init__(self, plan):
        self.plan = plan
        self.results = []
        self.came = threading.Condition()
        self.affected = ""

    def on_message(self, event):
        # What N-CREATE made; pynetdicom keeps it to itself.
        self.affected = str(event.message.command_set.get("AffectedSOPInstanceUID", ""))

    def on_result(self, event):
        if self.plan.get("deaf"):
            return 0x0110, None
        told = event.event_information
        result = {
            "type": event.event_type,
            "transaction": told.TransactionUID,
            "committed": [item.ReferencedSOPInstanceUID for item in told.get("ReferencedSOPSequence", [])],
            "failed": [[item.ReferencedSOPInstanceUID, item.FailureReason] for item in told.get("FailedSOPSequence", [])],
            "where": "same" if event.assoc.is_requestor else "new",
        }
        with self.came:
            self.results.append(result)
            self.came.notify_all()
        return 0x0000, None

    def wait(self, count):
        with self.came:
            assert self.came.wait_for(lambda: len(self.results) >= count, PATIENCE), f"{len(self.results)} results"

    def run(self):
        handlers = [(evt.EVT_N_EVENT_REPORT, self.on_result)]
        server = None
        if self.plan.get("listen"):
            ae = AE(self.plan["calling"])
            # The node comes as the provider of the service.
            ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
            server = ae.start_server(("127.0.0.1", self.plan["listen"]), block=False, evt_handlers=handlers)
        answers = []
        association = None
        if any(step[0] != "wait" for step in self.plan["steps"]):
            ae = AE(self.plan["calling"])
            for service in (StorageCommitmentPushModel, ModalityPerformedProcedureStep, InstanceAvailabilityNotification):
                ae.add_requested_context(service, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
            own = [*handlers, (evt.EVT_DIMSE_RECV, self.on_message)]
            association = ae.associate("127.0.0.1", self.plan["port"], ae_title="DOKUEI", evt_handlers=own)
            assert association.is_established
        for step in self.plan["steps"]:
            match step:
                case ["commit", transaction, references]:
                    asked = Dataset()
                    asked.TransactionUID = transaction
                    asked.ReferencedSOPSequence = [
                        data_set({"ReferencedSOPClassUID": sop_class, "ReferencedSOPInstanceUID": instance})
                        for sop_class, instance in references
                    ]
                    status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
                    answers.append(answer(status))
                case ["wait", count]:
                    self.wait(count)
                case ["create", sop_class, instance, attributes]:
                    status, _ = association.send_n_create(data_set(attributes), sop_class, instance)
                    answers.append({**answer(status), "instance": self.affected})
                case ["set", sop_class, instance, attributes]:
                    status, _ = association.send_n_set(data_set(attributes), sop_class, instance)
                    answers.append(answer(status))
                case ["release"]:
                    association.release()
        if association is not None and association.is_established:
            association.release()
        if server is not None:
            server.shutdown()
        return {"answers": answers, "results": self.results}


print(json.dumps(Hospital(json.load(sys.stdin)).run()))
