"""A peer on pynetdicom. The first argument says which; the result is printed as one JSON document, or the test fails with the traceback.

user PORT      uses every service of the node on one association
provider       serves on a free port, prints it, and tells what it was asked when standard input ends
"""

import json
import sys
import threading

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
PATIENCE = 30


def transaction(uid):
    data_set = Dataset()
    data_set.TransactionUID = uid
    return data_set


def user(port):
    told = threading.Event()
    result = {"events": []}

    def on_event(event):
        result["events"].append([event.event_type, event.event_information.TransactionUID])
        told.set()
        return 0x0000, None

    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.positive_response_requested = True
    identity.primary_field = b"technologist"
    identity.secondary_field = b"passcode"
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = StudyRootQueryRetrieveInformationModelFind
    extended.service_class_application_information = b"\x01\x01"

    ae = AE("HOSP1")
    ae.add_requested_context(StorageCommitmentPushModel, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    ae.add_requested_context(ModalityPerformedProcedureStep, ImplicitVRLittleEndian)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind, ExplicitVRLittleEndian)
    ae.add_requested_context(Verification)
    negotiation = [identity, window, extended, build_role(StorageCommitmentPushModel, scu_role=True, scp_role=True)]
    association = ae.associate(
        "127.0.0.1", port, ae_title="DOKUEI", ext_neg=negotiation, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_event)]
    )
    assert association.is_established
    acceptor = association.acceptor
    result["window"] = list(acceptor.asynchronous_operations)
    result["identity"] = acceptor.user_identity is not None
    result["extended"] = {uid: list(value) for uid, value in acceptor.sop_class_extended.items()}
    roles = acceptor.role_selection[StorageCommitmentPushModel]
    result["roles"] = [roles.scu_role, roles.scp_role]
    result["implementation"] = [acceptor.implementation_class_uid, acceptor.implementation_version_name]

    status, _ = association.send_n_action(transaction("1.2.3"), 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
    result["action"] = status.Status
    assert told.wait(PATIENCE), "no event"
    result["echo"] = association.send_c_echo().Status

    step = Dataset()
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    status, _ = association.send_n_create(step, ModalityPerformedProcedureStep, "1.2.77")
    result["create"] = status.Status
    step.PerformedProcedureStepStatus = "COMPLETED"
    status, _ = association.send_n_set(step, ModalityPerformedProcedureStep, "1.2.77")
    result["set"] = status.Status

    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = ""
    found = association.send_c_find(keys, StudyRootQueryRetrieveInformationModelFind)
    result["found"] = [[status.Status, match and match.StudyInstanceUID] for status, match in found]
    association.release()
    return result


def provider():
    seen = {"find": [], "cancelled": False, "action": [], "create": [], "set": [], "events": [], "answers": []}

    def on_find(event):
        seen["find"].append(event.identifier.get("PatientID", ""))
        number = 0
        while True:
            if event.is_cancelled:
                seen["cancelled"] = True
                yield 0xFE00, None
                return
            if event.identifier.get("PatientID") != "ENDLESS" and number == 3:
                return
            match = Dataset()
            match.QueryRetrieveLevel = "STUDY"
            match.StudyInstanceUID = f"1.2.{number}"
            number += 1
            yield 0xFF00, match

    def on_action(event):
        uid = event.action_information.TransactionUID
        seen["action"].append([event.request.ActionTypeID, uid])

        def report():
            status, _ = event.assoc.send_n_event_report(
                transaction(uid), 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE
            )
            seen["answers"].append(status.get("Status"))

        threading.Thread(target=report).start()
        return 0x0000, None

    def on_create(event):
        seen["create"].append(event.attribute_list.PerformedProcedureStepStatus)
        made = Dataset()
        made.PerformedProcedureStepStatus = "IN PROGRESS"
        if event.request.AffectedSOPInstanceUID is None:
            made.AffectedSOPInstanceUID = "1.2.88"
        return 0x0000, made

    def on_set(event):
        seen["set"].append(event.request.RequestedSOPInstanceUID)
        return 0x0112, None

    def on_event(event):
        seen["events"].append([event.event_type, event.event_information.TransactionUID])
        return 0x0000, None

    ae = AE("ARCHIVE")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    ae.add_supported_context(ModalityPerformedProcedureStep)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_supported_context(Verification)
    handlers = [
        (evt.EVT_C_FIND, on_find),
        (evt.EVT_N_ACTION, on_action),
        (evt.EVT_N_CREATE, on_create),
        (evt.EVT_N_SET, on_set),
        (evt.EVT_N_EVENT_REPORT, on_event),
    ]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    print(server.socket.getsockname()[1], flush=True)
    sys.stdin.read()
    server.shutdown()
    return seen


print(json.dumps(user(int(sys.argv[2])) if sys.argv[1] == "user" else provider()))
