-- Reception: identity holds, quarantine decisions, evidence of completeness, commitment, custody of blobs. Both folders hold the same tables.

-- Identity, rejections, refusals.
-- A study whose birth date or sex contradicts its patient waits for a person (held = 1) and opens no case until then.
ALTER TABLE studies ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
-- Withdrawn only because rejection notes hide all its instances: an image that is not hidden brings it back.
ALTER TABLE studies ADD COLUMN rejected_entirely INTEGER NOT NULL DEFAULT 0;
-- Hidden by an IOCM rejection note, or such a note itself. The code is that of the note's title.
ALTER TABLE instances ADD COLUMN rejected_at INTEGER;
ALTER TABLE instances ADD COLUMN rejected_code TEXT;
CREATE TABLE study_holds (
    id BLOB PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_pk BLOB NOT NULL REFERENCES studies (id),
    -- The patient whose ID the study names, whatever is decided later.
    patient_pk BLOB NOT NULL REFERENCES patients (id),
    reason TEXT NOT NULL CHECK (reason IN ('birth_date_differs', 'sex_differs', 'birth_date_and_sex_differ')),
    study_birth_date TEXT NOT NULL,
    study_sex TEXT NOT NULL,
    known_birth_date TEXT NOT NULL,
    known_sex TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    decision TEXT CHECK (decision IN ('same_person', 'another_person', 'rejected')),
    decided_by TEXT,
    decided_at INTEGER,
    decision_reason TEXT
) STRICT;
CREATE UNIQUE INDEX study_holds_open ON study_holds (study_pk) WHERE decision IS NULL;
CREATE INDEX study_holds_by_opening ON study_holds (opened_at);
-- What rejection notes name, whether or not the object has come yet.
CREATE TABLE rejected_instances (
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    code TEXT NOT NULL,
    note_sop_instance_uid TEXT NOT NULL,
    rejected_at INTEGER NOT NULL,
    PRIMARY KEY (facility_id, sop_instance_uid, study_uid)
) STRICT;
CREATE INDEX rejected_instances_by_note ON rejected_instances (facility_id, note_sop_instance_uid);
CREATE INDEX rejected_instances_by_time ON rejected_instances (rejected_at);
-- What was refused and not kept, counted.
CREATE TABLE refused_objects (
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    calling_aet TEXT NOT NULL,
    reason TEXT NOT NULL,
    last_detail TEXT NOT NULL,
    object_count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (facility_id, calling_aet, reason)
) STRICT;
CREATE INDEX quarantined_objects_by_object ON quarantined_objects (facility_id, sop_instance_uid);

-- Evidence of completeness, late images, storage commitment.
-- What a study settled on, for a person.
ALTER TABLE studies ADD COLUMN settle_evidence TEXT NOT NULL DEFAULT '';
-- Set on a workitem that is for images which the latest report has not seen: how many.
ALTER TABLE workitems ADD COLUMN added_instances INTEGER;
-- The recipient is asked for storage commitment after it has accepted a report.
ALTER TABLE return_targets ADD COLUMN commitment INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN committed_at INTEGER;
ALTER TABLE deliveries ADD COLUMN commitment_transaction TEXT;
ALTER TABLE deliveries ADD COLUMN commitment_error TEXT;
-- Studies of which an association of some node is sending parts, as that node last said.
CREATE TABLE receptions (
    study_pk BLOB NOT NULL REFERENCES studies (id),
    node TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (study_pk, node)
) STRICT, WITHOUT ROWID;
CREATE TABLE procedure_steps (
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    sop_instance_uid TEXT NOT NULL,
    calling_aet TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('IN PROGRESS', 'COMPLETED', 'DISCONTINUED')),
    step_id TEXT NOT NULL,
    station TEXT NOT NULL,
    modality TEXT NOT NULL,
    started TEXT NOT NULL,
    ended TEXT NOT NULL,
    discontinuation TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (facility_id, sop_instance_uid)
) STRICT;
CREATE TABLE procedure_step_studies (
    facility_id TEXT NOT NULL,
    study_uid TEXT NOT NULL,
    step_uid TEXT NOT NULL,
    PRIMARY KEY (facility_id, study_uid, step_uid),
    FOREIGN KEY (facility_id, step_uid) REFERENCES procedure_steps (facility_id, sop_instance_uid)
) STRICT, WITHOUT ROWID;
-- What somebody said a study consists of. The source is a procedure step's UID, or 'availability'.
CREATE TABLE expected_instances (
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    study_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (facility_id, study_uid, sop_instance_uid, source)
) STRICT, WITHOUT ROWID;
-- Where the results of storage commitment go that an AE title asks for, when its association has ended.
CREATE TABLE commitment_targets (
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    calling_aet TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    tls INTEGER NOT NULL,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (facility_id, calling_aet)
) STRICT;
CREATE TABLE storage_commitments (
    id BLOB PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    calling_aet TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    -- One reference a line, SOP Class UID and SOP Instance UID, as they were asked for.
    requested BLOB NOT NULL,
    requested_sha256 BLOB NOT NULL,
    instance_count INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('checking', 'answering', 'waiting', 'failed', 'answered')),
    -- Two bytes for each reference that was checked: zero, or its failure reason, little endian.
    outcome BLOB NOT NULL,
    -- How many of the checked ones are not committed.
    failed_count INTEGER,
    requested_at INTEGER NOT NULL,
    checked_at INTEGER,
    answered_at INTEGER,
    last_error TEXT,
    -- Who holds the association over which it was asked for, and until when that is sure.
    link_node TEXT NOT NULL,
    link_until INTEGER NOT NULL,
    UNIQUE (facility_id, calling_aet, transaction_uid)
) STRICT;
CREATE INDEX storage_commitments_by_state ON storage_commitments (state, requested_at);

-- Custody of blobs: read again, copied, damaged.
-- Never indexed: reception pays for every index on this table, and what is due is found by walking the primary key.
ALTER TABLE instances ADD COLUMN verified_at INTEGER;
ALTER TABLE instances ADD COLUMN copied_at INTEGER;
-- Of our own header, which the hash of the data set leaves out: learned when the blob is first read again.
ALTER TABLE instances ADD COLUMN head_sha256 BLOB;
-- For which state a fact lies in the store.
ALTER TABLE quarantined_objects ADD COLUMN kept_state TEXT;
CREATE INDEX quarantined_objects_to_keep ON quarantined_objects (id) WHERE kept_state IS NULL OR kept_state <> state;
-- The same as the columns above for blobs that are no instances: files of signed reports, whose own rows are final, and objects in quarantine.
CREATE TABLE custody_blobs (
    blob_key TEXT PRIMARY KEY,
    verified_at INTEGER,
    copied_at INTEGER,
    head_sha256 BLOB
) STRICT;
-- The walks over all blobs: where each one is, and which node is at it.
CREATE TABLE custody_tasks (
    name TEXT PRIMARY KEY,
    progress TEXT NOT NULL,
    lease_by TEXT,
    lease_until INTEGER,
    last_run_at INTEGER,
    last_error TEXT
) STRICT;
CREATE TABLE blob_damages (
    id BLOB PRIMARY KEY,
    blob_key TEXT NOT NULL,
    place TEXT NOT NULL CHECK (place IN ('store', 'copy')),
    kind TEXT NOT NULL CHECK (kind IN ('missing', 'altered', 'head_altered', 'unreadable', 'not_adopted')),
    facility_id TEXT NOT NULL,
    -- SOP Instance UID, or the report version.
    subject TEXT NOT NULL,
    expected_sha256 BLOB,
    found_sha256 BLOB,
    detail TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'repaired', 'accepted')),
    decided_by TEXT,
    decided_at INTEGER,
    decision_reason TEXT
) STRICT;
CREATE UNIQUE INDEX blob_damages_open ON blob_damages (blob_key, place) WHERE state = 'open';
CREATE INDEX blob_damages_by_time ON blob_damages (state, found_at);

-- DICOM over TLS: whose certificate it is. The fingerprint decides; the subject is for a person.
CREATE TABLE peer_certificates (
    sha256 BLOB PRIMARY KEY,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    -- The only calling AE title that may use it; unset: any of the facility's.
    calling_aet TEXT,
    certificate BLOB NOT NULL,
    subject TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;
CREATE INDEX peer_certificates_by_facility ON peer_certificates (facility_id);
-- A facility that has certificates comes with one of them, unless this says that it may also come without.
ALTER TABLE facilities ADD COLUMN plain_allowed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE return_targets ADD COLUMN tls INTEGER NOT NULL DEFAULT 0;

-- Search for patients: the folded tokens of each study's patient name, Patient ID and Accession Number (`dokuei_domain::name_search`).
-- Which version of the folds a study's tokens are of; 0: it has none yet.
ALTER TABLE studies ADD COLUMN name_tokens_version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX studies_by_name_tokens ON studies (name_tokens_version);
CREATE TABLE patient_name_tokens (
    study_pk BLOB NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    token TEXT NOT NULL,
    facility_id TEXT NOT NULL REFERENCES facilities (id),
    PRIMARY KEY (study_pk, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX patient_name_tokens_by_token ON patient_name_tokens (facility_id, token);
